"""The table that every detector fills: one row for one thing that is probably wrong with one example."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labelwise.runs import writing


class Finding(NamedTuple):
    """One thing that is probably wrong.

    `example` is the row number; `task` the label column, or None if the example itself is at fault. `kind` is `label`
    (probably a wrong label), `taxonomy` (contradicts the tree), `duplicate` or `near_duplicate` (an equal or almost
    equal example has another label), `outlier` (unlike all others), `unreadable`, or of boxes `missing_box`,
    `misplaced_box` or `spurious_box`. `score` is in [0, 1], 1 worst,
    comparable within a kind. `given` and `suggested` are class names, None where there is none. `why` says in words
    what was seen.
    """

    example: int
    task: str | None
    kind: str
    score: float
    given: str | None
    suggested: str | None
    why: str


COLUMNS = list(Finding._fields)
_TYPES = {"example": np.int64, "score": np.float64}
_ARROW = {"example": pa.int64(), "score": pa.float64()}


def as_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table with the columns of `Finding`, worst first, those of equal score by row.

    Text columns hold `str` or None.
    """
    rows = worst_first(findings)
    return _frame({name: [getattr(row, name) for row in rows] for name in COLUMNS})


def from_frame(frame: pd.DataFrame) -> list[Finding]:
    """The findings of a table, in its order; nan stands for None."""
    rows = frame[COLUMNS].astype(object).where(frame[COLUMNS].notna(), None)
    return [Finding(*row) for row in rows.itertuples(index=False, name=None)]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by score, those of equal score by row, and else as they come."""
    return sorted(findings, key=lambda each: (-each.score, each.example))


def write(path: Path, frame: pd.DataFrame, ids: pa.Array | pa.ChunkedArray) -> None:
    """Write findings as Parquet, with the id of each example (of `ids`, text [n]) in a column `id`."""
    columns = {name: pa.array(frame[name], _ARROW.get(name, pa.string()), from_pandas=True) for name in COLUMNS}
    columns["id"] = ids.take(pa.array(frame["example"]))
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read(path: Path) -> pd.DataFrame:
    """Read the findings that `write` wrote, without the ids."""
    return _frame(pq.read_table(path, columns=COLUMNS).to_pydict())


def _frame(columns: dict[str, list]) -> pd.DataFrame:
    # Columns of objects: pandas would turn None into nan in a column of strings.
    return pd.DataFrame({name: pd.Series(columns[name], dtype=_TYPES.get(name, object)) for name in COLUMNS})
