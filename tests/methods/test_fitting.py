import io
import json
import os
import signal
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from labelwise import methods
from labelwise.audit import recorded_margins, run_audit
from labelwise.labels import LabelTable, Task, bundled
from labelwise.methods import fitting
from labelwise.metrics import classification_scores
from labelwise.runs import read_json

# Fits the same table again and again, with a checkpoint and a pause at each epoch.
FIT = """
import sys, time
from labelwise import methods
from labelwise.labels import bundled
from labelwise.methods import training

training._SECONDS_BETWEEN_CHECKPOINTS = 0
answers = training.answers

def slowly(*args):
    time.sleep(float(sys.argv[1]))
    return answers(*args)

training.answers = slowly
try:
    methods.fit(bundled("wine"), out=sys.argv[2], options={"epochs": 40}, quiet=True)
except KeyboardInterrupt:
    raise SystemExit(7)
"""


def flowers():
    return bundled("iris")


def test_what_each_row_was_like_to_learn_is_kept_and_read_by_the_audit(tmp_path):
    table = linked()
    folder = fast(table, tmp_path / "model")
    frame = pq.read_table(folder / "examples.parquet").to_pandas()
    assert list(frame) == ["example", "coarse_loss", "coarse_margin", "fine_loss", "fine_margin"]
    assert len(frame) == read_json(folder / "metrics.json")["rows"]["train"]
    for task in ("coarse", "fine"):
        losses, margins = (np.stack(frame[f"{task}_{kind}"]) for kind in ("loss", "margin"))
        labelled = table.labels(task)[frame["example"]] >= 0
        assert losses.shape == (len(frame), 8)
        assert (np.isfinite(losses) == labelled[:, None]).all()
        # A label with a margin above 0 has more than an equal share of the probability.
        assert (losses[margins > 0] < np.log(len(table.task(task).classes))).all()
        areas = recorded_margins(folder, task)
        np.testing.assert_allclose(areas[frame["example"]], margins.mean(1), rtol=1e-6)
        assert np.isnan(np.delete(areas, frame["example"])).all()
    with pytest.raises(ValueError, match="notes no margins of task None \\(tasks: coarse, fine\\)"):
        recorded_margins(folder)
    with pytest.raises(ValueError, match="notes no margins of task 'coarse'"):
        recorded_margins(fast(table, tmp_path / "other", method="dselect-k"), "coarse")


def test_an_audit_takes_up_what_training_noted(tmp_path):
    clean = bundled("iris")
    labels = clean.labels("species")
    labels[[3, 70, 120]] = [2, 0, 0]
    table = clean.with_labels("species", labels)
    folder = methods.fit(table, "cross-entropy", tmp_path / "model", options={"epochs": 20}, quiet=True)
    found = run_audit(table, run=tmp_path / "with", margins=folder, folds=3, jobs=1, quiet=True).findings
    areas = recorded_margins(folder, "species")
    said = found[found["why"].str.contains("in training another class")]
    assert set(said["example"]) == set(np.flatnonzero(areas < 0))
    assert len(set(said["example"]) & {3, 70, 120}) >= 2  # those that were trained on
    without = run_audit(table, run=tmp_path / "without", folds=3, jobs=1, quiet=True).findings
    assert set(without["example"]) <= set(found["example"])
    with pytest.raises(ValueError, match=r"was fitted to 150 rows, and .* has 149; give the same data"):
        run_audit(table.select(np.arange(149)), run=tmp_path / "other", margins=folder, quiet=True)
    with pytest.raises(ValueError, match="is no folder of `labelwise fit`"):
        run_audit(table, run=tmp_path / "other", margins=tmp_path / "without", quiet=True)
    with pytest.raises(ValueError, match=r"was fitted to species, none of which .* has"):
        run_audit(bundled("wine"), run=tmp_path / "other", margins=folder, quiet=True)
    with pytest.raises(ValueError, match="fitted to rows in another order, or to others: its labels of 'species'"):
        run_audit(table.select(np.roll(np.arange(150), 50)), run=tmp_path / "other", margins=folder, quiet=True)


def fast(table, out, **more):
    return methods.fit(table, more.pop("method", "cross-entropy"), out, options={"epochs": 8}, quiet=True, **more)


def linked(n=120, **roles):
    generator = np.random.default_rng(0)
    fine = generator.integers(0, 4, n)
    coarse = fine // 2
    columns = {
        "x": generator.normal(size=n) + fine,
        "y": generator.normal(size=n) - fine,
        "fine": np.where(np.arange(n) % 7 == 0, -1, fine),
        "coarse": np.where(np.arange(n) % 5 == 0, -1, coarse),
        "group": np.arange(n) // 4,
    }
    tasks = [Task("coarse", classes=("c0", "c1")), Task("fine", classes=("a", "b", "c", "d", "never"), parent="coarse")]
    return LabelTable.from_columns(columns, tasks, **{"group": "group", **roles})


def test_the_folder_holds_everything_and_its_parts_agree(tmp_path):
    table = linked()
    folder = fast(table, tmp_path / "model", method="dselect-k")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.yaml",
        "model.safetensors",
        "encoder.safetensors",
        "metrics.json",
        "history.json",
        "predictions.parquet",
    }
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["method"] == "dselect-k"
    assert [task["classes"] for task in config["tasks"]] == [["c0", "c1"], ["a", "b", "c", "d", "never"]]
    metrics = read_json(folder / "metrics.json")
    frame = pq.read_table(folder / "predictions.parquet").to_pandas()
    unlabelled = (table.labels("coarse") < 0) & (table.labels("fine") < 0)
    assert frame["split"].isna().tolist() == unlabelled.tolist()
    assert metrics["rows"] == {part: int((frame["split"] == part).sum()) for part in ("train", "validation", "test")}
    assert metrics["epochs"] == len(read_json(folder / "history.json"))
    for task in table.tasks:
        chances = np.stack(frame[f"{task.name}_probabilities"])
        np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
        assert (np.array(task.classes)[chances.argmax(1)] == frame[f"{task.name}_predicted"]).all()
        for part in ("validation", "test"):
            rows = frame["split"] == part
            scores = classification_scores(table.labels(task.name)[rows], chances[rows])
            assert metrics["tasks"][task.name][part] == json.loads(json.dumps(scores))
        assert metrics["tasks"][task.name]["temperature"] > 0
        assert len(metrics["experts"]["tasks"][task.name]) == 8
    groups = table.groups
    for group in np.unique(groups):
        assert frame["split"][groups == group].dropna().nunique() <= 1


def test_a_finished_folder_is_given_back_at_once_and_other_settings_are_refused(tmp_path):
    folder = fast(flowers(), tmp_path / "model")
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert fast(flowers(), folder) == folder == fast(flowers(), folder, resume=True)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    for change in ({"seed": 1}, {"method": "dselect-k"}):
        with pytest.raises(ValueError, match="other settings"):
            fast(flowers(), folder, **change)
    with pytest.raises(ValueError, match=r"other settings \(data"):
        fast(flowers().select(np.arange(100)), folder)
    fast(linked(), tmp_path / "grouped")
    with pytest.raises(ValueError, match=r"other settings \(data"):
        fast(linked(group=None), tmp_path / "grouped")


def test_resuming_what_never_began_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"nothing to go on with in .*; run again without resume"):
        fast(flowers(), tmp_path / "model", resume=True)
    assert not (tmp_path / "model").exists()


def wait_for_checkpoints(out, number):
    seen = set()
    deadline = time.monotonic() + 60
    while len(seen) < number and time.monotonic() < deadline:
        path = out / "checkpoint.safetensors"
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.005)
    assert len(seen) == number


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, processes):
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    assert processes.run(FIT, 0, folder) == (0, "", "")
    return folder


def test_killed_runs_go_on_and_end_with_the_same_bytes(tmp_path, processes, undisturbed):
    out = tmp_path / "model"
    for checkpoints in (2, 3):
        pid = processes.start(FIT, 0.05, out)
        wait_for_checkpoints(out, checkpoints)
        os.kill(pid, signal.SIGKILL)
        assert processes.wait()[0] == -signal.SIGKILL
        assert not (out / "model.safetensors").exists()
    with pytest.raises(ValueError, match="no finished model"):
        methods.predict(out, bundled("wine"))
    assert processes.run(FIT, 0, out) == (0, "", "")
    for name in ("model.safetensors", "metrics.json", "history.json", "predictions.parquet", "encoder.safetensors"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert {path.name for path in out.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_ctrl_c_leaves_a_folder_to_go_on_with(tmp_path, processes, undisturbed):
    out = tmp_path / "model"
    pid = processes.start(FIT, 0.05, out)
    wait_for_checkpoints(out, 3)
    os.kill(pid, signal.SIGINT)
    assert processes.wait() == (7, "", "")
    assert processes.run(FIT, 0, out) == (0, "", "")
    assert (out / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_a_full_disk_while_writing_leaves_no_half_finished_model(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "save_file", full)
        with pytest.raises(OSError, match="No space left"):
            fast(flowers(), tmp_path / "model")
    assert not (tmp_path / "model" / "model.safetensors").exists()
    fast(flowers(), tmp_path / "model")
    fast(flowers(), tmp_path / "other")
    for name in ("model.safetensors", "predictions.parquet"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_learning_one_task_neither_sees_the_others_nor_changes_the_split(tmp_path):
    both = pq.read_table(fast(linked(), tmp_path / "both") / "predictions.parquet").to_pandas()
    folder = fast(linked(), tmp_path / "one", tasks=["fine"])
    one = pq.read_table(folder / "predictions.parquet").to_pandas()
    shared = one["split"].notna()
    assert (one["split"][shared] == both["split"][shared]).all()
    assert list(methods.predict(folder, linked())) == ["fine"]
    # The same answers where the columns of labels hold something else: they are no features.
    other = linked().with_labels("coarse", np.zeros(120, int))
    np.testing.assert_array_equal(methods.predict(folder, other)["fine"], methods.predict(folder, linked())["fine"])


def test_unreadable_and_unlabelled_rows_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    pictures = []
    for row in range(60):
        file = io.BytesIO()
        Image.fromarray((generator.random((8, 8)) * 100 + 150 * (row % 2)).clip(0, 255).astype(np.uint8)).save(
            file, "PNG"
        )
        pictures.append(file.getvalue())
    pictures[4] = b"not a picture"
    labels = np.arange(60) % 2
    labels[10] = -1
    table = LabelTable.from_columns(
        {"picture": pictures, "label": labels}, [Task("label", classes=("dark", "light"))], media=("picture", "image")
    )
    with pytest.warns(UserWarning, match=r"1 rows of table could not be read and are left out \(row 4"):
        folder = methods.fit(table, out=tmp_path / "model", options={"epochs": 3}, quiet=True)
    frame = pq.read_table(folder / "predictions.parquet").to_pandas()
    assert len(frame) == 59
    assert 4 not in set(frame["example"])
    assert frame.set_index("example")["split"].isna().to_dict()[10]
    with pytest.warns(UserWarning, match="have no prediction"):
        chances = methods.predict(folder, table)["label"]
    assert np.isnan(chances).any(1).tolist() == [row == 4 for row in range(60)]
    with pytest.warns(UserWarning, match="have no prediction"):
        written = pq.read_table(methods.write_predictions(folder, table, tmp_path / "out.parquet")).to_pandas()
    assert written["label"].isna().tolist() == [row == 4 for row in range(60)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dselectk"}, "did you mean 'dselect-k'"),
        ({"options": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"options": {"k": 0}}, "k must be at least 1"),
        ({"tasks": ["fin"]}, "name one of the tasks coarse, fine; got 'fin'"),
        ({"tasks": []}, "no label column to learn"),
        ({"text": "some-model"}, "needs a column of texts"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        methods.fit(linked(), out=tmp_path / "model", quiet=True, **change)
    assert not (tmp_path / "model").exists()


def test_a_task_with_one_class_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'coarse' \(table\) hold 1 classes; learning needs 2"):
        fast(linked().with_labels("coarse", np.zeros(120, int)), tmp_path / "model")


def test_without_a_name_the_folder_is_named_by_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = fast(flowers(), None)
    assert folder.parent.name == "runs"
    assert fast(flowers(), None) == folder != fast(flowers(), None, seed=1)


@pytest.mark.slow
@pytest.mark.data
def test_frog_calls_are_learned_and_no_recording_is_on_both_sides(tmp_path, data):
    from labelwise.labels import read

    table = read(data / "frog-calls" / "frogs_mfcc.csv.gz", labels=["Family", "Genus", "Species"], group="RecordID")
    folder = methods.fit(table, "dselect-k", tmp_path / "model", options={"epochs": 20}, quiet=True)
    metrics = read_json(folder / "metrics.json")
    for task in table.tasks:
        # Whoever always says one class recalls 1 / classes of them; shares of classes differ between few recordings.
        assert metrics["tasks"][task.name]["test"]["macro_recall"]["low"] > 1 / len(task.classes)
    parts = pq.read_table(folder / "predictions.parquet").to_pandas()["split"].to_numpy()
    for group in np.unique(table.groups):
        assert len(set(parts[table.groups == group])) == 1
