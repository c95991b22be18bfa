"""How believable each given label is, from out-of-sample probabilities."""

from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.blocks import Rows, check, label_and_probability_arrays, labelled_rows, over
from labelwise.audit.confident import SLACK, class_thresholds

Score = Literal["normalized_margin", "self_confidence", "confidence_weighted_entropy"]


def label_quality(
    labels: ArrayLike, probs: ArrayLike, score: Score = "normalized_margin", adjust: bool = False
) -> np.ndarray:
    """Say how believable each given label is, float64 [n] in [0, 1], low = suspicious, nan where the label is missing.

    `labels` [n] and `probs` [n, classes] as for `find_label_issues`. `normalized_margin`: (p[given] - largest other p +
    1) / 2. `self_confidence`: p[given]. `confidence_weighted_entropy`: log(e + 1) / max(e, 1e-6), where e is the row's
    entropy (1 = uniform) over p[given]; as published, it tends to 0 where the model is all but certain (e below 1e-6),
    so compare rows that are not. With `adjust` (the first two only) the classes' thresholds are first taken from the
    probabilities, the largest of them added, and rows rescaled to sum 1, so that classes of which the model is never
    sure are not all suspicious.

    Source: Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets", NeurIPS 2021 (arXiv 2103.14749).
    """
    check_score(score)
    if adjust and score == "confidence_weighted_entropy":
        raise ValueError("adjust is for normalized_margin and self_confidence; confidence_weighted_entropy has no such")
    given, probabilities = label_and_probability_arrays(labels, probs)
    shift = None
    if adjust:
        h = class_thresholds(labels, probs)
        shift = h.max() - h
    quality = np.full(len(given), np.nan)

    for rows, scores in over(probabilities, labelled_rows(given), partial(_score, score, shift), given):
        quality[rows] = scores
    return quality


def quality_of(given: np.ndarray, probs: np.ndarray, rows: np.ndarray, score: Score) -> np.ndarray:
    """The score of these rows alone, which have a label, float64 [rows]; `given` [n], `probs` [n, classes]."""
    scores = [np.empty(0)]
    scores += (found for _, found in over(probs, rows, partial(_score, score, None), given))
    return np.concatenate(scores)


def _score(score: Score, shift: np.ndarray | None, rows: Rows, values: np.ndarray, given: np.ndarray) -> np.ndarray:
    check(rows, values)
    return score_rows(given, values, score, shift)


def check_score(score: str) -> None:
    """Raise `ValueError` for a score that there is not."""
    if score not in get_args(Score):
        raise ValueError(f"score must be one of {', '.join(get_args(Score))}; got {score!r}")


def score_rows(given: np.ndarray, values: np.ndarray, score: Score, shift: np.ndarray | None = None) -> np.ndarray:
    """The score of labels [n] by probabilities [n, classes], to which `shift` [classes] is added first, float64 [n]."""
    at = np.arange(len(values))
    if shift is not None:
        values = values + shift
        values /= values.sum(axis=1, keepdims=True)
    own = values[at, given].astype(np.float64)
    if score == "self_confidence":
        return own
    if score == "normalized_margin":
        others = values.copy()
        others[at, given] = -np.inf
        margins: np.ndarray = (own - others[at, others.argmax(axis=1)] + 1) / 2  # faster than `max`
        return margins
    positive = np.where(values > 0, values, 1)
    entropy = -(positive * np.log(positive)).sum(axis=1, dtype=np.float64) / np.log(values.shape[1])
    ratio = entropy / np.maximum(own, SLACK)
    weighted: np.ndarray = np.log1p(ratio) / np.maximum(ratio, SLACK)
    return weighted
