import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.audit import (
    class_thresholds,
    confident_joint,
    estimate_joint,
    find_label_issues,
    label_quality,
)

PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")
FILTERS = (*PRUNING, "confident_learning", "predicted_neq_given")


def sample(seed: int, n: int, classes: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that follow the probabilities in part, so that every branch is reached."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.standard_normal((n, classes))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(generator.random(n) < 0.7, probs.argmax(axis=1), generator.integers(classes, size=n))
    return labels, probs


samples = st.builds(
    sample, st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 7), st.sampled_from([0.5, 3.0])
)


def slow_thresholds(labels, probs):
    classes = probs.shape[1]
    members = [[probs[i][j] for i in range(len(labels)) if labels[i] == j] for j in range(classes)]
    return [max(sum(each) / len(each), 2e-6) if each else 2.0 for each in members]


def slow_joint(labels, probs):
    """The definition, one row after the other."""
    classes, thresholds = probs.shape[1], slow_thresholds(labels, probs)
    joint = np.zeros((classes, classes), int)
    for given_class, row in zip(labels, probs, strict=True):
        reached = [j for j in range(classes) if row[j] >= thresholds[j] - 1e-6]
        if reached:
            joint[given_class, reached[0] if len(reached) == 1 else int(np.argmax(row))] += 1
    for k in range(classes):
        joint[k, k] = max(joint[k, k], 1)
    return joint


def slow_by_rate(labels, probs, joint):
    flagged = set()
    for k in range(len(joint)):
        members = [i for i in range(len(labels)) if labels[i] == k]
        for j in range(len(joint)):
            if j != k and len(members) > 1:
                ranked = sorted(members, key=lambda i: (probs[i][k] - probs[i][j], i))
                flagged |= set(ranked[: joint[k, j]])
    return sorted(i for i in flagged if np.argmax(probs[i]) != labels[i])


@given(samples)
def test_counts_follow_the_definition(labels_and_probs):
    labels, probs = labels_and_probs
    np.testing.assert_allclose(class_thresholds(labels, probs), slow_thresholds(labels, probs))
    np.testing.assert_array_equal(confident_joint(labels, probs, calibrate=False), slow_joint(labels, probs))


@given(st.builds(sample, st.integers(0, 10**6), st.integers(40, 80), st.integers(2, 4), st.just(2.0)))
def test_pruning_follows_the_definition(labels_and_probs):
    labels, probs = labels_and_probs
    joint = confident_joint(labels, probs)
    if (
        joint.diagonal() >= 1
    ).all():  # else the kept row is taken from the others, which the definition here leaves out
        flagged = np.flatnonzero(find_label_issues(labels, probs))
        assert flagged.tolist() == slow_by_rate(labels, probs, joint)


@given(samples)
def test_the_calibrated_joint_keeps_class_counts(labels_and_probs):
    labels, probs = labels_and_probs
    joint = confident_joint(labels, probs)
    assert joint.sum() == len(labels)
    np.testing.assert_array_equal(joint.sum(axis=1), np.bincount(labels, minlength=probs.shape[1]))
    assert joint.min() >= 0
    assert estimate_joint(labels, probs).sum() == pytest.approx(1)
    assert 0 <= np.trace(estimate_joint(labels, probs)) <= 1


@given(samples, st.sampled_from(FILTERS), st.randoms(use_true_random=False))
def test_permuting_rows_permutes_flags(labels_and_probs, method, random):
    labels, probs = labels_and_probs
    order = list(range(len(labels)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        find_label_issues(labels, probs, method)[order], find_label_issues(labels[order], probs[order], method)
    )
    np.testing.assert_array_equal(label_quality(labels, probs)[order], label_quality(labels[order], probs[order]))


@given(samples, st.randoms(use_true_random=False))
def test_renaming_classes_permutes_the_joint(labels_and_probs, random):
    labels, probs = labels_and_probs
    renamed = list(range(probs.shape[1]))
    random.shuffle(renamed)
    old = np.argsort(renamed)  # the class that became class 0, 1, ...
    again = np.asarray(renamed)[labels]
    np.testing.assert_array_equal(
        confident_joint(again, probs[:, old], calibrate=False),
        confident_joint(labels, probs, calibrate=False)[np.ix_(old, old)],
    )


@given(samples, st.sampled_from(FILTERS))
def test_a_class_that_is_never_used_changes_nothing(labels_and_probs, method):
    labels, probs = labels_and_probs
    more = np.hstack([probs, np.zeros((len(probs), 1))])
    np.testing.assert_array_equal(find_label_issues(labels, more, method), find_label_issues(labels, probs, method))
    assert not confident_joint(labels, more)[-1].any()
    assert not confident_joint(labels, more)[:, -1].any()
    assert class_thresholds(labels, more)[-1] == 2


@given(samples, st.sampled_from(FILTERS), st.integers(1, 5))
def test_missing_labels_count_nowhere(labels_and_probs, method, missing):
    labels, probs = labels_and_probs
    generator = np.random.default_rng(missing)
    at = np.sort(generator.integers(0, len(labels) + 1, missing))
    with_missing = np.insert(labels, at, -1)
    with_more = np.insert(probs, at, generator.dirichlet(np.ones(probs.shape[1]), missing), axis=0)
    kept = with_missing >= 0
    flagged = find_label_issues(with_missing, with_more, method)
    assert not flagged[~kept].any()
    np.testing.assert_array_equal(flagged[kept], find_label_issues(labels, probs, method))
    np.testing.assert_array_equal(confident_joint(with_missing, with_more), confident_joint(labels, probs))
    quality = label_quality(with_missing, with_more)
    assert np.isnan(quality[~kept]).all()
    np.testing.assert_array_equal(quality[kept], label_quality(labels, probs))


@given(samples, st.sampled_from(PRUNING), st.integers(0, 4), st.floats(0, 1))
def test_pruning_keeps_rows_of_every_class(labels_and_probs, method, kept, fraction):
    labels, probs = labels_and_probs
    flagged = find_label_issues(labels, probs, method, min_per_class=kept, fraction=fraction)
    counts = np.bincount(labels, minlength=probs.shape[1])
    left = np.bincount(labels[~flagged], minlength=probs.shape[1])
    assert (left >= np.minimum(counts, kept)).all()
    assert not find_label_issues(labels, probs, method, fraction=0).any()


@given(samples)
def test_both_is_what_the_two_prunings_agree_on(labels_and_probs):
    by_class, by_rate, both = (
        find_label_issues(*labels_and_probs, method) for method in ("prune_by_class", "prune_by_noise_rate", "both")
    )
    np.testing.assert_array_equal(both, by_class & by_rate)
    everything = find_label_issues(*labels_and_probs, "predicted_neq_given")
    assert not (by_class | by_rate)[~everything].any()


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_perfect_and_useless_models_find_nothing(method, dtype):
    labels = np.repeat(np.arange(4), 5)
    perfect = np.eye(4, dtype=dtype)[labels]
    assert not find_label_issues(labels, perfect, method).any()
    assert np.trace(estimate_joint(labels, perfect)) == 1
    assert not find_label_issues(labels, np.full((20, 4), 0.25, dtype), method).any()


def test_the_joint_is_recovered_from_exact_probabilities():
    true_joint = np.array([[0.30, 0.03, 0.00], [0.05, 0.25, 0.02], [0.02, 0.03, 0.30]])  # given x true
    true_joint /= true_joint.sum()
    generator = np.random.default_rng(0)
    pairs = generator.choice(9, 20_000, p=true_joint.ravel())
    labels, truth = pairs // 3, pairs % 3
    given_truth = true_joint / true_joint.sum(axis=0)  # p(given | true): constant within a true class
    probs = given_truth.T[truth]
    assert np.abs(estimate_joint(labels, probs) - true_joint).max() < 0.01


@given(samples)
def test_scores_lie_in_the_unit_interval_and_follow_their_formulas(labels_and_probs):
    labels, probs = labels_and_probs
    rows = np.arange(len(labels))
    own = probs[rows, labels]
    others = np.array([np.delete(row, k).max() for row, k in zip(probs, labels, strict=True)])
    np.testing.assert_allclose(label_quality(labels, probs), (own - others + 1) / 2)
    np.testing.assert_allclose(label_quality(labels, probs, "self_confidence"), own)
    entropy = -(probs * np.log(probs)).sum(axis=1) / np.log(probs.shape[1])
    ratio = np.maximum(entropy / np.maximum(own, 1e-6), 1e-6)
    expected = np.log(ratio + 1) / ratio
    np.testing.assert_allclose(label_quality(labels, probs, "confidence_weighted_entropy"), expected, atol=1e-9)
    for score in ("normalized_margin", "self_confidence", "confidence_weighted_entropy"):
        quality = label_quality(labels, probs, score)
        assert ((quality >= 0) & (quality <= 1)).all()


def test_the_arguments_are_left_as_they_are():
    labels, probs = sample(0, 50, 3)
    before = probs.copy()
    for method in FILTERS:
        find_label_issues(labels, probs, method)
    for score in ("normalized_margin", "confidence_weighted_entropy"):
        label_quality(labels, probs, score)
    np.testing.assert_array_equal(probs, before)


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([0, 1], np.full((3, 2), 0.5), r"got shapes \[2\] and \[3, 2\]"),
        ([0, 2], np.full((2, 2), 0.5), r"in \[0, 2\).*got 2 at row 1"),
        ([0, -2], np.full((2, 2), 0.5), r"got -2 at row 1"),
        ([0.0, 1.0], np.full((2, 2), 0.5), "must be integers"),
        ([0, 1], np.ones((2, 2), int), "probs floats"),
        ([-1, -1], np.full((2, 2), 0.5), "all are missing"),
        ([0, 0], np.ones((2, 1)), "at least 2 classes"),
        ([-1, 0, 1], np.array([[np.nan, 1], [0.5, 0.5], [np.inf, 0]]), "row 2 is not"),
    ],
)
def test_unfit_arrays_are_refused(labels, probs, message):
    for function in (class_thresholds, confident_joint, estimate_joint, find_label_issues, label_quality):
        with pytest.raises(ValueError, match=message):
            function(np.asarray(labels), probs)


def test_unknown_options_are_refused():
    labels, probs = sample(0, 10, 2)
    with pytest.raises(ValueError, match=r"method must be one of prune_by_noise_rate.*got 'prune'"):
        find_label_issues(labels, probs, "prune")
    with pytest.raises(ValueError, match=r"fraction must be in \[0, 1\]; got 2"):
        find_label_issues(labels, probs, fraction=2)
    with pytest.raises(ValueError, match="min_per_class must be at least 0; got -1"):
        find_label_issues(labels, probs, min_per_class=-1)
    with pytest.raises(ValueError, match="score must be one of"):
        label_quality(labels, probs, "margin")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts", "reviewed", "validated"),
    [
        ("mnist", (15, 15, 15, 87), 100, 15),
        ("imdb", (1309, 1076, 1309, 2606), 1310, 725),
        ("20news", (95, 55, 45, 577), 93, 82),
    ],
)
def test_published_counts(data, name, counts, reviewed, validated):
    with np.load(data / "label-errors" / f"{name}_test.npz") as file:
        labels, probs = file["labels"], file["pred_probs"]
    probs = probs / probs.sum(axis=1, keepdims=True)
    methods = ("prune_by_noise_rate", "confident_learning", "both", "predicted_neq_given")
    assert tuple(int(find_label_issues(labels, probs, method).sum()) for method in methods) == counts
    with gzip.open(data / "label-errors" / f"{name}_verdicts.json.gz") as file:
        verdicts = {item["id"]: item["mturk"]["given"] < 3 for item in json.load(file)}
    worst = np.argsort(label_quality(labels, probs), kind="stable")[: len(verdicts)]
    assert set(worst.tolist()) == set(verdicts)
    assert (len(verdicts), sum(verdicts.values())) == (reviewed, validated)
