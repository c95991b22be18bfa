import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.labels import noise

LABELS = np.random.default_rng(0).integers(-1, 5, 20_000)
FEATURES = np.random.default_rng(1).normal(size=(20_000, 3)) + 2 * np.eye(5, 3)[LABELS]


def kinds(labels, features, flips, free, seed=0):
    """What each kind of noise makes of the same labels."""
    generator = np.random.default_rng(seed)
    return {
        "symmetric": noise.symmetric(labels, 5, flips, generator, free),
        "pair": noise.pair(labels, {0: 1, 1: 0, 2: 3, 3: 2, 4: 0}, flips, generator, free),
        "instance": noise.instance_dependent(labels, features, 5, flips, generator, free),
    }


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-1, 4), min_size=20, max_size=80).filter(lambda a: {0, 1, 2, 3, 4} <= set(a)), st.data())
def test_just_as_many_labels_change_as_asked_among_the_free(codes, data):
    labels = np.array(codes)
    free = np.array(data.draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes))))
    flips = data.draw(st.integers(0, int((free & (labels >= 0)).sum())))
    features = np.random.default_rng(0).normal(size=(len(codes), 2))
    before = labels.copy()
    for name, noisy in kinds(labels, features, flips, free).items():
        changed = noisy != labels
        assert changed.sum() == flips, name
        assert not changed[~free | (labels < 0)].any(), name
        assert set(noisy[changed]) <= set(range(5)), name
        assert np.array_equal(noisy, kinds(labels, features, flips, free)[name]), name
    assert np.array_equal(labels, before)


def transition(noisy):
    known = LABELS >= 0
    counts = np.bincount(LABELS[known] * 5 + noisy[known], minlength=25).reshape(5, 5)
    return counts / counts.sum(axis=1, keepdims=True)


def test_symmetric_noise_has_its_transition_matrix():
    labelled = (LABELS >= 0).sum()
    found = transition(noise.symmetric(LABELS, 5, round(0.4 * labelled), np.random.default_rng(0)))
    expected = np.full((5, 5), 0.1) + 0.5 * np.eye(5)
    # four standard errors of a share of about 0.1 or 0.6 among some 3300 rows a class
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 3200)


def test_pair_noise_flows_along_its_pairs_alone():
    found = transition(noise.pair(LABELS, {0: 1, 2: 4}, 2000, np.random.default_rng(0)))
    assert np.array_equal(
        found > 0,
        np.eye(5, dtype=bool) | [[(i == 0 and j == 1) or (i == 2 and j == 4) for j in range(5)] for i in range(5)],
    )
    assert found[0, 1] == pytest.approx(found[2, 4], abs=0.05)


def test_instance_noise_hits_what_looks_like_another_class():
    noisy = noise.instance_dependent(LABELS, FEATURES, 5, 2000, np.random.default_rng(0))
    changed = noisy != LABELS
    standard = (FEATURES - FEATURES.mean(axis=0)) / FEATURES.std(axis=0)
    means = np.stack([standard[k == LABELS].mean(axis=0) for k in range(5)])
    distance = np.linalg.norm(standard[:, None] - means, axis=-1)
    own = distance[np.arange(len(LABELS)), LABELS]
    gap = own - np.where(np.eye(5, dtype=bool)[LABELS], np.inf, distance).min(axis=1)
    assert gap[changed].mean() > gap[~changed & (LABELS >= 0)].mean() + gap[LABELS >= 0].std() / 2
    new = distance[np.arange(len(LABELS)), noisy]
    assert np.allclose(own[changed] - gap[changed], new[changed])
    shuffled = np.random.default_rng(5).permutation(FEATURES)
    assert not np.array_equal(noisy, noise.instance_dependent(LABELS, shuffled, 5, 2000, np.random.default_rng(0)))


def test_open_set_takes_classes_away():
    noisy = noise.open_set(LABELS, [1, 3], 5, np.random.default_rng(0))
    assert np.array_equal(noisy != LABELS, np.isin(LABELS, [1, 3]))
    assert not np.isin(noisy, [1, 3]).any()
    with pytest.raises(ValueError, match="must leave a class"):
        noise.open_set(LABELS, range(5), 5, np.random.default_rng(0))


def test_a_pseudo_class_comes_from_one_class():
    noisy = noise.pseudo_class(LABELS, 2, 5, 12, np.random.default_rng(0))
    assert (noisy == 5).sum() == 12
    assert (LABELS[noisy == 5] == 2).all()
    assert np.array_equal(noisy[noisy != 5], LABELS[noisy != 5])


def test_look_alikes_lie_nearest():
    features = np.array([[0.0], [1.0], [10.0], [11.0], [40.0]])
    assert noise.look_alikes(features, np.arange(5), 6) == {0: 1, 1: 0, 2: 3, 3: 2, 4: 3}


def test_more_than_there_is_cannot_be_changed():
    labels, generator = np.array([0, 1, -1]), np.random.default_rng(0)
    with pytest.raises(ValueError, match="3 rows were to be changed, but 2 labelled rows are left"):
        noise.symmetric(labels, 2, 3, generator)
    with pytest.raises(ValueError, match="2 rows were to be changed, but 1 rows of class 1 are left"):
        noise.pseudo_class(labels, 1, 2, 2, generator)
    with pytest.raises(ValueError, match="1 rows of classes with a flow"):
        noise.pair(labels, {0: 1}, 2, generator)
    with pytest.raises(ValueError, match="must lead to another class"):
        noise.pair(labels, {0: 0}, 1, generator)
    with pytest.raises(ValueError, match="at least two classes"):
        noise.symmetric(np.zeros(3, int), 1, 1, generator)


def test_labels_sent_through_a_matrix_follow_it():
    matrix = 0.6 * np.eye(5) + 0.4 * np.random.default_rng(3).dirichlet(np.ones(5), 5)
    matrix[4] = [0, 1, 0, 0, 0]
    free = LABELS != 3
    noisy = noise.through(LABELS, matrix, np.random.default_rng(0), free)
    expected = np.where(np.arange(5)[:, None] == 3, np.eye(5), matrix)
    assert np.abs(transition(noisy) - expected).max() < 4 * np.sqrt(0.25 / 3200)
    assert (noisy[LABELS < 0] == -1).all()
    assert np.array_equal(noise.through(LABELS, np.eye(5), np.random.default_rng(0)), LABELS)
