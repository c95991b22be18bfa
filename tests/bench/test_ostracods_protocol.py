import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from labelwise.bench import harness, ostracods_protocol
from labelwise.bench.detectors import COMBINED, Said
from labelwise.bench.ostracods_protocol import (
    ONE,
    SEVERAL,
    VOTE,
    Margins,
    Setting,
    digits,
    frog_calls,
    frogs,
    published_counts,
    run,
)

_COMPARED = ("hit_rate", "combined_hit_rate", "average_precision")


def test_margins_become_probabilities():
    features, classes = load_iris(return_X_y=True)
    for rows in (classes < 3, classes < 2):
        model = Margins(break_ties=rows.all()).fit(features[rows], classes[rows])
        probabilities = model.predict_proba(features[rows])
        assert np.allclose(probabilities.sum(axis=1), 1)
        assert (probabilities.argmax(axis=1) == model.predict(features[rows])).all()


def test_digits_have_a_long_tail_and_the_noise():
    planted = digits(3)
    task = planted.table.tasks[0]
    given = planted.table.labels(task.name)
    assert planted.features.shape == (734, 1, 8, 8)
    assert len(task.classes) == 11
    assert (given == 10).sum() == 12
    assert len(np.unique(planted.clean[given == 10])) == 1
    assert (planted.clean == -1).sum() == 22
    assert ((planted.clean != given) & (planted.clean >= 0)).sum() == 12 + 22
    assert (digits(3).features == planted.features).all()
    assert (digits(4).clean != planted.clean).any()


@pytest.mark.data
def test_frogs_have_a_mixed_class_too(data):
    calls = frog_calls()
    assert (len(calls), len(calls.feature_names)) == (7195, 22)
    planted = frogs(calls, 1000, 0)
    task = planted.table.tasks[0]
    given, mixed = planted.table.labels(task.name), task.classes.index(planted.mixed)
    other = task.classes.index("HypsiboasCinerascens")
    assert ((given == mixed) & (planted.clean == other)).sum() >= 20
    assert (planted.clean == -1).sum() == 30
    assert ((planted.clean != given) & (planted.clean >= 0)).sum() == 20 + 30 + 12


@pytest.mark.data
def test_the_published_flag_files_give_the_published_counts(data):
    counts = published_counts(data / "noisy-ostracods")
    learned = counts["confident learning"]
    assert (learned["train"], learned["val"], learned["test"]) == (2791, 369, 367)
    assert (learned["judged"], learned["hits"]) == (736, 472)
    for facts in counts.values():
        assert facts["precision"] == facts["published_precision"]


def test_a_short_run_is_complete_and_goes_on(tmp_path, monkeypatch):
    def ask(features, table, seed):
        given = table.labels(table.tasks[0].name)
        score = np.random.default_rng(seed).random(len(given))
        return {name: Said(score > 0.9, score, given) for name in (ONE, VOTE)}

    columns = ("train", "val", "test", "judged", "hits", "precision", "published_precision")
    monkeypatch.setattr(ostracods_protocol, "published_counts", lambda folder: {"one": dict.fromkeys(columns, 1)})
    monkeypatch.setattr(ostracods_protocol, "data_path", Path)
    monkeypatch.setattr(ostracods_protocol, "ask", ask)
    settings = [Setting("digits", digits, 200)]
    result = run(settings, range(2), tmp_path, quiet=True)
    monkeypatch.setattr(ostracods_protocol, "ask", None)
    assert run(settings, range(2), tmp_path, quiet=True) == result
    json.dumps(result, allow_nan=False)
    for _, columns, rows in harness.tables(result):
        assert rows
        assert all(len(row) == len(columns) for row in rows)
    assert list(result["figures"]["digits"][0]["detectors"]) == [ONE, VOTE, COMBINED]
    with pytest.raises(ValueError, match="other settings"):
        run([Setting("digits", digits, 100)], range(2), tmp_path, quiet=True)


def test_the_kept_result_holds_what_was_expected_of_digits():
    seeds = json.loads(harness.result_path("ostracods-protocol").read_text())["figures"]["digits"]
    mean = {
        name: {measure: np.mean([each["detectors"][name][measure] for each in seeds]) for measure in _COMPARED}
        for name in seeds[0]["detectors"]
    }
    assert mean[VOTE]["hit_rate"] >= mean[ONE]["hit_rate"] + 0.10
    assert mean[VOTE]["hit_rate"] >= mean[SEVERAL]["hit_rate"] + 0.10
    for name, facts in mean.items():
        if name != COMBINED:
            assert facts["combined_hit_rate"] >= facts["hit_rate"]
            assert facts["average_precision"] <= mean[COMBINED]["average_precision"]
