"""The table of what is wrong with a whole class, column, group or annotator, rather than with one example."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa

SHOWN = 10  # rows that an issue names as examples


class DataIssue(NamedTuple):
    """One thing that is probably wrong with the data as a whole.

    `kind` is `imbalance`, `rare_class`, `pseudo_class`, `new_class`, `repeated`, `leak`, `underperforming_group` or
    `annotator`. `task` is the label column, None if it is about the rows themselves; `subject` the class, column, group
    or annotator that it is about; `rows` how many rows that are. `score` is in [0, 1], 1 worst, comparable within a
    kind. `why` says in words what was seen. `examples` are row numbers to look at, at most ten.
    """

    kind: str
    task: str | None
    subject: str
    rows: int
    score: float
    why: str
    examples: tuple[int, ...] = ()


def as_records(issues: Iterable[DataIssue], ids: pa.Array | pa.ChunkedArray) -> list[dict[str, Any]]:
    """Issues as dictionaries fit for JSON, kind after kind as they come, worst first in each.

    Each gets `ids`, what identifies its examples, by the ids of all rows, text [n].
    """
    issues = list(issues)
    kinds = list(dict.fromkeys(issue.kind for issue in issues))
    ordered = sorted(issues, key=lambda issue: (kinds.index(issue.kind), -issue.score))
    return [
        issue._asdict() | {"examples": list(issue.examples), "ids": [ids[row].as_py() for row in issue.examples]}
        for issue in ordered
    ]
