import numpy as np

from labelwise.audit.near_duplicates import NO_PAIRS, Pairs
from labelwise.audit.repeats import repeat_issues
from labelwise.labels import LabelTable, Task

CODES = np.arange(8) % 2
TWINS = np.array([0, -1, 0, -1, 0, 1, -1, 1])  # rows 0, 2, 4 are equal, and 5, 7
NEAR = Pairs(np.array([1, 3, 1, 6]), np.array([3, 1, 6, 1]), np.full(4, 0.9))  # 1 ~ 3, 1 ~ 6


def find(twins=TWINS, near=NEAR, codes=CODES, **more):
    columns = {"y": codes} | more
    roles = {name: name for name in more}
    table = LabelTable.from_columns(columns, [Task("y", "single", ("a", "b"))], **roles)
    return list(repeat_issues(table, twins, near))


def test_later_rows_with_equal_labels_are_counted_once():
    (one,) = find()
    assert (one.kind, one.task, one.rows, one.score) == ("repeated", None, 4, 0.5)
    assert one.examples == (2, 3, 4, 7)  # 1 and 6 have other labels


def test_nothing_repeated_is_no_issue():
    assert not find(np.full(8, -1), NO_PAIRS)
    assert not find(codes=np.full(8, -1), twins=np.full(8, -1), near=NO_PAIRS)


def test_rows_of_one_group_may_be_alike():
    assert not find(group=np.zeros(8, int))
    (one,) = find(group=np.array([0, 1, 0, 2, 1, 5, 1, 5]))
    assert one.examples == (3, 4)
    assert "of another group" in one.why


def test_repetitions_across_splits_are_told():
    parts = np.array(["train"] * 4 + ["test"] * 4, object)
    (one,) = find(split=parts)
    assert "1 of them one in another split" in one.why
    assert "split" not in find()[0].why
