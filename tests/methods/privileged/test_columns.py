import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from labelwise import methods
from labelwise.cli.main import app
from labelwise.labels import LabelTable, Task, bundled
from labelwise.methods.privileged import check_taken, encode_hidden, withhold
from labelwise.runs import read_json

HIDDEN = ["petal length (cm)", "petal width (cm)"]


def flowers(**more):
    return methods.fit(bundled("iris"), options={"epochs": 3}, quiet=True, **more)


def test_alpha_0_gives_the_files_of_the_baseline_and_neither_sees_the_columns(tmp_path):
    table = bundled("iris")
    seen, _ = withhold(table, HIDDEN)
    plain = methods.fit(seen, "cross-entropy", tmp_path / "plain", options={"epochs": 3}, quiet=True)
    options = {"epochs": 3, "alpha": 0.0}
    taught = methods.fit(table, "lupi", tmp_path / "taught", options=options, privileged=HIDDEN, quiet=True)
    for name in ("history.json", "encoder.safetensors"):
        assert (plain / name).read_bytes() == (taught / name).read_bytes()
    weights, others = (load_file(folder / "model.safetensors") for folder in (plain, taught))
    assert list(weights) == list(others)
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    # In use the columns may be missing or hold anything.
    spoiled = table.data.set_column(table.data.column_names.index(HIDDEN[0]), HIDDEN[0], [[0.0] * len(table)])
    answers = [methods.predict(taught, each)["species"] for each in (table, seen, LabelTable(spoiled))]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_a_teacher_is_reported_and_leaves_no_file(tmp_path):
    folder = flowers(method="lupi", out=tmp_path / "run", privileged=HIDDEN)
    metrics = read_json(folder / "metrics.json")
    assert set(metrics["teacher"]["tasks"]["species"]) == {"validation", "test"}
    assert not list(folder.glob("*checkpoint*"))
    assert flowers(method="lupi", out=folder, privileged=HIDDEN) == folder
    with pytest.raises(ValueError, match="other settings"):
        flowers(method="lupi", out=folder, privileged=HIDDEN[:1])


def test_stopped_in_the_teachers_or_the_students_training_it_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    from labelwise.methods import training
    from labelwise.methods.method import Method

    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    expected = flowers(method="lupi", out=tmp_path / "whole", privileged=HIDDEN)
    steps = len(read_json(expected / "history.json"))
    for stop_at in (4, 4, 10_000):  # in the teacher's training, in the student's, never
        done = []

        def step(self, *_, done=done, stop_at=stop_at):
            done.append(self)
            if self.current_epoch == 2 and len({id(one) for one in done}) == (1 if stop_at == 4 else 2):
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Method, "on_train_batch_start", step, raising=False)
            if stop_at == 4:
                with pytest.raises(KeyboardInterrupt):
                    flowers(method="lupi", out=tmp_path / "stopped", privileged=HIDDEN)
    resumed = flowers(method="lupi", out=tmp_path / "stopped", privileged=HIDDEN)
    assert steps == 3
    for name in ("model.safetensors", "history.json", "metrics.json", "examples.parquet"):
        assert (resumed / name).read_bytes() == (expected / name).read_bytes(), name


def test_the_command_line_says_which_columns_only_the_teacher_sees(tmp_path, monkeypatch):
    asked = {}

    def fit(table, method, out, **more):
        asked.update(more, method=method)
        raise ValueError("enough")

    monkeypatch.setattr(methods, "fit", fit)
    bundled("iris").to_pandas().to_csv(tmp_path / "iris.csv", index=False)
    arguments = ["fit", str(tmp_path / "iris.csv"), "--label", "species", "--method", "lupi"]
    for name in HIDDEN:
        arguments += ["--privileged", name]
    assert CliRunner().invoke(app, arguments).exit_code != 0
    assert (asked["method"], asked["privileged"]) == ("lupi", HIDDEN)


def pictures(n=12):
    generator = np.random.default_rng(0)
    columns = {
        "photo": generator.random((n, 8, 8, 3)).astype(np.float32),
        "depth": generator.random((n, 8, 8, 1)).astype(np.float32),
        "wide": generator.random((n, 8, 9, 1)).astype(np.float32),
        "y": np.arange(n) % 2,
    }
    return LabelTable.from_columns(columns, [Task("y", classes=("a", "b"))])


def test_pictures_go_beside_pictures_of_their_size():
    seen, hidden = withhold(pictures(), ["depth"])
    assert (seen.feature_names, hidden.feature_names) == (["photo", "wide"], ["depth"])
    inputs = torch.zeros(12, 3, 8, 8)
    assert encode_hidden(hidden, np.arange(8), inputs).shape[2:] == (8, 8)
    with pytest.raises(ValueError, match=r"privileged features must have the shape .* got \[\d, 8, 9\] beside \[3, 8"):
        encode_hidden(withhold(pictures(), ["wide"])[1], np.arange(8), inputs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["petal"], "has no column 'petal'"),
        (["species"], "must be a feature; 'species' of .* has another role"),
        (["sepal length (cm)", "sepal width (cm)", *HIDDEN], "all features of .* are privileged"),
    ],
)
def test_columns_that_cannot_be_withheld_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        withhold(bundled("iris"), names)


def test_columns_and_method_must_go_together():
    with pytest.raises(ValueError, match="'lupi' learns from columns known in training alone; name one"):
        check_taken("lupi", [])
    with pytest.raises(ValueError, match=r"'dselect-k' has no teacher .* use --method lupi"):
        check_taken("dselect-k", HIDDEN)
