import numpy as np
import pytest
from tests.methods.noisy.samples import make

from labelwise.labels import LabelTable, Task, Transition
from labelwise.methods import fit
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
