"""Confident learning: which given labels out-of-sample probabilities contradict, and how the classes are mistaken.

Everything here takes `labels` [n] (class indices, -1 = missing) and `probs` [n, classes] (out of sample, rows sum to
1). Rows without a label are counted nowhere and never flagged. Ties are broken by the row number, lowest first.

Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021 (arXiv 1911.00068); the filters as in Northcutt,
Athalye, Mueller, "Pervasive Label Errors in Test Sets", NeurIPS 2021 (arXiv 2103.14749).
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

Filter = Literal["prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"]
Score = Literal["normalized_margin", "self_confidence", "confidence_weighted_entropy"]

_SLACK = 1e-6  # a probability this close to a threshold reaches it; a given label this close to the best one stands


def class_thresholds(labels: ArrayLike, probs: ArrayLike) -> np.ndarray:
    """How confident the model is, on average, in each class where it is the given label, float64 [classes].

    A class that no row is labelled with gets 2, which no probability reaches.
    """
    given, probabilities, _ = _labelled(labels, probs)
    return _thresholds(given, probabilities)


def confident_joint(labels: ArrayLike, probs: ArrayLike, calibrate: bool = True) -> np.ndarray:
    """Count the pairs (given class, confidently guessed class), int64 [classes, classes], given classes in rows.

    A class is guessed where its probability reaches its threshold (the largest, if several do); rows that reach none
    are not counted. With `calibrate`, every row is scaled to as many as are labelled with its class, so that the whole
    sums to the number of labelled rows; a class without a row has zeros.
    """
    given, probabilities, _ = _labelled(labels, probs)
    return _joint(given, _confident_guess(given, probabilities), probabilities.shape[1], calibrate)


def estimate_joint(labels: ArrayLike, probs: ArrayLike) -> np.ndarray:
    """Estimate the joint distribution of given (rows) and true class (columns), float64 [classes, classes], sum 1.

    Its trace is the estimated share of correct labels.
    """
    counts = confident_joint(labels, probs)
    return counts / counts.sum()


def find_label_issues(
    labels: ArrayLike,
    probs: ArrayLike,
    method: Filter = "prune_by_noise_rate",
    min_per_class: int = 1,
    fraction: float = 1.0,
) -> np.ndarray:
    """Mark the rows whose given label is probably wrong, bool [n].

    `method`:
    - `prune_by_noise_rate`: for every pair of classes as many as the joint says, where the margin of the other class
      over the given one is largest;
    - `prune_by_class`: for every class as many as the joint says, where the given label is least probable;
    - `both`: what the two above agree on;
    - `confident_learning`: rows where another class than the given is confidently guessed;
    - `predicted_neq_given`: rows where another class is more probable than the given.

    The pruning methods leave at least `min_per_class` rows of every class, and take only `fraction` in [0, 1] of what
    the joint says. No method flags a row whose given label is (within 1e-6) the most probable.
    """
    if method not in get_args(Filter):
        raise ValueError(f"method must be one of {', '.join(get_args(Filter))}; got {method!r}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in [0, 1]; got {fraction}")
    if min_per_class < 0:
        raise ValueError(f"min_per_class must be at least 0; got {min_per_class}")
    given, probabilities, rows = _labelled(labels, probs)
    if method == "predicted_neq_given":
        flagged = np.ones(len(given), bool)
    else:
        guess = _confident_guess(given, probabilities)
        if method == "confident_learning":
            flagged = (guess >= 0) & (guess != given)
        else:
            joint = _joint(given, guess, probabilities.shape[1], calibrate=True)
            flagged = _prune(given, probabilities, _removable(joint, min_per_class, fraction), method, min_per_class)
    flagged &= ~_given_is_best(given, probabilities)
    issues = np.zeros(len(np.asarray(labels)), bool)
    issues[rows[flagged]] = True
    return issues


def label_quality(labels: ArrayLike, probs: ArrayLike, score: Score = "normalized_margin") -> np.ndarray:
    """Say how believable each given label is, float64 [n] in [0, 1], low = suspicious, nan where the label is missing.

    `normalized_margin`: (p[given] - largest other p + 1) / 2. `self_confidence`: p[given].
    `confidence_weighted_entropy`: log(e + 1) / e, where e is the row's entropy (1 = uniform) over p[given].
    """
    if score not in get_args(Score):
        raise ValueError(f"score must be one of {', '.join(get_args(Score))}; got {score!r}")
    given, probabilities, rows = _labelled(labels, probs)
    own = _own(given, probabilities)
    if score == "normalized_margin":
        others = probabilities.copy()
        others[np.arange(len(given)), given] = -np.inf
        value = (own - others.max(axis=1) + 1) / 2
    elif score == "self_confidence":
        value = own
    else:
        positive = np.where(probabilities > 0, probabilities, 1)
        entropy = -(positive * np.log(positive)).sum(axis=1, dtype=np.float64) / np.log(probabilities.shape[1])
        ratio = np.maximum(entropy / np.maximum(own, _SLACK), _SLACK)
        value = np.log1p(ratio) / ratio
    quality = np.full(len(np.asarray(labels)), np.nan)
    quality[rows] = value
    return quality


def _labelled(labels: ArrayLike, probs: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check both arrays; give labels and probabilities of the labelled rows, and the numbers of these rows."""
    given, probabilities = np.asarray(labels), np.asarray(probs)
    if probabilities.ndim != 2 or given.shape != probabilities.shape[:1]:
        raise ValueError(
            f"labels must be [n] and probs [n, classes]; got shapes {list(given.shape)} and {list(probabilities.shape)}"
        )
    if not np.issubdtype(given.dtype, np.integer) or not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"labels must be integers and probs floats; got {given.dtype} and {probabilities.dtype}")
    classes = probabilities.shape[1]
    if classes < 2:
        raise ValueError(f"probs must have a column for each of at least 2 classes; got {classes}")
    if given.dtype.kind == "i":
        bad = np.flatnonzero((given < -1) | (given >= classes))
    else:
        bad = np.flatnonzero(given >= classes)
    if len(bad):
        raise ValueError(
            f"labels must be integers in [0, {classes}), or -1 if missing; got {given[bad[0]]} at row {bad[0]}"
        )
    given = given.astype(np.int64)
    rows = np.flatnonzero(given >= 0)
    if len(rows) == 0:
        raise ValueError("labels must hold at least one label; all are missing (-1)")
    if len(rows) < len(given):
        given, probabilities = given[rows], probabilities[rows]
    unfit = np.flatnonzero(~np.isfinite(probabilities.sum(axis=1, dtype=np.float64)))
    if len(unfit):
        raise ValueError(f"probs must be finite; row {rows[unfit[0]]} is not")
    return given, probabilities, rows


def _own(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return probabilities[np.arange(len(given)), given].astype(np.float64)


def _thresholds(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[1]
    rows = np.bincount(given, minlength=classes)
    sums = np.bincount(given, weights=_own(given, probabilities), minlength=classes)
    return np.where(rows > 0, np.maximum(sums / np.maximum(rows, 1), 2 * _SLACK), 2.0)


def _confident_guess(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The class whose threshold is reached (the most probable, if several), -1 where none is, [n]."""
    reached = probabilities >= _thresholds(given, probabilities) - _SLACK
    times = reached.sum(axis=1)
    several = times > 1
    guess = np.where(times > 0, reached.argmax(axis=1), -1)
    guess[several] = probabilities[several].argmax(axis=1)
    return guess


def _joint(given: np.ndarray, guess: np.ndarray, classes: int, calibrate: bool) -> np.ndarray:
    counted = guess >= 0
    pairs = given[counted] * classes + guess[counted]
    joint = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    if not calibrate:
        return joint
    labelled = np.bincount(given, minlength=classes)
    return _round_rows(joint * (labelled / joint.sum(axis=1))[:, None])


def _round_rows(values: np.ndarray) -> np.ndarray:
    """Round to integers so that every row keeps its (rounded) total: the entries rounded furthest give way first."""
    rounded = np.rint(values)
    lacking = np.rint(values.sum(axis=1)) - rounded.sum(axis=1)
    for row in np.flatnonzero(lacking):
        step = np.sign(lacking[row])
        order = np.argsort(-step * (values[row] - rounded[row]), kind="stable")
        rounded[row, order[: int(abs(lacking[row]))]] += step
    return rounded.astype(np.int64)


def _removable(joint: np.ndarray, min_per_class: int, fraction: float) -> np.ndarray:
    """How many rows of each class to hold for another, int64 [given class, true class]; the diagonal is kept."""
    kept = np.maximum(joint.diagonal(), min_per_class)
    others = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    spread = (kept - joint.diagonal()) / others  # what the diagonal gains is taken evenly from the others
    reduced = np.maximum(joint - spread[:, None], 0) * fraction
    np.fill_diagonal(reduced, 0)
    removable = reduced.astype(np.int64)
    stay = joint.sum(axis=1) - reduced.sum(axis=1) + 1e-9  # against 2.9999999 in place of 3
    np.fill_diagonal(removable, np.maximum(stay.astype(np.int64), kept))
    return removable


def _prune(
    given: np.ndarray, probabilities: np.ndarray, removable: np.ndarray, method: str, min_per_class: int
) -> np.ndarray:
    by_class, by_rate = np.zeros(len(given), bool), np.zeros(len(given), bool)
    order = np.argsort(given, kind="stable")
    ends = np.cumsum(np.bincount(given, minlength=len(removable)))
    for k, rows in enumerate(np.split(order, ends[:-1])):
        if len(rows) <= min_per_class:
            continue
        members = probabilities[rows].astype(np.float64)
        by_class[_smallest(members[:, k], rows, len(rows) - removable[k, k])] = True
        for j in np.flatnonzero(removable[k]):
            if j != k:
                by_rate[_smallest(members[:, k] - members[:, j], rows, removable[k, j])] = True
    return {"prune_by_class": by_class, "prune_by_noise_rate": by_rate, "both": by_class & by_rate}[method]


def _smallest(values: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
    return rows[np.argsort(values, kind="stable")[:number]]


def _given_is_best(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Where the given label would be the most probable if it had 1e-6 more, [n]."""
    best = probabilities.argmax(axis=1)
    own = _own(given, probabilities) + _SLACK
    top = _own(best, probabilities)
    return (best == given) | (own > top) | ((own == top) & (given < best))
