import numpy as np
import pytest

from labelwise.audit.balance import balance_issues
from labelwise.labels import LabelTable, Task


def issues(*counts, missing=0):
    codes = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(missing, -1)])
    names = tuple("abcdefgh"[: len(counts)])
    return list(balance_issues(LabelTable.from_columns({"y": codes}, [Task("y", "single", names)])))


def test_equal_classes_are_balanced_whatever_is_missing_or_empty():
    assert not issues(50, 50, 50)
    assert not issues(50, 50, 0, missing=400)
    assert not issues(80, 20)


def test_skew_is_scored_by_the_number_of_equal_classes():
    (one,) = issues(900, 50, 50)
    shares = np.array([0.9, 0.05, 0.05])
    assert one.kind == "imbalance"
    assert one.score == pytest.approx(1 - np.exp(-(shares * np.log(shares)).sum()) / 3)
    assert "'a' has 900 rows, 'b' 50" in one.why
    assert len(one.examples) == 10


def test_classes_below_ten_rows_are_rare():
    found = [each for each in issues(30, 30, 9, 1, 0) if each.kind != "imbalance"]
    assert [(each.kind, each.subject, each.rows) for each in found] == [("rare_class", "c", 9), ("rare_class", "d", 1)]
    assert [each.score for each in found] == pytest.approx([0.1, 0.9])
    assert found[1].examples == (69,)


def test_other_kinds_of_labels_are_left_alone():
    table = LabelTable.from_columns({"y": np.arange(20.0)}, [Task("y", "real")])
    assert not list(balance_issues(table))
