"""Putting findings into effect."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from labelwise.audit.findings import Finding, from_frame, worst_first
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
    codes, decided = by_findings(table, findings)
    return put_labels(table, codes, decided, unreadable_rows(findings))


Codes = dict[str, np.ndarray]
"""Class indices by task of kind `single`, int64 [n], missing -1."""
Decided = dict[str, np.ndarray]
"""By task, which labels were decided on rather than follow from others, bool [n]."""


def by_findings(table: LabelTable, findings: pd.DataFrame) -> tuple[Codes, Decided]:
    """The labels that findings suggest, before parents follow; see `apply_corrections`."""
    rows = findings["example"].to_numpy(np.int64)
    outside = rows[(rows < 0) | (rows >= len(table))]
    if len(outside):
        raise ValueError(
            f"findings are about row {outside[0]}, but {table.source} has {len(table)} rows; give the audited table"
        )
    codes = {task.name: table.labels(task.name).copy() for task in table.tasks if task.kind == "single"}
    decided = {name: np.zeros(len(table), bool) for name in codes}
    for finding in worst_first(from_frame(findings)):
        if not names_label(finding) or finding.task not in codes or decided[finding.task][finding.example]:
            continue
        codes[finding.task][finding.example] = _code(table, finding.task, finding.suggested)
        decided[finding.task][finding.example] = True
    return codes, decided


def names_label(finding: Finding) -> bool:
    """Whether a finding says what a label should be, or that it should be none."""
    return finding.kind == "label" or (finding.kind == "taxonomy" and finding.suggested is not None)


def unreadable_rows(findings: pd.DataFrame) -> np.ndarray:
    """The rows that findings call unreadable, int64."""
    return findings["example"].to_numpy(np.int64)[(findings["kind"] == "unreadable").to_numpy()]


def put_labels(table: LabelTable, codes: Codes, decided: Decided, removed: np.ndarray) -> LabelTable:
    """The table with other labels, where parents follow what changed; rows `removed` lose all labels.

    A parent follows unless it was itself `decided`; see `apply_corrections`.
    """
    codes = {name: each.copy() for name, each in codes.items()}
    for name in _children_first(table, codes):
        parent = table.task(name).parent
        if parent is None or parent not in codes:
            continue
        follow = parent_of_classes(table, name)
        above = np.where(codes[name] >= 0, follow[codes[name]], -1)
        changed = (codes[name] != table.labels(name)) & (above >= 0)
        changed &= (codes[parent] >= 0) & ~decided[parent]
        codes[parent][changed] = above[changed]

    for name, labels in codes.items():
        labels[removed] = -1
        table = table.with_labels(name, labels)
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
