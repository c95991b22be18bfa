"""Wrong labels from how a model learns: labels that it never comes to prefer."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.blocks import Rows, label_and_probability_arrays, labelled_rows, over


def area_under_margin(logits: Iterable[ArrayLike], labels: ArrayLike) -> np.ndarray:
    """The mean over epochs of how far the given label's logit is above the largest other one, float64 [n].

    `logits` gives an array [n, classes] an epoch, of the rows in the same order, as seen in training on `labels` [n]
    (class indices, -1 = missing: nan); it may be an array [epochs, n, classes], or make one after the other. Low values
    are suspicious: other rows of the class pull the logits away from a wrong label.

    Raises `ValueError` without any epoch, and for arrays of other shapes.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS 2020 (arXiv
    2001.10528).
    """
    total, epochs = np.zeros(len(np.asarray(labels))), 0
    for each in logits:
        given, values = label_and_probability_arrays(labels, each)
        margins = np.full(len(given), np.nan)
        for rows, found in over(values, labelled_rows(given), _margins, given):
            margins[rows] = found
        total += margins
        epochs += 1
    if epochs == 0:
        raise ValueError("logits must hold at least one epoch")
    return total / epochs


def _margins(rows: Rows, values: np.ndarray, given: np.ndarray) -> np.ndarray:
    at = np.arange(len(values))
    others = values.copy()
    others[at, given] = -np.inf
    margins: np.ndarray = values[at, given] - others[at, others.argmax(axis=1)]
    return margins
