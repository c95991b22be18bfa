"""Scores of predicted numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from labelwise.metrics.resampling import no_scores, scores_of_sums


def regression_scores(
    labels: np.ndarray, predictions: np.ndarray, n_bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Score predicted numbers against labels; every score comes with a 95 % bootstrap interval.

    `labels` are float [n], nan where missing; those rows are left out. `predictions` are float [n].

    Gives `n` (rows scored), `mae` and `rmse` in the unit of the labels, `r2` (the share of variance explained, below 0
    for worse than the mean) and `spearman` (the correlation of ranks), each `{"value", "low", "high"}`; what is
    undefined, as the last two are where all labels are equal, is None. In replicates of the bootstrap rows keep the
    ranks that they have among all. Raises `ValueError` if the arrays do not fit together.
    """
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            f"predictions must be one number a label; got {list(predictions.shape)} for {list(labels.shape)}"
        )
    known = ~np.isnan(labels)
    labels, predictions = labels[known], predictions[known]
    if not len(labels):
        return {"n": 0, **no_scores("mae", "rmse", "r2", "spearman")}
    error, centred = predictions - labels, labels - labels.mean()
    ranks = np.stack([rankdata(labels), rankdata(predictions)])
    first, second = ranks - ranks.mean(1, keepdims=True)
    one = np.ones(len(labels))
    rows = np.stack([one, np.abs(error), error**2, centred, centred**2, first, second, first**2, second**2], 1)
    rows = np.concatenate([rows, (first * second)[:, None]], 1)
    return {"n": len(labels), **scores_of_sums(rows, _scores, n_bootstrap, seed)}


def _scores(sums: np.ndarray) -> Mapping[str, np.ndarray]:
    n = sums[..., 0]
    absolute, squared, label, labels, first, second, firsts, seconds, product = np.moveaxis(sums[..., 1:], -1, 0) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        ranks = (product - first * second) / np.sqrt((firsts - first**2) * (seconds - second**2))
        explained = 1 - squared / (labels - label**2)
    return {"mae": absolute, "rmse": np.sqrt(squared), "r2": explained, "spearman": ranks}
