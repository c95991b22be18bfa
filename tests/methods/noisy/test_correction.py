import numpy as np
import pytest
import torch
from tests.methods.noisy.samples import backbone, make, problem

from labelwise.labels import LabelTable, Task, Transition
from labelwise.methods import Plan, fit, get, train
from labelwise.runs import CONFIG


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "transition must be anchors, joint, hoc or a file; there is no file 'measured.json'"),
        ("uv", "measured.json is between the classes u, v, none of which a task has"),
    ],
)
def test_a_transition_that_does_not_fit_is_told_before_anything_is_begun(tmp_path, monkeypatch, names, message):
    monkeypatch.chdir(tmp_path)
    if names:
        Transition.identity(names).write("measured.json")
    codes = np.arange(40) % 2
    table = LabelTable.from_columns({"x": codes + 0.5, "y": codes}, [Task("y", "single", ("a", "b"))])
    with pytest.raises(ValueError, match=message):
        fit(table, "forward-correction", "run", options={"transition": "measured.json"}, quiet=True)
    assert not (tmp_path / "run" / CONFIG).exists()


def test_transitions_of_other_tasks_are_refused():
    with pytest.raises(ValueError, match="transitions must be of the tasks a, b; got one of 'c'"):
        make("t-revision", transitions={"c": Transition.identity("xy")})


def test_a_task_of_two_labels_does_not_end_hoc():
    inputs, targets, _ = problem()
    few = torch.full((180,), -1)
    few[:2] = torch.tensor([0, 1])
    tasks = (Task("a", classes=("x", "y", "z", "rare")), Task("few", classes=("p", "q")))
    method = get("forward-correction")(backbone(), tasks, input_shape=[5], transition="hoc")
    given = {"a": targets["a"], "few": few}
    train(method, inputs, given, np.arange(140), np.arange(140, 180), Plan(epochs=2, batch_size=32), quiet=True)
    assert method.matrix("few").equal(torch.eye(2))
    assert method.notes == ["'few' has too few labels for hoc: they count as never mistaken"]
    assert not method.matrix("a").equal(torch.eye(4))
