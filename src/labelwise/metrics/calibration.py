"""Scores of confidence that torchmetrics lacks; the plain calibration error is in `classification_scores`."""

import numpy as np


def adaptive_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """How far confidence is from accuracy, in bins that hold equally many rows, in [0, 1].

    Args:
        labels: int [n] in [0, classes), n >= 1.
        probabilities: [n, classes].
        bins: >= 1; sizes differ by at most one row.

    Source: Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language processing models"
    (2015), section 3, with the mean of absolute gaps.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    parts = np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(labels)))
    return float(sum(abs((confidence[part] - right[part]).sum()) for part in parts) / len(labels))


def classwise_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Mean over classes of how far the probability of a class is from how often it is true, in [0, 1].

    In equal bins of the probability, each of which holds its upper bound. Takes what `adaptive_calibration_error` does.

    Source: Kull et al., "Beyond temperature scaling" (2019), eq. 3.
    """
    n, classes = probabilities.shape
    place = np.clip(np.ceil(probabilities * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.zeros((classes, bins))
    true = labels[:, None] == np.arange(classes)
    np.add.at(gap, (np.broadcast_to(np.arange(classes), place.shape), place), probabilities - true)
    return float(np.abs(gap).sum(1).mean() / n)


def risk_coverage_area(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean error rate if only the k most confident rows are answered, over all k from 1 to n (AURC), in [0, 1].

    Rows of equal confidence count by their mean error. Takes what `adaptive_calibration_error` does.

    Source: Geifman, Uziel, El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers" (2019), eq. 4.
    """
    confidence, wrong = probabilities.max(1), (probabilities.argmax(1) != labels).astype(float)
    _, tie = np.unique(-confidence, return_inverse=True)
    means = np.bincount(tie, wrong) / np.bincount(tie)
    errors = means[np.sort(tie)]
    return float((errors.cumsum() / np.arange(1, len(errors) + 1)).mean())
