"""Putting findings into effect."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from labelwise.audit.findings import from_frame, worst_first
from labelwise.audit.taxonomy import parent_of_classes
from labelwise.labels import LabelTable


def apply_corrections(table: LabelTable, findings: pd.DataFrame) -> LabelTable:
    """Correct labels as findings suggest; the examples stay, in their order.

    - `label` and `taxonomy` with a suggestion: the suggested class; `label` without one: the label becomes missing.
    - `unreadable`: all labels of the example become missing.
    - Where a class was changed, the linked parent gets the class that most rows of the new class have (in the table as
      given), unless a finding of its own says what it should be or it is missing. Where a label became missing the
      parent's stays.
    - Duplicates and outliers are left alone: which labels are right is for people to say.

    Of several findings about one label the worst counts. Raises `ValueError` for a row or class that is not in the
    table.
    """
    rows = findings["example"].to_numpy(np.int64)
    outside = rows[(rows < 0) | (rows >= len(table))]
    if len(outside):
        raise ValueError(
            f"findings are about row {outside[0]}, but {table.source} has {len(table)} rows; give the audited table"
        )
    unreadable = rows[(findings["kind"] == "unreadable").to_numpy()]
    corrected = {task.name: table.labels(task.name).copy() for task in table.tasks if task.kind == "single"}
    decided = {name: np.zeros(len(table), bool) for name in corrected}
    for finding in worst_first(from_frame(findings)):
        counts = finding.kind == "label" or (finding.kind == "taxonomy" and finding.suggested is not None)
        if not counts or finding.task not in corrected or decided[finding.task][finding.example]:
            continue
        corrected[finding.task][finding.example] = _code(table, finding.task, finding.suggested)
        decided[finding.task][finding.example] = True

    for name in _children_first(table, corrected):
        parent = table.task(name).parent
        if parent is None or parent not in corrected:
            continue
        follow = parent_of_classes(table, name)
        above = np.where(corrected[name] >= 0, follow[corrected[name]], -1)
        changed = (corrected[name] != table.labels(name)) & (above >= 0)
        changed &= (corrected[parent] >= 0) & ~decided[parent]
        corrected[parent][changed] = above[changed]

    for name, codes in corrected.items():
        codes[unreadable] = -1
        table = table.with_labels(name, codes)
    return table


def _code(table: LabelTable, task: str, name: str | None) -> int:
    if name is None:
        return -1
    classes = table.task(task).classes
    if name not in classes:
        raise ValueError(
            f"a finding suggests {name!r}, which is not a class of task {task!r} ({', '.join(classes[:20])})"
        )
    return classes.index(name)


def _children_first(table: LabelTable, names: Iterable[str]) -> list[str]:
    """Tasks so that each comes before its parent."""

    def depth(name: str) -> int:
        steps, parent = 0, table.task(name).parent
        while parent is not None and steps < len(table.tasks):
            steps, parent = steps + 1, table.task(parent).parent
        return steps

    return sorted(names, key=depth, reverse=True)
