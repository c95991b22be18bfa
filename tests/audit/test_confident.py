import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.samples import published, sample, samples

from labelwise.audit import class_thresholds, confident_joint, estimate_joint, noise_matrices


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


@given(samples)
def test_counts_follow_the_definition(labels_and_probs):
    labels, probs = labels_and_probs
    np.testing.assert_allclose(class_thresholds(labels, probs), slow_thresholds(labels, probs))
    np.testing.assert_array_equal(confident_joint(labels, probs, calibrate=False), slow_joint(labels, probs))
    np.testing.assert_array_equal(confident_joint(labels, probs, sparse=True).toarray(), confident_joint(labels, probs))


@given(samples)
def test_the_calibrated_joint_keeps_class_counts(labels_and_probs):
    labels, probs = labels_and_probs
    joint = confident_joint(labels, probs)
    assert joint.sum() == len(labels)
    np.testing.assert_array_equal(joint.sum(axis=1), np.bincount(labels, minlength=probs.shape[1]))
    assert joint.min() >= 0
    assert estimate_joint(labels, probs).sum() == pytest.approx(1)
    assert 0 <= np.trace(estimate_joint(labels, probs)) <= 1


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


def test_the_joint_is_recovered_from_exact_probabilities():
    true_joint = np.array([[0.30, 0.03, 0.00], [0.05, 0.25, 0.02], [0.02, 0.03, 0.30]])  # given x true
    true_joint /= true_joint.sum()
    generator = np.random.default_rng(0)
    pairs = generator.choice(9, 20_000, p=true_joint.ravel())
    labels, truth = pairs // 3, pairs % 3
    given_truth = true_joint / true_joint.sum(axis=0)  # p(given | true): constant within a true class
    probs = given_truth.T[truth]
    assert np.abs(estimate_joint(labels, probs) - true_joint).max() < 0.01
    found = noise_matrices(labels, probs)
    assert np.abs(found.noise - given_truth).max() < 0.02
    assert np.abs(found.inverse - (true_joint / true_joint.sum(axis=1, keepdims=True)).T).max() < 0.02
    assert np.abs(found.prior - true_joint.sum(axis=0)).max() < 0.01


PRIORS = ("cnt", "eqn", "marginal", "marginal_ps")


@given(samples, st.sampled_from(PRIORS), st.booleans())
def test_noise_matrices_are_distributions(labels_and_probs, prior, converge):
    labels, probs = labels_and_probs
    joint = estimate_joint(labels, probs)
    noise, inverse, p_true = noise_matrices(labels, probs, prior, converge)
    assert min(noise.min(), inverse.min(), p_true.min()) >= 0
    assert p_true.sum() == pytest.approx(1)
    for matrix, occurs in ((noise, joint.sum(axis=0) > 0), (inverse, joint.sum(axis=1) > 0)):
        np.testing.assert_allclose(matrix.sum(axis=0)[occurs], 1)
    if not converge:
        np.testing.assert_allclose(noise * joint.sum(axis=0), joint, atol=1e-4)  # rates are clipped at 0.9999
        np.testing.assert_allclose(inverse * joint.sum(axis=1), joint.T, atol=1e-4)


@pytest.mark.parametrize("classes", [40, 1100])
def test_a_class_without_rows_changes_no_rounding_however_many_there_are(classes):
    """Many entries of such a joint are equal, so that their order decides which are rounded up."""
    generator = np.random.default_rng(0)
    truth = np.concatenate([np.arange(classes), generator.integers(classes, size=2 * classes)])
    labels = np.where(generator.random(len(truth)) < 0.3, generator.integers(classes, size=len(truth)), truth)
    labels[:classes] = np.arange(classes)
    probs = generator.dirichlet(np.full(classes, 0.1), len(truth)) + 2 * np.eye(classes)[truth]
    probs /= probs.sum(axis=1, keepdims=True)
    joint = confident_joint(labels, probs)
    np.testing.assert_array_equal(joint.sum(axis=1), np.bincount(labels, minlength=classes))
    at = classes // 2
    more = confident_joint(np.where(labels >= at, labels + 1, labels), np.insert(probs, at, 0, axis=1))
    assert not more[at].any()
    np.testing.assert_array_equal(np.delete(np.delete(more, at, axis=0), at, axis=1), joint)


def test_ways_to_find_the_prior_agree():
    labels, probs = sample(1, 2000, 5, 4.0)
    exact = noise_matrices(labels, probs, "marginal").prior
    for prior in PRIORS:
        for converge in (False, True):
            np.testing.assert_allclose(noise_matrices(labels, probs, prior, converge).prior, exact, atol=1e-3)


def test_without_errors_the_noise_is_the_identity():
    labels = np.repeat(np.arange(3), 4)
    for matrix in noise_matrices(labels, np.eye(3)[labels])[:2]:
        np.testing.assert_array_equal(matrix, np.eye(3))


def test_an_unknown_prior_is_refused():
    with pytest.raises(ValueError, match="prior must be one of cnt, eqn, marginal, marginal_ps; got 'count'"):
        noise_matrices(*sample(0, 10, 2), "count")


# Joints (given in rows) that cleanlab 2.9 counts too, by the sum and the sum of squares of the counts off the diagonal.
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("mnist", (9468, 15, 17, 10000, 15, 17)),
        ("imdb", (20532, 1076, 583690, 25000, 1309, 862465)),
        ("20news", (4448, 55, 139, 7532, 96, 392)),
    ],
)
def test_joints_of_published_probabilities(data, name, facts):
    labels, probs = published(data, name)
    found = []
    for calibrate in (False, True):
        joint = confident_joint(labels, probs, calibrate)
        others = joint - np.diag(joint.diagonal())
        found += [int(joint.sum()), int(others.sum()), int((others**2).sum())]
    assert tuple(found) == facts
