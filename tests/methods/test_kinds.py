"""Tasks of every kind: laws of their losses, and fits from a table to predictions."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labelwise import methods, report
from labelwise.labels import LabelTable, Task
from labelwise.methods import Plan, get, train
from labelwise.methods.batch import Batch
from labelwise.methods.kinds import KINDS
from labelwise.methods.training import answers
from labelwise.runs import read_json

CLASSES = ("p", "q", "r")
TASKS = (
    Task("one", "single", CLASSES),
    Task("set", "multi", CLASSES),
    Task("share", "soft", CLASSES),
    Task("size", "real"),
)
EVERY = ["cross-entropy", "dselect-k", "mixup"]


def labels(n, seed=0):
    """Labels of every kind, as tables give them, with gaps."""
    generator = np.random.default_rng(seed)
    one, held = generator.integers(0, 3, n), generator.integers(0, 2, (n, 3)).astype(np.int8)
    share, size = generator.dirichlet(np.ones(3), n), generator.normal(1000, 50, n)
    one[::5], held[1::5], share[2::5], size[3::5] = -1, -1, np.nan, np.nan
    return {"one": one, "set": held, "share": share, "size": size}


def tensors(given):
    return {name: torch.tensor(values) for name, values in given.items()}


def model(name, **options):
    torch.manual_seed(0)
    return get(name)(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), TASKS, input_shape=[4], **options)


def table(n=160):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n, 3))
    share = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    given = {
        "size": np.where(np.arange(n) % 9 == 0, np.nan, 1e6 + 1000 * (x[:, 0] - x[:, 1])),
        "set": [None if row % 10 == 1 else [CLASSES[k] for k in np.flatnonzero(x[row] > 0)] for row in range(n)],
        "share": [None if row % 11 == 2 else share[row].tolist() for row in range(n)],
    }
    return LabelTable.from_columns({**{f"x{k}": x[:, k] for k in range(3)}, **given}, TASKS[1:])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_missing_labels_cost_nothing_and_have_no_gradient(task):
    kind = KINDS[task.kind]
    given = torch.tensor(labels(20)[task.name])
    targets = kind.targets(given)
    outputs = torch.randn(20, kind.outputs(task), requires_grad=True)
    losses = kind.losses(outputs, targets)
    losses.sum().backward()
    known = kind.known(given)
    assert torch.equal(known, kind.known(targets))
    assert 0 < known.sum() < 20
    assert torch.equal(losses != 0, known)
    assert torch.equal((outputs.grad != 0).any(1), known)


def test_sets_of_one_class_are_yes_or_no_and_certain_distributions_are_classes():
    outputs = torch.randn(10, 3, dtype=torch.float64)
    codes = torch.randint(0, 3, (10,))
    certain = F.one_hot(codes, 3).double()
    torch.testing.assert_close(KINDS["soft"].losses(outputs, certain), KINDS["single"].losses(outputs, codes))
    yes = (codes == 0).long()
    two = torch.stack([torch.zeros(10, dtype=torch.float64), outputs[:, 0]], 1)
    torch.testing.assert_close(
        KINDS["multi"].losses(outputs[:, :1], yes[:, None].double()), KINDS["single"].losses(two, yes)
    )


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_mixing_losses_has_the_gradient_of_the_loss_of_the_mixed_label(task):
    kind = KINDS[task.kind]
    own, other = (kind.targets(torch.tensor(labels(30, seed)[task.name])) for seed in (0, 1))
    known = kind.known(own) & kind.known(other)
    own, other, weight = own[known], other[known], torch.rand(int(known.sum()))
    outputs = torch.randn(len(own), kind.outputs(task), requires_grad=True)
    shared = weight * kind.losses(outputs, own) + (1 - weight) * kind.losses(outputs, other)
    gradient = torch.autograd.grad(shared.sum(), outputs)[0]
    share = weight if own.ndim == 1 else weight[:, None]
    if task.kind == "single":
        own, other, kind = F.one_hot(own, 3).float(), F.one_hot(other, 3).float(), KINDS["soft"]
        share = weight[:, None]
    mixed = kind.losses(outputs, share * own + (1 - share) * other)
    torch.testing.assert_close(torch.autograd.grad(mixed.sum(), outputs)[0], gradient)


def test_mixup_of_nothing_is_plain_training():
    given = model("cross-entropy").prepare(tensors(labels(24)), torch.arange(24))
    batch = Batch(torch.arange(24), torch.randn(24, 4), given)
    losses = [
        model(name, **options).training_step(batch)
        for name, options in (("cross-entropy", {}), ("mixup", {"alpha": 0.0}))
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("name", EVERY)
def test_numbers_are_answered_in_their_unit_whatever_it_is(name):
    inputs = torch.randn(60, 4)
    given = tensors(labels(60))
    said = []
    for factor, offset in ((1.0, 0.0), (1e-3, 5.0)):
        torch.manual_seed(1)
        made = model(name)
        scaled = given | {"size": given["size"] * factor + offset}
        history = train(
            made, inputs, scaled, np.arange(50), np.arange(50, 60), Plan(epochs=2, batch_size=16), quiet=True
        )
        found = made.probabilities(answers(made, inputs, np.arange(60)))
        assert found["size"].shape == (60,)
        assert set(history[0]["validation_accuracy"]) == {"one"}
        for task in ("one", "share"):
            torch.testing.assert_close(found[task].sum(1), torch.ones(60))
        said.append((found["size"] - offset) / factor)
        restored = model(name)
        restored.load_state_dict(made.state_dict())
        again = restored.probabilities(answers(restored, inputs, np.arange(60)))
        assert torch.equal(again["size"], found["size"])
    torch.testing.assert_close(*said, rtol=0, atol=0.05)


def test_the_mean_and_spread_are_those_of_the_training_rows():
    made, given = model("cross-entropy"), tensors(labels(50))
    rows = torch.arange(0, 50, 2)
    targets = made.prepare(given, rows)["size"]
    assert targets.dtype == torch.float32
    known = targets[rows][~targets[rows].isnan()]
    torch.testing.assert_close(known.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(known.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)
    assert torch.equal(targets.isnan(), given["size"].isnan())
    constant = made.prepare(given | {"size": torch.full((50,), 3.0)}, rows)["size"]
    assert torch.equal(constant, torch.zeros(50))


def test_a_table_without_classes_a_row_is_split_learned_measured_and_predicted(tmp_path):
    data = table()
    folder = methods.fit(data, "cross-entropy", tmp_path / "model", options={"epochs": 25}, quiet=True)
    measured = read_json(folder / "metrics.json")["tasks"]
    assert set(measured["size"]["test"]) == {"n", "mae", "rmse", "r2", "spearman"}
    assert set(measured["set"]["test"]) == {"n", "map", "micro_f1", "macro_f1", "subset_accuracy"}
    assert set(measured["share"]["test"]) == {"n", "cross_entropy", "accuracy"}
    assert measured["size"]["test"]["r2"]["value"] > 0.5
    assert measured["set"]["test"]["map"]["value"] > 0.8
    assert measured["share"]["test"]["accuracy"]["value"] > 0.6
    kept = pq.read_table(folder / "predictions.parquet")
    assert "size_probabilities" not in kept.column_names
    assert kept["set"].to_pylist() == data.data["set"].to_pylist()
    frame = kept.to_pandas()
    errors = (frame["size_predicted"] - frame["size"])[frame["split"] == "test"].abs()
    assert errors.mean() == pytest.approx(measured["size"]["test"]["mae"]["value"])
    predicted = methods.predict(folder, data)
    np.testing.assert_allclose(predicted["size"], frame["size_predicted"], rtol=1e-6)
    written = pq.read_table(methods.write_predictions(folder, data, tmp_path / "p.parquet", quiet=True))
    assert written.column_names == ["id", "set", "set_probabilities", "share", "share_probabilities", "size"]
    sets = [[CLASSES[k] for k in np.flatnonzero(row >= 0.5)] for row in predicted["set"]]
    assert written["set"].to_pylist() == sets == kept["set_predicted"].to_pylist()
    page = report.write(folder).read_text(encoding="utf-8")
    assert "Scores of numbers, sets of classes and distributions" in page
    assert "macro precision" not in page
    assert "validation_accuracy" not in read_json(folder / "history.json")[0]


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (Task("y", "real"), [1.0, 1.0, None, 1.0], "'y' .*hold 1 different numbers; learning needs 2"),
        (Task("y", "multi", ("a", "b")), [["a"], ["a"], None, ["a"]], "'y' .*are all the same set, or missing"),
        (Task("y", "soft", ("a", "b")), [None, None, None, None], "'y' .*are all missing"),
        (Task("y", "count", ("a", "b")), [[1.0, 2.0]] * 4, "is of kind 'count'; what can be fitted is single, multi"),
    ],
)
def test_labels_with_nothing_to_learn_are_refused(task, values, message, tmp_path):
    import pyarrow as pa

    kind = pa.float64() if task.kind == "real" else pa.list_(pa.string() if task.kind == "multi" else pa.float64())
    data = LabelTable(pa.table({"x": [0.0, 1, 2, 3], "y": pa.array(values, kind)}), (task,))
    with pytest.raises(ValueError, match=message):
        methods.fit(data, "cross-entropy", tmp_path / "model", quiet=True)


def test_methods_for_single_classes_refuse_other_kinds_before_anything_is_written(tmp_path):
    with pytest.raises(
        ValueError, match="learns tasks of kind 'single'; 'set' is of kind 'multi'; method 'cross-entropy'"
    ):
        methods.fit(table(), "rank-mixup", tmp_path / "model", quiet=True)
    assert not (tmp_path / "model").exists()
