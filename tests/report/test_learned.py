import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelwise import methods, report
from labelwise.audit import recorded_margins
from labelwise.labels import bundled
from labelwise.report.learned import learned_facts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    table = bundled("iris")
    labels = table.labels("species")
    labels[[3, 70, 120]] = [2, 0, 0]
    out = tmp_path_factory.mktemp("learned") / "model"
    options = {"epochs": 12, "forget": 0.1, "patience": 0}
    return methods.fit(table.with_labels("species", labels), "loss-clip", out, options=options, quiet=True)


def test_facts_are_those_noted_in_training(model):
    facts = learned_facts(model, ["species"])["species"]
    frame = pq.read_table(model / "examples.parquet").to_pandas()
    areas = np.stack(frame["species_margin"]).astype(float).mean(1)
    assert facts["labels"] == len(frame) == sum(facts["areas"])
    assert facts["negative"] == (areas < 0).sum()
    assert len(facts["losses"]) == len(facts["selected"]) == 12
    assert facts["selected"][0] == 1
    assert facts["selected"][-1] == pytest.approx(0.9, abs=0.06)
    least = facts["least"]
    assert [row["area"] for row in least] == sorted(areas)[:20]
    assert {least[0]["example"], least[1]["example"]} < {3, 70, 120}
    assert all(row["given"] != row["predicted"] for row in least[:2])


def test_the_page_tells_of_them_and_of_nothing_where_nothing_was_noted(model, tmp_path):
    page = report.write(model).read_text()
    assert "How labels were learned" in page
    assert "Labels of the smallest area: species" in page
    other = methods.fit(bundled("iris"), "dselect-k", tmp_path / "model", options={"epochs": 2}, quiet=True)
    assert "How labels were learned" not in report.write(other).read_text()
    assert report.to_dict(other)["models"][0]["learned"] is None


def test_rows_that_an_epoch_left_out_count_in_the_others(model, tmp_path):
    """As methods that mix examples leave out those of which no mixture holds the larger share."""
    whole = learned_facts(model, ["species"])["species"]
    folder = shutil.copytree(model, tmp_path / "model")
    table = pq.read_table(folder / "examples.parquet")
    for name in ("species_margin", "species_loss"):
        noted = np.stack(table[name].to_pylist()).astype(np.float32)
        for row in range(len(noted)):
            noted[row, row % 12] = np.nan
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(list(noted)))
    pq.write_table(table, folder / "examples.parquet")
    facts = learned_facts(folder, ["species"])["species"]
    assert facts["labels"] == sum(facts["areas"]) == whole["labels"]
    assert facts["losses"] == pytest.approx(whole["losses"], rel=0.3)
    noted = np.stack(table["species_margin"].to_pylist())
    assert [row["area"] for row in facts["least"]] == pytest.approx(np.sort(np.nanmean(noted, axis=1))[:20])
    areas = recorded_margins(folder)
    assert [row["area"] for row in facts["least"]] == np.sort(areas[np.isfinite(areas)])[:20].tolist()


def test_epochs_before_anything_was_chosen_have_no_share(tmp_path):
    folder = methods.fit(
        bundled("iris"), "divide-mix", tmp_path / "m", options={"epochs": 4, "warm_up": 0.5}, quiet=True
    )
    facts = learned_facts(folder, ["species"])["species"]
    assert [share is None for share in facts["selected"]] == [True, True, False, False]
