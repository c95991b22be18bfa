"""Scores of predicted sets of classes, and of predicted distributions over classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from labelwise.metrics.resampling import no_scores, scores_of_sums

_LEAST = np.finfo(np.float64).eps


def set_scores(labels: np.ndarray, probabilities: np.ndarray, n_bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Score probabilities of each class against sets of classes; a class is predicted from a probability of 0.5.

    `labels` are 0 or 1, int [n, classes], rows of -1 where the set is missing; those are left out. `probabilities` are
    [n, classes] in [0, 1], and need not sum to 1.

    Gives `n` (rows scored), `micro_f1` (of all decisions), `macro_f1` (mean over the classes that occur among labels or
    predictions), `subset_accuracy` (sets that are wholly right), each `{"value", "low", "high"}` with a 95 % bootstrap
    interval over rows, and `map`, the mean over classes with examples of the average precision, without an interval.
    What is undefined is None. Raises `ValueError` if the arrays do not fit together.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    _check(labels, probabilities)
    known = (labels >= 0).all(1)
    truth, chances = labels[known] == 1, probabilities[known]
    if not len(truth):
        return {"n": 0, **no_scores("map", "micro_f1", "macro_f1", "subset_accuracy")}
    said = chances >= 0.5
    rows = np.concatenate([truth & said, truth, said, (truth == said).all(1)[:, None], np.ones((len(truth), 1))], 1)
    value = mean_average_precision(truth, chances)
    return {
        "n": len(truth),
        "map": {"value": value, "low": None, "high": None},
        **scores_of_sums(rows.astype(np.float64), _set_scores, n_bootstrap, seed),
    }


def distribution_scores(
    labels: np.ndarray, probabilities: np.ndarray, n_bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Score predicted distributions over classes against given ones.

    `labels` are float [n, classes], each row with sum 1, or of nan where it is missing and left out. `probabilities`
    are likewise [n, classes].

    Gives `n` (rows scored), `cross_entropy` in nats, and `accuracy`, how often the most likely class is the right one,
    each `{"value", "low", "high"}` with a 95 % bootstrap interval over rows. Raises `ValueError` if the arrays do not
    fit together.
    """
    labels, probabilities = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    _check(labels, probabilities)
    known = ~np.isnan(labels).any(1)
    labels, probabilities = labels[known], probabilities[known]
    if not len(labels):
        return {"n": 0, **no_scores("cross_entropy", "accuracy")}
    losses = -(labels * np.log(np.clip(probabilities, _LEAST, 1))).sum(1)
    right = labels.argmax(1) == probabilities.argmax(1)
    rows = np.stack([losses, right, np.ones(len(labels))], 1)
    return {"n": len(labels), **scores_of_sums(rows, _distribution_scores, n_bootstrap, seed)}


def mean_average_precision(sets: np.ndarray, scores: np.ndarray) -> float | None:
    """Mean over classes of the average precision, without those classes that no example has; None if none has any.

    `sets` are bool [n, classes], `scores` [n, classes].
    """
    from sklearn.metrics import average_precision_score

    held = sets.any(0)
    return float(average_precision_score(sets[:, held], scores[:, held])) if held.any() else None


def _set_scores(sums: np.ndarray) -> Mapping[str, np.ndarray]:
    hits, support, predicted = np.split(sums[..., :-2], 3, axis=-1)
    both = support + predicted
    occurring = (both > 0).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "micro_f1": 2 * hits.sum(-1) / both.sum(-1),
            "macro_f1": (2 * hits / np.maximum(both, 1)).sum(-1) / occurring,
            "subset_accuracy": sums[..., -2] / sums[..., -1],
        }


def _distribution_scores(sums: np.ndarray) -> Mapping[str, np.ndarray]:
    losses, right, n = np.moveaxis(sums, -1, 0)
    return {"cross_entropy": losses / n, "accuracy": right / n}


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if labels.ndim != 2 or labels.shape != probabilities.shape:
        raise ValueError(
            f"probabilities must be [n, classes], as the labels are; got {list(probabilities.shape)} for labels of "
            f"shape {list(labels.shape)}"
        )
