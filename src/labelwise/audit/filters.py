"""Which given labels are probably wrong: the filters of confident learning."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from labelwise.audit.best import best_of_pairs
from labelwise.audit.confident import SLACK, Columns, calibrated, confident_guess, count_pairs, read_columns
from labelwise.audit.quality import Score, check_score, label_quality, quality_of

Filter = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
]
_LOW: dict[str, Score] = {"low_self_confidence": "self_confidence", "low_normalized_margin": "normalized_margin"}


def find_label_issues(
    labels: ArrayLike,
    probs: ArrayLike,
    method: Filter = "prune_by_noise_rate",
    min_per_class: int = 1,
    fraction: float = 1.0,
    rank_by: Score | None = None,
) -> np.ndarray:
    """Find the rows whose given label is probably wrong: a mask, bool [n], or with `rank_by` row numbers, worst first.

    `labels` [n] are class indices, -1 = missing; `probs` [n, classes] out-of-sample probabilities, in memory or
    memory-mapped. `method`:
    - `prune_by_noise_rate`: for every pair of classes as many as the joint says, where the margin of the other class
      over the given one is largest;
    - `prune_by_class`: for every class as many as the joint says, where the given label is least probable;
    - `both`: what the two above agree on;
    - `confident_learning`: rows where another class than the given is confidently guessed;
    - `predicted_neq_given`: rows where another class is more probable than the given;
    - `low_self_confidence`, `low_normalized_margin`: as many as `confident_learning` finds, of the lowest such score.

    The pruning methods leave at least `min_per_class` rows of every class, and take only `fraction` in [0, 1] of what
    the joint says. But for the last two, no method flags a row whose given label is (within 1e-6) the most probable.
    `rank_by` is a score of `label_quality`. Ties are broken by the row number, lowest first; differences are taken in
    the precision of `probs` (float16: float32).

    Raises `ValueError`, naming row, column and value, for labels out of range and for numbers that are no
    probabilities.

    Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021 (arXiv 1911.00068); Northcutt, Athalye, Mueller,
    NeurIPS 2021 (arXiv 2103.14749).
    """
    if method not in get_args(Filter):
        raise ValueError(f"method must be one of {', '.join(get_args(Filter))}; got {method!r}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in [0, 1]; got {fraction}")
    if min_per_class < 0:
        raise ValueError(f"min_per_class must be at least 0; got {min_per_class}")
    if rank_by is not None:
        check_score(rank_by)
    columns, probabilities = read_columns(labels, probs)
    if method == "predicted_neq_given":
        flagged = columns.given >= 0
    else:
        guess = confident_guess(columns, probabilities)
        flagged = (guess >= 0) & (guess != columns.given)
        if method.startswith("prune") or method == "both":
            joint = calibrated(count_pairs(columns, guess, probabilities.shape[1]), columns.given)
            flagged = _prune(columns, probabilities, joint, method, min_per_class, fraction)
    rows = np.flatnonzero(flagged)
    flagged[rows] = ~_given_is_best(Columns(*(column[rows] for column in columns)))
    if method in _LOW:
        rows = np.flatnonzero(columns.given >= 0)
        lowest = _lowest(label_quality(labels, probs, _LOW[method])[rows], int(flagged.sum()))
        flagged[:] = False
        flagged[rows[lowest]] = True
    if rank_by is None:
        return flagged
    rows = np.flatnonzero(flagged)
    return rows[np.argsort(_quality(columns, probabilities, rows, rank_by), kind="stable")]


def _quality(columns: Columns, probs: np.ndarray, rows: np.ndarray, score: Score) -> np.ndarray:
    """The score of these rows, float64; only rows are read again of which one pass did not leave it."""
    own = columns.own[rows].astype(np.float64)
    if score == "self_confidence":
        return own
    quality = (own - columns.top[rows] + 1) / 2  # the normalized margin, where another class is the most probable
    unknown = np.flatnonzero((columns.best[rows] == columns.given[rows]) | (score != "normalized_margin"))
    quality[unknown] = quality_of(columns.given, probs, rows[unknown], score)
    return quality


def _prune(
    columns: Columns, probs: np.ndarray, joint: csr_array, method: str, min_per_class: int, fraction: float
) -> np.ndarray:
    kept, removable = _plan(joint, min_per_class, fraction)
    rows_of_class = np.bincount(columns.given + 1, minlength=len(kept) + 1)[1:]
    few = rows_of_class <= min_per_class
    removable.data[np.repeat(few, np.diff(removable.indptr))] = 0
    removable.eliminate_zeros()
    flagged = np.ones(len(columns.given), bool)
    if method != "prune_by_class":
        flagged &= best_of_pairs(columns, probs, removable)
    if method != "prune_by_noise_rate":
        flagged &= _least_probable(columns, rows_of_class, np.where(few, 0, rows_of_class - kept))
    return flagged


def _plan(joint: csr_array, min_per_class: int, fraction: float) -> tuple[np.ndarray, csr_array]:
    """How many rows of each class to keep, int64 [classes], and to hold for another [given class, true class]."""
    diagonal = joint.diagonal()
    row = np.repeat(np.arange(len(diagonal)), np.diff(joint.indptr))
    kept = np.maximum(diagonal, min_per_class)
    # The others give alike what the diagonal gains. Where it is 0 it is no entry, and all entries are others; counting
    # one less, as cleanlab does, would take twice from two of them, and lose rows.
    others = np.bincount(row, joint.indices != row, len(kept))
    spread = (kept - diagonal) / np.maximum(others, 1)
    reduced = np.where(joint.indices == row, 0, np.maximum(joint.data - spread[row], 0))
    taken = (reduced * fraction).astype(np.int64)
    back = np.bincount(row, reduced - reduced * fraction, len(kept)) + 1e-9  # against 2.9999999 in place of 3
    removable = csr_array((taken, joint.indices, joint.indptr), joint.shape, copy=True)
    return kept + back.astype(np.int64), removable


def _least_probable(columns: Columns, rows_of_class: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Mark so many rows of each class as `numbers` says, where the given label is least probable, bool [n]."""
    order = np.argsort(columns.given.astype(np.min_scalar_type(-len(numbers))), kind="stable")  # fast if small
    start = len(order) - rows_of_class.sum()
    flagged = np.zeros(len(order), bool)
    for size, number in zip(rows_of_class, numbers, strict=True):
        if number > 0:
            rows = order[start : start + size]
            flagged[rows[_lowest(columns.own[rows], number)]] = True
        start += size
    return flagged


def _lowest(values: np.ndarray, number: int) -> np.ndarray:
    """Which are the `number` lowest values, of equal ones the first, as indices in no order."""
    if number >= len(values):
        return np.arange(len(values))
    if number <= 0:
        return np.arange(0)
    last = np.partition(values, number - 1)[number - 1]
    below = np.flatnonzero(values < last)
    return np.concatenate([below, np.flatnonzero(values == last)[: number - len(below)]])


def _given_is_best(columns: Columns) -> np.ndarray:
    """Where the given label would be the most probable if it had 1e-6 more, [n]."""
    own, top = columns.own.astype(np.float64) + SLACK, columns.top
    return (columns.best == columns.given) | (own > top) | ((own == top) & (columns.given < columns.best))
