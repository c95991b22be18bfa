from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from labelwise import methods, report
from labelwise.labels import LabelTable, bundled
from labelwise.methods.predicting import load
from labelwise.runs import write_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "model"
    return methods.fit(bundled("wine"), out=out, options={"epochs": 6}, quiet=True)


def unlabelled(table):
    return LabelTable(table.features)


def test_predictions_are_those_of_the_fit(folder):
    found = methods.predict(folder, unlabelled(bundled("wine")))
    (name,) = found
    kept = pq.read_table(folder / "predictions.parquet").to_pandas()
    np.testing.assert_array_equal(found[name], np.stack(kept[f"{name}_probabilities"]))
    assert found[name].dtype == np.float32


def test_each_row_is_predicted_by_itself(folder):
    table = unlabelled(bundled("wine"))
    (whole,) = methods.predict(folder, table).values()
    rows = np.array([100, 3, 3, 50])
    (part,) = methods.predict(folder, table.select(rows)).values()
    np.testing.assert_allclose(part, whole[rows], atol=1e-6)
    (none,) = methods.predict(folder, table.select(np.zeros(0, int))).values()
    assert none.shape == (0, whole.shape[1])


def test_rebuilding_touches_no_global_random_numbers(folder):
    before = torch.get_rng_state()
    model, _ = load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training


def test_a_missing_column_is_named(folder):
    table = unlabelled(bundled("wine"))
    gone = LabelTable(table.data.drop_columns(["alcohol"]))
    with pytest.raises(ValueError, match="alcohol"):
        methods.predict(folder, gone)


def test_written_predictions_can_be_read_alone(folder, tmp_path):
    table = bundled("wine")
    path = methods.write_predictions(folder, unlabelled(table), tmp_path / "new" / "out.parquet", quiet=True)
    written = pq.read_table(path)
    name = table.task().name
    assert written.column_names == ["id", name, f"{name}_probabilities"]
    classes = written.schema.field(f"{name}_probabilities").metadata[b"classes"].decode().split("\n")
    assert classes == list(table.task().classes)
    frame = written.to_pandas()
    assert frame["id"].tolist() == table.ids.tolist()
    chances = np.stack(frame[f"{name}_probabilities"])
    assert (np.array(classes)[chances.argmax(1)] == frame[name]).all()


def test_damaged_and_foreign_folders_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="not a run folder"):
        methods.predict(tmp_path, bundled("wine"))
    for name in ("config.yaml", "encoder.safetensors", "metrics.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ValueError, match="no finished model"):
        methods.predict(tmp_path, bundled("wine"))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged or of another version"):
        methods.predict(tmp_path, bundled("wine"))
    write_text(tmp_path / "config.yaml", (folder / "config.yaml").read_text().replace("width: 128", "width: 64"))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="damaged or of another version"):
        methods.predict(tmp_path, bundled("wine"))


def test_tasks_named_as_our_columns_keep_their_names(tmp_path):
    wine = bundled("wine")
    task = wine.task()
    columns = {name: wine.data[name] for name in wine.feature_names}
    names = ("id", "split", "example", "id_predicted", "split_probabilities")
    tasks = [replace(task, name=name) for name in names]
    table = LabelTable.from_columns(columns | dict.fromkeys(names, wine.data[task.name]), tasks)
    out = methods.fit(table, "cross-entropy", tmp_path / "model", options={"epochs": 1}, quiet=True)
    kept = pq.read_table(out / "predictions.parquet")
    written = pq.read_table(methods.write_predictions(out, unlabelled(table), tmp_path / "new.parquet", quiet=True))
    assert len(set(kept.column_names)) == 2 + 3 * len(names)
    assert len(set(written.column_names)) == 1 + 2 * len(names)
    assert kept["example_"].to_pylist() == list(range(len(table)))
    assert set(kept["split_"].to_pylist()) == {"train", "validation", "test"}
    for name in names:
        assert kept[name].to_pylist() == wine.data[task.name].to_pylist()
    assert report.to_dict(out)["models"][0]["not_shown"] == []


def test_other_suffixes_and_runs_of_an_audit_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"written as \.parquet; got 'out\.csv'"):
        methods.write_predictions(folder, unlabelled(bundled("wine")), tmp_path / "out.csv")
    (tmp_path / "config.yaml").write_text("labels: [a]\n")
    with pytest.raises(ValueError, match="no model but a run of `labelwise audit`; its models are none yet"):
        methods.predict(tmp_path, bundled("wine"))
