"""Classes that are far larger than others, and classes that are too small to learn or to measure."""

from collections.abc import Iterator

import numpy as np

from labelwise.audit.data_issues import SHOWN, DataIssue
from labelwise.labels import LabelTable
from labelwise.labels.facts import RARE

_SKEWED = 0.25


def balance_issues(table: LabelTable) -> Iterator[DataIssue]:
    """Give an issue for each task of kind `single` of skewed classes (`imbalance`), and for each `rare_class`.

    The score of a task is 1 - exp(H) / classes, H being the entropy of the classes' shares in nats: exp(H) is the
    number of equal classes that would be as uncertain. It is skewed from 1/4 (of two classes: if the larger one has
    86 %). A class is rare below ten rows; its score is 1 - rows / 10. Classes without rows are left out.
    """
    rare = []
    for task in table.tasks:
        if task.kind != "single":
            continue
        codes = table.labels(task.name)
        counts = np.bincount(codes[codes >= 0], minlength=len(task.classes))
        present = np.flatnonzero(counts)
        few = (counts > 0) & (counts < RARE)
        members = np.flatnonzero((codes >= 0) & few[codes])
        members = members[np.argsort(codes[members], kind="stable")]
        for k, rows in zip(np.flatnonzero(few), np.split(members, np.cumsum(counts[few]))[:-1], strict=True):
            number = f"{counts[k]} rows" if counts[k] > 1 else "one row"
            why = f"only {number}: too few to learn from, and to tell how well it was learned"
            score = float(1 - counts[k] / RARE)
            rare.append(
                DataIssue("rare_class", task.name, task.classes[k], len(rows), score, why, tuple(rows.tolist()))
            )
        shares = counts[present] / counts.sum()
        effective = float(np.exp(-np.sum(shares * np.log(shares))))
        if len(present) < 2 or 1 - effective / len(present) < _SKEWED:
            continue
        largest, smallest = counts.argmax(), present[counts[present].argmin()]
        why = (
            f"{task.classes[largest]!r} has {counts[largest]:,} rows, {task.classes[smallest]!r} {counts[smallest]:,}; "
            f"the {len(present)} classes are as uncertain as {effective:.1f} equal ones"
        )
        examples = tuple(np.flatnonzero(codes == smallest)[:SHOWN].tolist())
        yield DataIssue(
            "imbalance", task.name, task.name, int(counts.sum()), float(1 - effective / len(present)), why, examples
        )
    yield from rare
