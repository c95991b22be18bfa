"""Naive ensemble cross-validation: labels that most of several out-of-sample models do not predict."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Vote(NamedTuple):
    """What several models say of each of n labels.

    `agreement`, float64 [n]: the share of models that predict the given label (nan where it is missing). `flags`, bool
    [n]: whether that share is too small. `suggestion`, int64 [n]: the class that most models predict.
    """

    agreement: np.ndarray
    flags: np.ndarray
    suggestion: np.ndarray


def necv(predictions: ArrayLike, labels: ArrayLike, threshold: float = 0.5) -> Vote:
    """Flag labels that less than a share `threshold` of out-of-sample predictions agrees with.

    `predictions` [repeats, n] are class indices, each row by another model, seed or split into folds; `labels` [n] too,
    with -1 where missing (never flagged). A label at exactly the threshold is not flagged. A tie between suggestions
    goes to the class of the lowest index. With one row of predictions this is "predicted another class".

    Source: Hu et al., "Noisy Ostracods", NeurIPS 2024 (arXiv 2412.02313).
    """
    predicted, given = np.asarray(predictions), np.asarray(labels)
    if predicted.ndim != 2 or predicted.shape[0] == 0 or given.shape != predicted.shape[1:]:
        raise ValueError(
            f"predictions must be [repeats, n] and labels [n]; got {list(predicted.shape)} and {list(given.shape)}"
        )
    if not (np.issubdtype(predicted.dtype, np.integer) and np.issubdtype(given.dtype, np.integer)):
        raise ValueError(f"predictions and labels must be class indices; got {predicted.dtype} and {given.dtype}")
    if predicted.min(initial=0) < 0:
        raise ValueError("predictions must be class indices of at least 0")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1]; got {threshold}")
    agreement = np.where(given >= 0, (predicted == given).mean(axis=0), np.nan)
    return Vote(agreement, agreement < threshold, _plurality(predicted))


def _plurality(predicted: np.ndarray) -> np.ndarray:
    """The most frequent value of every column, the lowest of those equally frequent."""
    votes = np.sort(predicted, axis=0)
    times = np.stack([(votes == each).sum(axis=0) for each in votes])
    return np.take_along_axis(votes, times.argmax(axis=0)[None], axis=0)[0].astype(np.int64)
