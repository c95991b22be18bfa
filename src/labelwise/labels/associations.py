"""How the columns of a table hang together: one number for each two of them, and which say almost the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from labelwise.labels.kinds import CATEGORICAL, NUMERIC, codes_of, numbers_of, scalar_columns
from labelwise.labels.pair_views import pair_view
from labelwise.labels.table import LabelTable

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 50  # values of a category that count by themselves
REDUNDANT = 0.9
LEAK = 0.95

_ROWS = 10_000
_COLUMNS = 60
_VIEWS = 6  # pairs
_FEWEST = 50  # rows that both columns have, for a flag
_EACH = 5  # rows for each value of a category, for a flag: with fewer, chance alone makes high numbers


def associations(table: LabelTable, kinds: Mapping[str, str] | None = None, seed: int = 0) -> dict[str, Any]:
    """Associations of the labels and feature columns with each other, over the rows where both are known.

    Two numbers: Pearson's r, and Spearman's beside it. Two categories: Cramer's V, sqrt(chi2 / (n (min(r, c) - 1))). A
    number and a category: the correlation ratio, sqrt(between-group / total sum of squares). Numbers that are the same
    in all rows, and pairs of fewer than two rows, have none. Of categories the 50 most frequent values count by
    themselves, the rest as one. At most 10,000 rows (a sample) and 60 columns are looked at.

    Gives `{"rows", "sampled", "columns": [{"name", "kind", "label": whether it is one}], "left_out": {name: reason},
    "matrix", "spearman", "both": [columns, columns], "flags", "views"}`; where there is no number, it is None. `both`
    counts the rows, `views` are the joint views (`pair_view`) of the six strongest pairs. A flag is `{"kind", "a", "b",
    "measure", "value", "n"}`: `redundant` for two feature columns beyond 0.9, `leak` for a feature column and a label
    beyond 0.95, in size. Only pairs of 50 rows or more, and of 5 for each value of a category, are flagged. `kinds` are
    the kinds of columns that a person gave.
    """
    columns = scalar_columns(table, _ROWS, kinds, labels=True, seed=seed)
    left_out: dict[str, str] = {}
    names: list[str] = []
    for name, kind in columns.kinds.items():
        if kind not in NUMERIC + CATEGORICAL:
            left_out[name] = f"it holds {kind} values"
        elif columns.frame[name].nunique() < 2:
            left_out[name] = "it holds one value only"
        elif len(names) >= _COLUMNS:
            left_out[name] = f"only the first {_COLUMNS} columns are looked at"
        else:
            names.append(name)
    labels = {task.name for task in table.tasks}
    pairs = _Pairs({name: columns.frame[name] for name in names}, columns.kinds)
    measured = [{"name": name, "kind": columns.kinds[name], "label": name in labels} for name in names]
    return {
        "rows": len(columns.rows),
        "sampled": len(columns.rows) < len(table),
        "columns": measured,
        "left_out": left_out,
        "matrix": _plain(pairs.matrix),
        "spearman": _plain(pairs.spearman),
        "both": pairs.both.tolist(),
        "views": [
            pair_view(columns.frame[a], columns.frame[b], columns.kinds[a], columns.kinds[b], seed)
            for a, b in _strongest(measured, pairs.matrix)
        ],
        "flags": sorted(_flags(measured, pairs), key=lambda flag: (flag["kind"], -abs(flag["value"]))),
    }


class _Pairs:
    """`matrix`, `spearman`, `both` [columns, columns], and `levels` [columns], 0 for numbers."""

    def __init__(self, columns: Mapping[str, pd.Series], kinds: Mapping[str, str]):
        import pandas as pd

        names = list(columns)
        numeric = [at for at, name in enumerate(names) if kinds[name] in NUMERIC]
        numbers = pd.DataFrame({at: numbers_of(columns[names[at]]).to_numpy() for at in numeric})
        codes = {at: codes_of(columns[name], LEVELS) for at, name in enumerate(names) if at not in numeric}
        self.levels = np.array([len(codes[at][1]) if at in codes else 0 for at in range(len(names))])
        known = np.stack(
            [codes[at][0] >= 0 if at in codes else numbers[at].notna().to_numpy() for at in range(len(names))]
            or [np.zeros(0, bool)]
        ).astype(float)
        self.both = np.rint(known @ known.T).astype(int)
        self.matrix = np.full((len(names), len(names)), np.nan)
        self.spearman = self.matrix.copy()
        at = np.ix_(numeric, numeric)
        self.matrix[at] = numbers.corr().clip(-1, 1)
        self.spearman[at] = numbers.corr("spearman").clip(-1, 1)
        for a, (values, _) in codes.items():
            for b in range(len(names)):
                if b in numeric:
                    self.matrix[a, b] = self.matrix[b, a] = correlation_ratio(values, numbers[b].to_numpy())
                elif b <= a:
                    self.matrix[a, b] = self.matrix[b, a] = cramers_v(values, codes[b][0])


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Cramer's V of two columns of codes (-1 = missing), without a correction; nan if one holds a single value."""
    from scipy.stats.contingency import association

    both = (a >= 0) & (b >= 0)
    if not both.any():
        return np.nan
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (a[both], b[both]), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return float(association(table, "cramer")) if min(table.shape) > 1 else np.nan


def correlation_ratio(codes: np.ndarray, numbers: np.ndarray) -> float:
    """The correlation ratio eta of codes (-1 = missing) and numbers (nan = missing); nan if the numbers are equal."""
    both = (codes >= 0) & np.isfinite(numbers)
    if not both.any():
        return np.nan
    group, values = codes[both], numbers[both] - numbers[both].mean()
    total = float(values @ values)
    sums, sizes = np.bincount(group, weights=values), np.bincount(group)
    between = float(np.sum(sums[sizes > 0] ** 2 / sizes[sizes > 0]))
    return float(np.sqrt(min(1.0, between / total))) if total > 0 else np.nan


def _strongest(columns: list[dict[str, Any]], matrix: np.ndarray) -> list[tuple[str, str]]:
    """The pairs of the strongest association, leaving out pairs of labels."""
    places = [
        (a, b)
        for a, b in zip(*np.triu_indices(len(columns), 1), strict=True)
        if np.isfinite(matrix[a, b]) and not (columns[a]["label"] and columns[b]["label"])
    ]
    places.sort(key=lambda place: -abs(matrix[place]))
    return [(columns[a]["name"], columns[b]["name"]) for a, b in places[:_VIEWS]]


def _flags(columns: list[dict[str, Any]], pairs: _Pairs) -> list[dict[str, Any]]:
    flags = []
    for a, b in zip(*np.triu_indices(len(columns), 1), strict=True):
        value, n = pairs.matrix[a, b], int(pairs.both[a, b])
        labels = columns[a]["label"] + columns[b]["label"]
        if labels == 2 or n < max(_FEWEST, _EACH * pairs.levels[[a, b]].max()):
            continue  # labels may lie in each other, as genus and species do
        if not abs(value) > (LEAK if labels else REDUNDANT):
            continue
        categories = int((pairs.levels[[a, b]] > 0).sum())
        flags.append(
            {
                "kind": "leak" if labels else "redundant",
                "a": columns[a]["name"],
                "b": columns[b]["name"],
                "measure": ("Pearson's r", "correlation ratio", "Cramer's V")[categories],
                "value": round(float(value), 4),
                "n": n,
            }
        )
    return flags


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    """Four digits are enough to show, and keep the file small."""
    return [[round(value, 4) if np.isfinite(value) else None for value in row] for row in matrix.tolist()]
