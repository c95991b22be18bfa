"""Bootstrap intervals of scores that follow from sums over rows."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_UNITS = 2000  # rows that are drawn one by one; more are drawn in as many random blocks, which vary alike
_ROUND_NUMBERS = 4_000_000  # of draws held at a time


def scores_of_sums(
    rows: np.ndarray,
    scores: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Scores by name, each `{"value", "low", "high"}` with its 95 % percentile bootstrap interval over rows.

    `rows` are float `[n, k]`, n >= 1, what each row adds to k sums; `scores` maps the sums `[..., k]` to the scores
    `[...]`. What is not finite is None. Without replicates (`n_bootstrap` 0) there are no intervals.
    """
    value = scores(rows.sum(0))
    generator = np.random.default_rng(seed)
    if len(rows) > _UNITS:
        block = np.arange(len(rows)) % _UNITS
        order = generator.permutation(len(rows))[np.argsort(block, kind="stable")]
        rows = np.add.reduceat(rows[order], np.searchsorted(np.sort(block), np.arange(_UNITS)), axis=0)
    n, at_once = len(rows), max(1, _ROUND_NUMBERS // max(rows.shape))
    drawn = [
        scores(generator.multinomial(n, np.full(n, 1 / n), min(at_once, n_bootstrap - start)) @ rows)
        for start in range(0, n_bootstrap, at_once)
    ]
    found = {}
    for name in value:
        replicates = np.concatenate([each[name] for each in drawn]) if drawn else np.zeros(0)
        replicates = replicates[np.isfinite(replicates)]
        bounds = np.quantile(replicates, [0.025, 0.975]) if len(replicates) else (np.nan, np.nan)
        low, high = map(_number, bounds)
        found[name] = {"value": _number(value[name]), "low": low, "high": high}
    return found


def no_scores(*names: str) -> dict[str, Any]:
    """What `scores_of_sums` says of no row at all."""
    return {name: {"value": None, "low": None, "high": None} for name in names}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
