import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.audit import (
    confident_joint,
    find_label_issues,
    label_quality,
    multilabel_class_health,
    multilabel_confident_joint,
    multilabel_label_issues,
    multilabel_label_quality,
)

METHODS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")


def sample(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.random((n, classes)) < 0.3
    probs = 1 / (1 + np.exp(-(4 * truth - 2 + 1.5 * generator.standard_normal((n, classes)))))
    return np.where(generator.random((n, classes)) < 0.1, ~truth, truth).astype(int), probs


samples = st.builds(sample, st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 5))


def sets(matrix: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in matrix]


@settings(max_examples=40)
@given(samples, st.sampled_from(METHODS))
def test_each_class_is_a_question_of_its_own(labels_and_probs, method):
    labels, probs = labels_and_probs
    issues, joints = multilabel_label_issues(labels, probs, method), multilabel_confident_joint(labels, probs)
    for k in range(labels.shape[1]):
        pair = np.stack([1 - probs[:, k], probs[:, k]], axis=1)
        np.testing.assert_array_equal(issues[:, k], find_label_issues(labels[:, k], pair, method))
        np.testing.assert_array_equal(joints[k], confident_joint(labels[:, k], pair))
        for score in ("self_confidence", "confidence_weighted_entropy"):
            by_class = multilabel_label_quality(labels, probs, score, aggregate=None)[:, k]
            np.testing.assert_allclose(by_class, label_quality(labels[:, k], pair, score), atol=1e-12)


@settings(max_examples=40)
@given(samples)
def test_sets_and_matrices_are_the_same(labels_and_probs):
    labels, probs = labels_and_probs
    np.testing.assert_array_equal(multilabel_label_issues(sets(labels), probs), multilabel_label_issues(labels, probs))
    as_lists = [sorted(row) for row in sets(labels)]
    np.testing.assert_array_equal(multilabel_label_quality(as_lists, probs), multilabel_label_quality(labels, probs))


@given(samples)
def test_the_score_of_an_example_lies_between_its_worst_and_its_best(labels_and_probs):
    scores = multilabel_label_quality(*labels_and_probs, aggregate=None)
    for aggregate in ("moving_average", "softmin"):
        one = multilabel_label_quality(*labels_and_probs, aggregate=aggregate)
        assert (one >= scores.min(axis=1) - 1e-12).all()
        assert (one <= scores.max(axis=1) + 1e-12).all()


def test_the_moving_average_by_hand():
    assert multilabel_label_quality([{0, 2}], np.array([[0.2, 0.1, 0.7]]))[0] == pytest.approx(
        0.8 * 0.2 + 0.2 * (0.8 * 0.7 + 0.2 * 0.9)
    )


def test_what_is_not_known_counts_nowhere():
    labels, probs = sample(0, 300, 4)
    unknown = np.random.default_rng(1).random(labels.shape) < 0.2
    unknown[:, 3] = True
    unknown[5] = True
    partly = np.where(unknown, -1, labels)
    issues, joints = multilabel_label_issues(partly, probs), multilabel_confident_joint(partly, probs)
    assert not issues[unknown].any()
    assert not joints[3].any()
    for k in range(3):
        known = ~unknown[:, k]
        pair = np.stack([1 - probs[known, k], probs[known, k]], axis=1)
        np.testing.assert_array_equal(issues[known, k], find_label_issues(labels[known, k], pair))
    for aggregate in ("moving_average", "softmin"):
        quality = multilabel_label_quality(partly, probs, aggregate=aggregate)
        np.testing.assert_array_equal(np.isnan(quality), unknown.all(axis=1))
        one = np.flatnonzero(~unknown.all(axis=1))[0]
        known = ~unknown[one]
        alone = multilabel_label_quality(labels[[one]][:, known], probs[[one]][:, known], aggregate=aggregate)
        assert quality[one] == pytest.approx(alone[0])


def test_health_counts_given_and_lacking():
    labels, probs = sample(2, 2000, 3)
    joints = multilabel_confident_joint(labels, probs)
    for row in multilabel_class_health(labels, probs).itertuples(index=False):
        k = row[0]
        assert row.rows == labels[:, k].sum()
        assert (row.wrong, row.missed) == (joints[k, 1, 0], joints[k, 0, 1])


def test_perfect_labels_have_no_issue():
    labels, _ = sample(0, 50, 3)
    assert not multilabel_label_issues(labels, labels.astype(np.float32)).any()
    assert (multilabel_label_quality(labels, labels.astype(np.float32)) == 1).all()


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([{0}], np.full((2, 3), 0.5), "set of classes for each of the 2 rows of probs; got 1"),
        ([{0}, {3}], np.full((2, 3), 0.5), r"integers in \[0, 3\); got 3 at row 1"),
        ([{0}, {"a"}], np.full((2, 3), 0.5), "class indices; got values of type"),
        ([{0}, [1, 0, 0]], np.full((2, 3), 0.5), "row 1 of labels names a class twice; give a matrix"),
        (np.array([[0, 1], [2, 0]]), np.full((2, 2), 0.5), "got 2 at row 1, column 0"),
        (np.zeros((2, 2), int), np.full((2, 3), 0.5), r"of one shape; got \[2, 2\] and \[2, 3\]"),
        ([{0}, {1}], np.array([[0.5, 0.5], [0.5, 1.5]]), r"in \[0, 1\]; got 1.5 at row 1, column 1"),
        ([{0}, {1}], np.array([[0.5, np.nan], [0.5, 0.5]]), "got nan at row 0, column 1"),
        ([{0}, {1}], np.ones((2, 2), int), "probs must be floats"),
        ([{0}, {1}], np.ones(2), r"probs must be floats \[n, classes\]; got float64 \[2\]"),
        ([0, 1], np.ones((2, 2)), "a set of class indices a row, or a matrix .*; got 0"),
        (None, np.ones((2, 2)), "a set of class indices a row, or a matrix .*; got None"),
    ],
)
def test_unfit_arrays_are_refused(labels, probs, message):
    for function in (multilabel_confident_joint, multilabel_label_issues, multilabel_label_quality):
        with pytest.raises(ValueError, match=message):
            function(labels, probs)


def test_a_frame_is_a_matrix():
    labels, probs = sample(0, 30, 3)
    issues = multilabel_label_issues(pd.DataFrame(labels), pd.DataFrame(probs))
    np.testing.assert_array_equal(issues, multilabel_label_issues(labels, probs))


def test_unknown_options_are_refused():
    labels, probs = sample(0, 10, 2)
    with pytest.raises(ValueError, match=r"score must be self_confidence or .*; got 'normalized_margin'"):
        multilabel_label_quality(labels, probs, "normalized_margin")
    with pytest.raises(ValueError, match="aggregate must be one of moving_average, softmin, or None; got 'min'"):
        multilabel_label_quality(labels, probs, aggregate="min")
