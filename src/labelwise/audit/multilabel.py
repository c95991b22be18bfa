"""Confident learning where an example has a set of classes: each class is a question of its own, yes or no.

Everything here takes `labels` as a collection of n sets (or lists) of class indices, or as a matrix [n, classes] of 1,
0 and -1 (not known), and `probs` [n, classes] in [0, 1], out of sample, which need not sum to 1. They are read a few
classes at a time and never copied. Raises `ValueError`, naming row, column and value, for other numbers.

Source: Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets", NeurIPS 2021 (arXiv 2103.14749); the score
of an example: Thyagarajan et al., "Identifying Incorrect Annotations in Multi-Label Classification Data" (arXiv
2211.13895).
"""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from labelwise.audit.blocks import over
from labelwise.audit.confident import SLACK, confident_joint
from labelwise.audit.filters import Filter, find_label_issues
from labelwise.audit.health import health_table

Sets = Collection[Collection[int]]
Aggregate = Literal["moving_average", "softmin"]

_AT_A_TIME = 8  # columns of probabilities that are held


def multilabel_confident_joint(labels: ArrayLike | Sets, probs: ArrayLike, calibrate: bool = True) -> np.ndarray:
    """Count the pairs (given, confidently guessed) of each class, int64 [classes, 2, 2]; 0 is "not of this class".

    See `confident_joint`. A class of which nothing is known has zeros.
    """
    given, probabilities = _matrices(labels, probs)
    joints = np.zeros((given.shape[1], 2, 2), np.int64)
    for k, own, pair in _questions(given, probabilities):
        joints[k] = confident_joint(own, pair, calibrate)
    return joints


def multilabel_label_issues(
    labels: ArrayLike | Sets,
    probs: ArrayLike,
    method: Filter = "prune_by_noise_rate",
    min_per_class: int = 1,
    fraction: float = 1.0,
) -> np.ndarray:
    """Mark the labels that are probably wrong, given ones and lacking ones, bool [n, classes].

    Arguments after `probs` as for `find_label_issues`. `.any(axis=1)` says which examples have an issue.
    """
    given, probabilities = _matrices(labels, probs)
    issues = np.zeros(given.shape, bool)
    for k, own, pair in _questions(given, probabilities):
        issues[:, k] = find_label_issues(own, pair, method, min_per_class, fraction)
    return issues


def multilabel_label_quality(
    labels: ArrayLike | Sets,
    probs: ArrayLike,
    score: Literal["self_confidence", "confidence_weighted_entropy"] = "self_confidence",
    aggregate: Aggregate | None = "moving_average",
) -> np.ndarray:
    """Say how believable the labels of each example are, float64 [n] in [0, 1], low = suspicious.

    Each class has its score, as in `label_quality` for the two classes yes and no (where the normalised margin is the
    self-confidence). `aggregate` makes one of them: `moving_average` goes from the best score to the worst, each time
    0.8 score + 0.2 average; `softmin` weighs them by exp(-score / 0.1). With None they are given, [n, classes]. Unknown
    labels count nowhere; nan where nothing is known.
    """
    if score not in ("self_confidence", "confidence_weighted_entropy"):
        raise ValueError(f"score must be self_confidence or confidence_weighted_entropy; got {score!r}")
    if aggregate is not None and aggregate not in get_args(Aggregate):
        raise ValueError(f"aggregate must be one of {', '.join(get_args(Aggregate))}, or None; got {aggregate!r}")
    given, probabilities = _matrices(labels, probs)
    quality = np.full(len(given) if aggregate else given.shape, np.nan)

    for rows, scores in over(probabilities, slice(None), partial(_scores, score, aggregate), given):
        quality[rows] = scores
    return quality


def _scores(score: str, aggregate: Aggregate | None, rows: Any, values: np.ndarray, given: np.ndarray) -> np.ndarray:
    _check(values, rows.start, 0)
    yes = values.astype(np.float64)
    own = np.where(given == 1, yes, 1 - yes)
    scores = own if score == "self_confidence" else _weighted_entropy(own)
    scores[given < 0] = np.nan
    return scores if aggregate is None else _AGGREGATES[aggregate](scores)


def multilabel_class_health(labels: ArrayLike | Sets, probs: ArrayLike) -> pd.DataFrame:
    """Estimate for each class how often it was given wrongly, and how often it is lacking, worst first.

    Columns as of `class_health`: `wrong` are examples that have the class and should not, `missed` those that should
    and have not.
    """
    joints = multilabel_confident_joint(labels, probs)
    return health_table(joints[:, 1].sum(axis=1), joints[:, :, 1].sum(axis=1), joints[:, 1, 1])


def _questions(given: np.ndarray, probabilities: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each class of which something is known: its number, labels [n] (1, 0, -1) and probabilities [n, 2] of no, yes."""
    for first in range(0, given.shape[1], _AT_A_TIME):
        columns = np.ascontiguousarray(probabilities[:, first : first + _AT_A_TIME].T)
        _check(columns.T, 0, first)
        for k, yes in enumerate(columns, start=first):
            if given[:, k].max(initial=-1) >= 0:
                yes = yes.astype(np.result_type(yes.dtype, np.float32), copy=False)
                yield k, given[:, k], np.stack([1 - yes, yes], axis=1)


def _matrices(labels: ArrayLike | Sets, probs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Labels as a matrix of 1, 0 and -1, and probabilities as an array, both [n, classes]."""
    probabilities = np.asarray(probs)
    if probabilities.ndim != 2 or not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"probs must be floats [n, classes]; got {probabilities.dtype} {list(probabilities.shape)}")
    return _matrix(labels, probabilities.shape), probabilities


def _matrix(labels: Any, shape: tuple[int, int]) -> np.ndarray:
    if getattr(labels, "ndim", 1) == 2:
        labels = np.asarray(labels)  # of a frame or a tensor, too
        if labels.shape != shape:
            raise ValueError(f"labels and probs must be of one shape; got {list(labels.shape)} and {list(shape)}")
        bad = np.argwhere(~np.isin(labels, (-1, 0, 1)))
        if len(bad):
            row, column = bad[0]
            raise ValueError(
                f"a matrix of labels must hold 1, 0, or -1 where not known; got {labels[row, column]} at row {row}, "
                f"column {column}"
            )
        return labels.astype(np.int8, copy=False)
    sets = labels if isinstance(labels, Collection) else [labels]
    for each in sets:
        if not isinstance(each, Collection):
            raise ValueError(f"labels must be a set of class indices a row, or a matrix [n, classes]; got {each!r}")
    if len(labels) != shape[0]:
        raise ValueError(
            f"labels must hold a set of classes for each of the {shape[0]} rows of probs; got {len(labels)}"
        )
    rows = np.repeat(np.arange(len(labels)), [len(classes) for classes in labels])
    every = np.array(list(chain.from_iterable(labels)), dtype=None if len(rows) else np.int64)
    if not np.issubdtype(every.dtype, np.integer):
        raise ValueError(f"labels must be sets of class indices; got values of type {every.dtype}")
    outside = np.flatnonzero((every < 0) | (every >= shape[1]))
    if len(outside):
        raise ValueError(
            f"labels must be sets of integers in [0, {shape[1]}); got {every[outside[0]]} at row {rows[outside[0]]}"
        )
    matrix = np.zeros(shape, np.int8)
    matrix[rows, every] = 1
    if matrix.sum(dtype=np.int64) < len(every):
        row = rows[matrix.sum(axis=1)[rows] < np.bincount(rows)[rows]][0]
        raise ValueError(f"row {row} of labels names a class twice; give a matrix of 0 and 1 as a NumPy array")
    return matrix


def _check(values: np.ndarray, row: int, column: int) -> None:
    """Raise `ValueError` for a number outside [0, 1], in values that begin at this row and column."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        at = np.argwhere(~((values >= 0) & (values <= 1)))[0]
        raise ValueError(
            f"probs must be in [0, 1]; got {values[tuple(at)]:g} at row {row + at[0]}, column {column + at[1]}"
        )


def _weighted_entropy(own: np.ndarray) -> np.ndarray:
    both = np.stack([own, 1 - own])
    both[both <= 0] = 1
    ratio = -(both * np.log2(both)).sum(axis=0) / np.maximum(own, SLACK)
    scores: np.ndarray = np.log1p(ratio) / np.maximum(ratio, SLACK)
    return scores


def _moving_average(scores: np.ndarray) -> np.ndarray:
    average = np.full(len(scores), np.nan)
    for score in np.sort(scores, axis=1).T[::-1]:  # unknown ones first
        average = np.where(np.isnan(average), score, 0.8 * score + 0.2 * average)
    return average


def _softmin(scores: np.ndarray) -> np.ndarray:
    known = ~np.isnan(scores)
    weights = np.where(known, np.exp((1 - scores) / 0.1), 0)
    total = weights.sum(axis=1)
    value = (weights * np.where(known, scores, 0)).sum(axis=1)
    return np.divide(value, total, out=np.full(len(scores), np.nan), where=total > 0)


_AGGREGATES = {"moving_average": _moving_average, "softmin": _softmin}
