import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from labelwise.metrics import adaptive_calibration_error, classwise_calibration_error, risk_coverage_area


def chances(n=300, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), n)
    return (probabilities.cumsum(1) > generator.random((n, 1))).argmax(1), probabilities


def test_one_bin_is_mean_confidence_less_accuracy():
    labels, probabilities = chances()
    gap = probabilities.max(1).mean() - accuracy_score(labels, probabilities.argmax(1))
    assert adaptive_calibration_error(labels, probabilities, 1) == pytest.approx(abs(gap))
    assert adaptive_calibration_error(labels[:2], probabilities[:2], 15) <= 1


def test_labels_drawn_from_the_probabilities_leave_small_errors():
    labels, probabilities = chances(200_000)
    assert adaptive_calibration_error(labels, probabilities) < 0.01
    assert classwise_calibration_error(labels, probabilities) < 0.01
    sure = np.eye(3)[probabilities.argmax(1)]
    wrong = 1 - accuracy_score(labels, sure.argmax(1))
    assert adaptive_calibration_error(labels, sure) == pytest.approx(wrong)
    assert classwise_calibration_error(np.zeros(4, int), np.eye(3)[[0] * 4]) == 0


def test_classwise_with_one_bin_is_the_gap_of_shares():
    labels, probabilities = chances()
    gaps = np.abs(probabilities.mean(0) - np.bincount(labels, minlength=3) / len(labels))
    assert classwise_calibration_error(labels, probabilities, 1) == pytest.approx(gaps.mean())


def test_area_of_risk_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert risk_coverage_area(np.array([0, 0, 0, 0]), probabilities) == 0
    assert risk_coverage_area(np.array([0, 1, 0, 1]), probabilities) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    even = np.full((4, 2), 0.5)
    assert risk_coverage_area(np.array([0, 1, 1, 0]), even) == risk_coverage_area(np.array([1, 1, 0, 0]), even) == 0.5
