import numpy as np
import pytest

from labelwise.audit import estimate_joint
from labelwise.audit.error_rate import error_rate_interval


def made(n: int, noise: float, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which a share is wrong, and probabilities that know the truth fairly well."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    labels = np.where(generator.random(n) < noise, (truth + 1) % classes, truth)
    scores = generator.normal(size=(n, classes)) + 5 * np.eye(classes)[truth]
    return labels, np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def test_the_interval_holds_the_estimate_and_narrows_with_rows():
    widths = []
    for n in (300, 3000, 30000):
        labels, probs = made(n, 0.1)
        low, high = error_rate_interval(labels, probs)
        assert low < 1 - np.trace(estimate_joint(labels, probs)) < high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[0] / widths[2] == pytest.approx(10, rel=0.5)


def test_the_interval_is_that_of_drawing_rows_with_fixed_thresholds():
    labels, probs = made(2000, 0.1)
    reached = probs >= np.array([probs[labels == k, k].mean() for k in range(4)]) - 1e-6
    confident = np.where(reached.any(1), np.where(reached, probs, -1).argmax(1), -1)
    generator = np.random.default_rng(1)
    rates = []
    for _ in range(1000):
        rows = generator.integers(0, 2000, 2000)
        given, guess = labels[rows], confident[rows]
        wrong = np.array([np.mean((guess != k)[(guess >= 0) & (given == k)]) for k in range(4)])
        rates.append(wrong[given].mean())
    assert error_rate_interval(labels, probs) == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.0025)


def test_labels_that_are_missing_count_nowhere():
    labels, probs = made(500, 0.1)
    holes = np.concatenate([labels, np.full(200, -1)])
    assert error_rate_interval(holes, np.concatenate([probs, probs[:200]])) == error_rate_interval(labels, probs)


def test_clean_labels_and_absent_classes():
    labels, probs = made(400, 0.0)
    low, high = error_rate_interval(labels, np.hstack([probs * 0.99, np.full((400, 1), 0.01)]))
    assert 0 <= low <= high < 0.05
