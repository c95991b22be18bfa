"""What two columns look like together: few enough numbers to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from labelwise.labels.kinds import NUMERIC, codes_of, numbers_of

if TYPE_CHECKING:
    import pandas as pd

POINTS = 250
LEVELS = 8  # most frequent values of a category; the rest is one more


def pair_view(a: pd.Series, b: pd.Series, kind_a: str, kind_b: str, seed: int = 0) -> dict[str, Any]:
    """The joint view of two columns, over the rows where both are known.

    Two numbers give `{"form": "points", "x", "y"}`, of at most 250 rows (a sample). A category and a number give
    `{"form": "ranges", "levels": [{"level", "n", "quantiles": of 0, 1/4, 1/2, 3/4, 1}]}`. Two categories give
    `{"form": "counts", "rows", "columns", "counts"}`. `a` and `b` name the columns, in ranges the category first.
    """
    if kind_a in NUMERIC and kind_b in NUMERIC:
        x, y = numbers_of(a).to_numpy(), numbers_of(b).to_numpy()
        rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if len(rows) > POINTS:
            rows = np.sort(np.random.default_rng(seed).choice(rows, POINTS, replace=False))
        return {"form": "points", "a": a.name, "b": b.name, "x": x[rows].tolist(), "y": y[rows].tolist()}
    if kind_a in NUMERIC:
        a, b = b, a
        kind_a, kind_b = kind_b, kind_a
    codes, names = codes_of(a, LEVELS)
    if kind_b in NUMERIC:
        numbers = numbers_of(b).to_numpy()
        levels = []
        for at, name in enumerate(names):
            held = numbers[(codes == at) & np.isfinite(numbers)]
            if len(held):
                quantiles = np.quantile(held, [0, 0.25, 0.5, 0.75, 1]).tolist()
                levels.append({"level": name, "n": len(held), "quantiles": quantiles})
        return {"form": "ranges", "a": a.name, "b": b.name, "levels": levels}
    others, other_names = codes_of(b, LEVELS)
    both = (codes >= 0) & (others >= 0)
    counts = np.zeros((len(names), len(other_names)), int)
    np.add.at(counts, (codes[both], others[both]), 1)
    return {
        "form": "counts",
        "a": a.name,
        "b": b.name,
        "rows": names,
        "columns": other_names,
        "counts": counts.tolist(),
    }
