"""Examples that are far from all others."""

from collections.abc import Iterator

import numpy as np

from labelwise.audit.findings import Finding
from labelwise.audit.near_duplicates import FEWEST_ROWS
from labelwise.audit.neighbours import Neighbours

_FENCE = 3.0  # interquartile ranges beyond the third quartile


def outlying(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each row is out, float64 [n], and whether that makes it an outlier, bool [n].

    `distances` [n, k] to the k nearest others, nearest first. With d the last of them, a row is out by d / median(d);
    it is an outlier if log d lies beyond the third quartile by more than 3 times the interquartile range. Source:
    the distance to the k-th neighbour (Ramaswamy, Rastogi, Shim, SIGMOD 2000) with the outer fence of Tukey (1977). On
    the logarithm, and that far out, data drawn from one normal distribution have next to none.
    """
    last = distances[:, -1].astype(np.float64)
    if not (last > 0).any():
        return np.ones(len(last)), np.zeros(len(last), bool)
    logs = np.log(np.maximum(last, last[last > 0].min()))
    first, median, third = np.percentile(logs, [25, 50, 75])
    # Rounding errors are no spread: of rows that lie evenly none is an outlier.
    fence = third + max(_FENCE * (third - first), 1e-6)
    return np.exp(logs - median), logs > fence


def outlier_findings(neighbours: Neighbours, rows: np.ndarray) -> Iterator[Finding]:
    """Give one finding for each outlier among `rows` [n], whose neighbours these are, kind `outlier`, of no task.

    The score is 1 - median distance / own distance.
    """
    if len(rows) < FEWEST_ROWS:
        return
    ratio, out = outlying(neighbours.distances)
    for at in np.flatnonzero(out):
        why = f"unlike all others: its tenth nearest example is {ratio[at]:.1f} times as far as is usual"
        yield Finding(int(rows[at]), None, "outlier", float(1 - 1 / ratio[at]), None, None, why)
