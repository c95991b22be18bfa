"""Groups of rows that models predict worse than the others."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import hypergeom

from labelwise.audit.blocks import best_classes
from labelwise.audit.columns import coded_columns
from labelwise.audit.data_issues import SHOWN, DataIssue
from labelwise.labels import LabelTable

_FEWEST = 10  # rows of a group
_MOST = 50  # values of a column that are groups
_LEVEL = 0.01
_WORSE = 0.1


def significantly_worse(right: np.ndarray, rows: np.ndarray, all_right: int, all_rows: int) -> np.ndarray:
    """Tell which groups have a lower share of right answers than the other rows, bool [groups].

    `right` and `rows`, int [groups]: how many of each group's rows are right, and how many there are; groups may
    overlap. A group is worse if its share is below that of all rows outside it by at least 0.1, and if Fisher's exact
    test (one-sided: as many right at most, were the `all_right` of `all_rows` drawn at random) gives p < 0.01 after
    Holm's correction over all groups (Scandinavian Journal of Statistics 6, 1979).
    """
    others = (all_right - right) / np.maximum(all_rows - rows, 1)
    p = hypergeom.cdf(right, all_rows, all_right, rows)
    order = np.argsort(p, kind="stable")
    rejected = np.zeros(len(p), bool)
    rejected[order] = np.logical_and.accumulate(p[order] * np.arange(len(p), 0, -1) < _LEVEL)
    return rejected & (others - right / np.maximum(rows, 1) >= _WORSE)


def underperforming_groups(table: LabelTable, task: str, probability: np.ndarray) -> Iterator[DataIssue]:
    """Give one issue for each group of rows that is predicted significantly worse, kind `underperforming_group`.

    `probability` [n, classes] is out of sample. Groups are the values, of ten labelled rows or more, of any column with
    2 to 50 values that is no measurement (words, whole numbers, truth values, dates): features, the split, the groups,
    and the labels of tasks that are not linked to this one. `significantly_worse` says which are named. The score is
    the difference in accuracy to all other rows. Accuracy is agreement with the given labels: a group is worse because
    it is harder, of rarer classes, or worse labelled. The rows of a group count as independent, which makes small
    differences between, say, recordings look surer than they are.
    """
    given = table.labels(task)
    labelled = np.flatnonzero(given >= 0)
    right = (best_classes(probability)[labelled] == given[labelled]).astype(np.int64)
    found = []
    for column in coded_columns(table, _columns(table, task)):
        if not 2 <= len(column.values) <= _MOST:
            continue
        codes = column.codes[labelled] + 1  # 0 is missing
        rows = np.bincount(codes, minlength=len(column.values) + 1)
        good = np.bincount(codes, right, minlength=len(rows)).astype(np.int64)
        found += [
            (column, code, good[code], rows[code])
            for code in range(1, len(rows))
            if _FEWEST <= rows[code] < len(labelled)
        ]
    if not found:
        return
    good, rows = (np.array([each[at] for each in found]) for at in (2, 3))
    for at in np.flatnonzero(significantly_worse(good, rows, int(right.sum()), len(right))):
        column, code, k, m = found[at]
        others = (right.sum() - k) / (len(right) - m)
        why = (
            f"models predict {k / m:.0%} of the labels of its {m:,} rows and {others:.0%} of the others: these are "
            "harder, of rarer classes, or worse labelled"
        )
        wrong = labelled[(column.codes[labelled] == code - 1) & (right == 0)][:SHOWN]
        subject = f"{column.name} = {column.values[code - 1]}"
        yield DataIssue(
            "underperforming_group", task, subject, int(m), float(others - k / m), why, tuple(wrong.tolist())
        )


def _columns(table: LabelTable, task: str) -> list[str]:
    """Columns that may name groups: not the labels of the same tree of tasks, which say what is to be predicted."""
    parents = {each.name: each.parent for each in table.tasks}

    def root(name: str) -> str:
        while (above := parents[name]) is not None:
            name = above
        return name

    labels = [each.name for each in table.tasks if each.kind == "single" and root(each.name) != root(task)]
    return [*filter(None, [table.group, table.split]), *labels, *table.feature_names]
