"""Scores of predicted class probabilities, with bootstrap intervals, as plain JSON facts."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

_MEANS = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
_ROUND_CELLS = 1_000_000  # replicates x confusion cells held at a time, so that memory stays near 10 MB
_ROUND_NUMBERS = 1_000_000  # probabilities held at a time


def classification_scores(
    labels: np.ndarray, probabilities: np.ndarray, n_bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Score predicted probabilities against labels; every mean comes with a 95 % bootstrap interval.

    `labels` are class indices, int [n]; rows of -1 (unlabelled) are left out. `probabilities` are float [n, classes],
    finite, each row summing to 1 within 1e-3; of [models, n, classes] the mean counts. They may be mapped from disk, as
    they are read in blocks.

    Gives `n` (rows scored), `accuracy`, `macro_precision`, `macro_recall` and `macro_f1` (each `{"value", "low",
    "high"}`), `calibration_error` (expected calibration error, 15 bins), `log_loss` (natural logarithm) and
    `per_class`, a list of `{"class", "precision", "recall", "f1", "support"}`. Macro means run over the classes that
    occur in the labels or among the predictions, and 0 / 0 counts as 0, as in scikit-learn. What is undefined is
    None: everything if no row is labelled, the figures of a class that occurs nowhere.

    The interval is the percentile bootstrap over rows (Efron and Tibshirani 1993, chapter 13). Resampling n rows and
    counting them in the confusion matrix is one multinomial draw over its cells, so no row is touched again: the cost
    depends on the cells that occur, not on n. Raises `ValueError` if the arrays do not fit together.
    """
    classes = np.shape(probabilities)[-1] if np.ndim(probabilities) else 0
    labels, predicted, own, confidence = _columns(labels, probabilities)
    n = len(labels)
    if n == 0:
        nothing = {name: {"value": None, "low": None, "high": None} for name in _MEANS}
        empty = [{"class": k, "precision": None, "recall": None, "f1": None, "support": 0} for k in range(classes)]
        return {"n": 0, **nothing, "calibration_error": None, "log_loss": None, "per_class": empty}

    cells, counts = np.unique(labels * classes + predicted, return_counts=True)
    truth, guess = np.divmod(cells, classes)
    value = _means(counts[None], truth, guess, classes)[0]
    low, high = _interval(counts, truth, guess, classes, n_bootstrap, seed)

    bins = _reliability(labels == predicted, confidence)
    return {
        "n": n,
        **{
            name: {"value": float(value[i]), "low": _number(low[i]), "high": _number(high[i])}
            for i, name in enumerate(_MEANS)
        },
        "calibration_error": float(
            sum(b["count"] / n * abs(b["accuracy"] - b["confidence"]) for b in bins if b["count"])
        ),
        "log_loss": float(-np.log(np.clip(own, np.finfo(np.float64).eps, 1)).mean()),
        "per_class": _per_class(counts, truth, guess, classes),
    }


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> list[dict[str, Any]]:
    """Compare confidence with accuracy, in `bins` equal bins of the highest predicted probability.

    Takes what `classification_scores` takes. Gives a list of `{"low", "high", "confidence", "accuracy", "count"}` from
    low to high; `confidence` and `accuracy` are means over the rows of the bin, None where it is empty. A bin holds
    its upper bound, not its lower one. The diagram of Guo et al., "On Calibration of Modern Neural Networks", 2017;
    their expected calibration error is the mean of |accuracy - confidence| weighted by count.
    """
    labels, predicted, _, confidence = _columns(labels, probabilities)
    return _reliability(labels == predicted, confidence, bins)


def _reliability(right: np.ndarray, confidence: np.ndarray, bins: int = 15) -> list[dict[str, Any]]:
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = np.maximum(count, 1)
    mean_confidence = np.bincount(place, confidence, bins) / filled
    accuracy = np.bincount(place, right, bins) / filled
    return [
        {
            "low": float(edges[b]),
            "high": float(edges[b + 1]),
            "confidence": float(mean_confidence[b]) if count[b] else None,
            "accuracy": float(accuracy[b]) if count[b] else None,
            "count": int(count[b]),
        }
        for b in range(bins)
    ]


def _columns(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the labelled rows the labels, the most probable classes, int64, and the probabilities of both, float64."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if probabilities.ndim not in (2, 3) or labels.shape != probabilities.shape[-2:-1]:
        raise ValueError(
            f"probabilities must be [n, classes] with one row a label; got {list(probabilities.shape)} "
            f"for labels of shape {list(labels.shape)}"
        )
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integer class indices, -1 if missing; got {labels.dtype}")
    classes = probabilities.shape[-1]
    bad = np.flatnonzero((labels < -1) | (labels >= classes))
    if len(bad):
        raise ValueError(f"labels must be integers in [0, {classes}), or -1; got {labels[bad[0]]} at row {bad[0]}")
    rows = np.flatnonzero(labels >= 0)
    given = labels[rows].astype(np.int64)
    predicted, own, confidence = np.zeros(len(rows), np.int64), np.zeros(len(rows)), np.zeros(len(rows))
    step = max(1, _ROUND_NUMBERS * len(labels) // max(1, probabilities.size))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        values = probabilities[..., rows[part], :].astype(np.float64)
        if values.ndim == 3:
            values = values.mean(axis=0)
        fine = (np.abs(values.sum(1) - 1) <= 1e-3) & (values >= 0).all(1)  # False for nan as well
        if not fine.all():
            raise ValueError(
                f"probabilities must be at least 0 and sum to 1 within 1e-3; row {rows[part][~fine][0]} does not"
            )
        at = np.arange(len(values))
        predicted[part] = values.argmax(1)
        own[part], confidence[part] = values[at, given[part]], values[at, predicted[part]]
    return given, predicted, own, confidence


def _means(counts: np.ndarray, truth: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    """Accuracy and macro means [replicates, 4] of confusion counts [replicates, cells]."""
    cells = np.arange(len(truth))
    ones = np.ones(len(truth))
    support = counts @ csr_array((ones, (cells, truth)), shape=(len(truth), classes))
    predicted = counts @ csr_array((ones, (cells, guess)), shape=(len(truth), classes))
    hits = counts @ csr_array(((truth == guess).astype(float), (cells, truth)), shape=(len(truth), classes))
    occurring = np.maximum(((support + predicted) > 0).sum(1), 1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    macro = [score.sum(1) / occurring for score in (precision, recall, f1)]
    return np.stack([hits.sum(1) / counts.sum(1), *macro], axis=1)


def _interval(
    counts: np.ndarray, truth: np.ndarray, guess: np.ndarray, classes: int, n_bootstrap: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper 95 % bounds of `_means`, [4] each; nan if there is no replicate."""
    if n_bootstrap < 1:
        return np.full(len(_MEANS), np.nan), np.full(len(_MEANS), np.nan)
    generator = np.random.default_rng(seed)
    at_once = max(1, _ROUND_CELLS // max(len(counts), classes))
    replicates = []
    for start in range(0, n_bootstrap, at_once):
        drawn = generator.multinomial(counts.sum(), counts / counts.sum(), size=min(at_once, n_bootstrap - start))
        replicates.append(_means(drawn, truth, guess, classes))
    low, high = np.quantile(np.concatenate(replicates), [0.025, 0.975], axis=0)
    return low, high


def _per_class(counts: np.ndarray, truth: np.ndarray, guess: np.ndarray, classes: int) -> list[dict[str, Any]]:
    support = np.bincount(truth, counts, classes)
    predicted = np.bincount(guess, counts, classes)
    hits = np.bincount(truth, counts * (truth == guess), classes)
    scores = []
    for k in range(classes):
        occurs = support[k] + predicted[k] > 0
        scores.append(
            {
                "class": k,
                "precision": float(hits[k] / max(predicted[k], 1)) if occurs else None,
                "recall": float(hits[k] / max(support[k], 1)) if occurs else None,
                "f1": float(2 * hits[k] / (support[k] + predicted[k])) if occurs else None,
                "support": int(support[k]),
            }
        )
    return scores


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
