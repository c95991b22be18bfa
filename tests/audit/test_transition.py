import numpy as np
import pytest

from labelwise.audit import anchor_points, confident_joint, confident_transition, hoc
from labelwise.audit.transition import fit_transition


def test_exact_consensus_gives_the_transition_back():
    generator = np.random.default_rng(0)
    matrix = 0.7 * np.eye(5) + 0.3 * generator.dirichlet(np.ones(5), 5)
    prior = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    counts = [
        np.einsum(f"i,{','.join('i' + each for each in s)}->{s}", prior, *[matrix] * len(s)) for s in ("a", "ab", "abc")
    ]
    found = fit_transition(*counts)
    assert np.abs(found.matrix - matrix).max() < 0.02
    assert np.abs(found.prior - prior).max() < 0.02


def test_consensus_of_neighbours_shows_the_noise():
    generator = np.random.default_rng(1)
    matrix = np.array([[0.8, 0.2, 0.0], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]])
    truth = generator.integers(3, size=3000)
    embeddings = 4 * np.eye(3)[truth] + 0.3 * generator.standard_normal((3000, 3))
    labels = (generator.random(3000)[:, None] > matrix[truth].cumsum(axis=1)).sum(axis=1)
    found = hoc(embeddings, labels, steps=800, quiet=True)
    assert np.abs(found.matrix - matrix).max() < 0.06
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1)
    assert np.abs(found.prior - np.bincount(truth) / 3000).max() < 0.05


def test_anchors_are_the_surest_rows():
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    np.testing.assert_allclose(anchor_points(probs).matrix, [[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_allclose(anchor_points(probs, discard=0.25).matrix, [[0.6, 0.4], [0.3, 0.7]])
    matrix = np.array([[0.8, 0.2], [0.1, 0.9]])
    np.testing.assert_allclose(anchor_points((np.eye(2) @ matrix).astype(np.float32)).matrix, matrix, rtol=1e-6)


def test_the_confident_joint_is_a_transition():
    generator = np.random.default_rng(2)
    matrix = np.array([[0.8, 0.2, 0.0], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]])
    truth = generator.integers(3, size=2000)
    labels = (generator.random(2000)[:, None] > matrix[truth].cumsum(axis=1)).sum(axis=1)
    probs = 0.9 * np.eye(3)[truth] @ matrix + 0.1 / 3
    found = confident_transition(labels, probs, ("a", "b", "c"))
    assert found.classes == ("a", "b", "c")
    joint = confident_joint(labels, probs)
    np.testing.assert_allclose(found.prior[:, None] * found.matrix, joint.T / joint.sum())
    assert np.abs(found.matrix - matrix).max() < 0.05
    assert found.noise_rate() == pytest.approx((labels != truth).mean(), abs=0.02)


def test_classes_that_are_not_given_are_never_mistaken():
    generator = np.random.default_rng(3)
    labels = generator.integers(2, size=60)
    embeddings = np.eye(2)[labels] + 0.01 * generator.standard_normal((60, 2))
    found = hoc(embeddings, labels, rounds=5, steps=50, quiet=True, classes=("a", "b", "rare"))
    assert found.classes == ("a", "b", "rare")
    assert found.matrix[2].tolist() == [0, 0, 1]
    assert found.prior[2] == 0


def test_unfit_arguments_are_refused():
    with pytest.raises(ValueError, match=r"discard must be in \[0, 1\); got 1"):
        anchor_points(np.full((2, 2), 0.5), discard=1)
    with pytest.raises(ValueError, match=r"probs must be floats \[n, classes\]; got float64 \[0, 2\]"):
        anchor_points(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="got nan at row 1, column 0"):
        anchor_points(np.array([[0.5, 0.5], [np.nan, 1]]))
    with pytest.raises(ValueError, match="row 0 sums to 3"):
        anchor_points(np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="at least 3 rows must have a label; got 2"):
        hoc(np.ones((3, 2)), np.array([0, 1, -1]), quiet=True)
    with pytest.raises(ValueError, match="rounds and steps must be at least 1; got 0 and 5"):
        hoc(np.ones((3, 2)), np.array([0, 1, 1]), rounds=0, steps=5, quiet=True)
    with pytest.raises(ValueError, match="got 2 names and class 2"):
        hoc(np.ones((3, 2)), np.array([0, 1, 2]), classes=("a", "b"), quiet=True)
