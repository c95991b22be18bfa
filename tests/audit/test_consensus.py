import numpy as np
import pytest

from labelwise.audit.consensus import consensus, draw, first_drawn, labelled_neighbours


def test_neighbours_among_drawn_rows_are_those_of_a_search_among_them():
    generator = np.random.default_rng(0)
    vectors, labels = generator.standard_normal((60, 4)), generator.integers(3, size=60)
    _, given, near = labelled_neighbours(vectors, labels, 59, 3, True)
    sample = draw(60, generator)
    assert len(sample) == 42
    slots, enough = first_drawn(near.rows, sample, 60, 5)
    assert enough.all()
    _, _, among = labelled_neighbours(vectors[sample], given[sample], 5, 3, True)
    np.testing.assert_array_equal(np.take_along_axis(near.rows[sample], slots, axis=1), sample[among.rows])


def test_consensus_counts_triples():
    labels = np.repeat([0, 1], 20)
    vectors = np.eye(2)[labels] + 0.01 * np.random.default_rng(0).standard_normal((40, 2))
    _, given, near = labelled_neighbours(vectors, labels, 12, 3, True)
    first, second, third = consensus(near.rows, given, 10, np.random.default_rng(0))
    np.testing.assert_allclose([first.sum(), second.sum(), third.sum()], 1)
    np.testing.assert_allclose(np.diag(second), first)
    np.testing.assert_allclose([third[0, 0, 0], third[1, 1, 1]], first)
    assert np.abs(first - 0.5).max() < 0.1


def test_triples_of_too_many_classes_are_refused():
    with pytest.raises(ValueError, match="for up to 500 classes, as memory grows with their third power; got 501"):
        consensus(np.zeros((3, 2), np.int64), np.array([0, 1, 500]), 1, np.random.default_rng(0))
