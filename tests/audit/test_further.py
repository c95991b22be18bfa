import sys
from collections import Counter

import numpy as np
import pytest

from labelwise.audit import further
from labelwise.audit.annotators import answers_of
from labelwise.labels import LabelTable, Task, read
from labelwise.models import encode

N = 240


def make() -> tuple[LabelTable, np.ndarray]:
    """Three clouds; row 0 is far from all, and a cloud of 30 more goes under the name of the first class."""
    generator = np.random.default_rng(0)
    cloud = np.concatenate([np.arange(N) % 3, np.full(30, 3)])
    features = generator.standard_normal((len(cloud), 6))
    features[np.arange(len(cloud)), cloud] += 12
    features[0] = 200
    columns = {"file": np.argsort(np.argsort(cloud, kind="stable")), "y": cloud % 3}
    return LabelTable.from_columns(columns, [Task("y", "single", ("a", "b", "c"))]), features


def look(table, means, features, answers=None, labels_only=False):
    notes: list[str] = []
    found, issues = further.look_further(table, means, features, answers, labels_only, 0, notes)
    return found, Counter(each.kind for each in issues), notes


def test_every_detector_runs_that_has_what_it_needs():
    table, features = make()
    probability = np.eye(3)[table.labels("y")] * 0.9 + 0.1 / 3
    found, kinds, notes = look(table, {"y": probability}, features)
    assert [(each.example, each.kind) for each in found] == [(0, "outlier")]
    assert kinds == {"leak": 1, "new_class": 1}
    assert notes == []


def test_what_cannot_be_looked_for_is_noted():
    table, features = make()
    found, kinds, notes = look(table, {}, None)
    assert (found, kinds) == ([], {"leak": 1})
    assert "needs features" in notes[0]
    assert "needs models" in notes[1]
    few = table.select(np.arange(30))
    assert "done for 50 to 1,000,000 rows" in look(few, {}, features[:30])[2][0]
    assert look(table, {}, None, labels_only=True) == ([], {}, [])


def test_unreadable_rows_are_no_outliers():
    table, features = make()
    broken = LabelTable(table.data, table.tasks, unreadable={0: "broken"})
    assert look(broken, {}, features)[0] == []


def test_annotators_are_compared_or_the_extra_is_named(monkeypatch):
    table, _ = make()
    truth = table.labels("y")
    generator = np.random.default_rng(0)
    wrong = generator.random((3, len(truth))) < np.array([[0.05], [0.05], [0.5]])
    said = np.where(wrong, (truth + 1) % 3, truth)
    names = ("ann", "ben", "cleo")
    people = LabelTable.from_columns(
        dict(zip(names, said, strict=True)), [Task(name, "single", ("a", "b", "c")) for name in names]
    )
    answers = answers_of(people, names)
    monkeypatch.setattr(further, "find_spec", lambda name: None)
    assert "labelwise[annotators]" in look(people, {}, None, answers, labels_only=True)[2][0]
    monkeypatch.undo()
    pytest.importorskip("crowdkit", reason="needs the extra 'annotators'")
    assert look(people, {}, None, answers, labels_only=True)[1:] == ({"annotator": 1}, [])
    assert "crowdkit" in sys.modules


@pytest.mark.data
def test_frog_calls_do_not_drown_in_issues(data):
    table = read(data / "frog-calls" / "frogs_mfcc.csv.gz", ["Family", "Genus", "Species"], group="RecordID")
    found, kinds, _ = look(table, {}, encode(table, quiet=True).features)
    assert len(found) < 0.01 * len(table)
    assert kinds == {"imbalance": 3, "new_class": 1}
