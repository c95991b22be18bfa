"""Examples that are there more than once under the same labels."""

from collections.abc import Iterator

import numpy as np

from labelwise.audit.data_issues import SHOWN, DataIssue
from labelwise.audit.near_duplicates import Pairs
from labelwise.labels import LabelTable


def repeat_issues(table: LabelTable, twins: np.ndarray, near: Pairs) -> Iterator[DataIssue]:
    """Give at most one issue, kind `repeated`: how many rows equal or almost equal an earlier one with the same labels.

    Rows of equal number in `twins` [n] (>= 0) are equal, the pairs in `near` almost so. Rows of one group may be alike
    (that is what a group is for), so where there are groups only pairs across them count. The score is the share of
    all rows. Told too is how many repeat a row of another split: a test that was seen in training measures memory.
    """
    order = np.argsort(twins, kind="stable")
    order = order[twins[order] >= 0]
    equal = twins[order[1:]] == twins[order[:-1]]
    left = np.concatenate([order[:-1][equal], near.left])
    right = np.concatenate([order[1:][equal], near.right])
    keep = np.ones(len(left), bool)
    for task in table.tasks:
        if task.kind == "single":
            codes = table.labels(task.name)
            keep &= codes[left] == codes[right]
    groups = table.groups
    if groups is not None:
        keep &= groups[left] != groups[right]
    left, right = left[keep], right[keep]
    later = np.unique(np.maximum(left, right))
    if not len(later):
        return
    why = f"they equal or almost equal an earlier row{' of another group' if table.group else ''} with the same labels"
    if table.split is not None:
        parts = np.array(table.data[table.split].to_pylist(), object)
        across = np.unique(np.maximum(left, right)[parts[left] != parts[right]])
        if len(across):
            why += f"; {len(across):,} of them one in another split, so that a test measures memory"
    yield DataIssue("repeated", None, "rows", len(later), len(later) / len(table), why, tuple(later[:SHOWN].tolist()))
