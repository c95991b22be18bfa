"""What a review is for: on the demo's data, the verdicts of somebody who knows make labels and models better."""

from dataclasses import replace

import numpy as np
import pytest

from labelwise import methods
from labelwise.audit import run_audit
from labelwise.cli.demo import RECIPE
from labelwise.labels import plant, read, split
from labelwise.review.database import open_database
from labelwise.review.exporting import apply_verdicts, export, reviewed
from labelwise.review.filling import fill
from labelwise.review.queue import Filter, next_question
from labelwise.review.verdicts import record
from labelwise.runs import METRICS, read_json

REVIEWED = 60


@pytest.mark.slow
def test_sixty_verdicts_by_the_truth_mend_labels_and_do_not_harm_the_model(tmp_path):
    clean = read("digits")
    clean = clean.with_split(split(clean, "digit", shares=(0.6, 0.15, 0.25), seed=0))
    training = np.asarray(clean.data[clean.split]) != "test"
    noisy, truth = plant(clean, "digit", RECIPE, rows=training, seed=0)
    kept = np.flatnonzero(training)
    audited = noisy.select(kept)
    place = {row: at for at, row in enumerate(kept.tolist())}
    truth = truth.astype(object).where(truth.notna(), None)  # no label is right for a spoiled picture
    wanted = {(place[each.example], each.task): each.clean for each in truth.itertuples()}
    run = run_audit(audited, run=tmp_path / "run", seed=0, quiet=True).run

    errors_met = 0
    with open_database(run) as database:
        fill(database, sample=0)
        for _ in range(REVIEWED):
            asked = next_question(database, "ada", Filter(), now=0.0)
            known = (asked.item_id, asked.task) in wanted
            right = wanted.get((asked.item_id, asked.task))
            errors_met += known
            words = ("choose", [right]) if right is not None else ("spoiled",) if known else ("keep",)
            record(database, "ada", asked.id, *words)
    assert errors_met > REVIEWED / 2  # the worst come first

    def errors(table):
        labels = {task.name: table.data[task.name].to_pylist() for task in audited.tasks}
        before = {task.name: clean.data[task.name].to_pylist() for task in audited.tasks}
        return sum(
            label != wanted.get((at, name), before[name][row])
            for name, column in labels.items()
            for (row, label), at in zip(zip(kept.tolist(), column, strict=True), range(len(kept)), strict=True)
        )

    export(run, tmp_path / "mended.parquet", only_verdicts=True)
    exported = read(tmp_path / "mended.parquet", ["digit", "holes"], id="id", parents={})
    mended = apply_verdicts(run, audited, reviewed(run), only_verdicts=True)
    assert exported.data["digit"].to_pylist() == mended.data["digit"].to_pylist()
    assert errors(audited) == len(truth)
    assert errors(exported) <= errors(audited) - errors_met

    accuracy = {}
    for name, table in {"raw": audited, "mended": mended}.items():
        whole = noisy
        for task in table.tasks:
            codes = whole.labels(task.name)
            codes[kept] = table.labels(task.name)
            whole = whole.with_labels(task.name, codes)
        folder = methods.fit(replace(whole, unreadable={}), "dselect-k", tmp_path / name, seed=0, quiet=True)
        accuracy[name] = read_json(folder / METRICS)["tasks"]["digit"]["test"]["accuracy"]["value"]
    assert accuracy["mended"] >= accuracy["raw"]
