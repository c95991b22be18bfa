import numpy as np
import pytest

from labelwise.audit import neighbours
from labelwise.audit.neighbours import NEIGHBOURS, nearest


def by_hand(vectors, metric, k=NEIGHBOURS):
    """Distances and rows of the nearest others, from all pairs."""
    points = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if metric == "angle" else vectors
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.sort(apart, axis=1)[:, :k], np.argsort(apart, axis=1)[:, :k]


def recall(found, vectors, asked):
    """Share of neighbours of the rows asked for that are no farther than the true k-th."""
    apart = np.stack([np.linalg.norm((vectors - vectors[row]).astype(np.float64), axis=1) for row in asked])
    apart[np.arange(len(asked)), asked] = np.inf
    k = found.rows.shape[1]
    last = np.sort(apart, axis=1)[:, k - 1]
    return (np.take_along_axis(apart, found.rows[asked], axis=1) <= last[:, None] * (1 + 1e-6) + 1e-9).mean()


@pytest.fixture
def approximate(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_EXACT", 0)


@pytest.mark.parametrize("metric", ["euclidean", "angle"])
@pytest.mark.parametrize("width", [3, 40, 600])
def test_neighbours_are_those_of_an_exhaustive_search(width, metric):
    vectors = np.random.default_rng(0).standard_normal((70, width)) * 1e3
    found = nearest(vectors, metric=metric, quiet=True)
    distances, rows = by_hand(vectors, metric)
    if width <= 512:
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_allclose(found.distances, distances, rtol=1e-4)
    elif metric == "angle":
        apart = by_hand(vectors, metric, k=70)
        true = np.take_along_axis(
            np.take_along_axis(apart[0], np.argsort(apart[1], axis=1), axis=1), found.rows, axis=1
        )
        np.testing.assert_allclose(found.distances, true, rtol=0.15)


@pytest.mark.usefixtures("approximate")
@pytest.mark.parametrize("metric", ["euclidean", "angle"])
@pytest.mark.parametrize("k", [3, 40])
def test_the_graph_gives_the_same_on_few_rows(metric, k):
    vectors = np.random.default_rng(1).standard_normal((300, 12))
    found = nearest(vectors, k, metric, quiet=True)
    distances, rows = by_hand(vectors, metric, k)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-4)


@pytest.mark.usefixtures("approximate")
def test_no_row_is_its_own_neighbour_even_among_equal_ones():
    vectors = np.repeat(np.random.default_rng(0).standard_normal((10, 5)), 40, axis=0)
    found = nearest(vectors, quiet=True)
    assert (found.rows != np.arange(400)[:, None]).all()
    assert (found.rows // 40 == np.arange(400)[:, None] // 40).all()
    np.testing.assert_array_equal(found.distances, 0)


@pytest.mark.usefixtures("approximate")
def test_clusters_in_order_are_reached_and_equal_vectors_give_equal_results():
    generator = np.random.default_rng(0)
    vectors = np.repeat(generator.standard_normal((40, 16)), 100, axis=0)
    vectors = (vectors + 0.01 * generator.standard_normal(vectors.shape)).astype(np.float32)
    found, again = nearest(vectors, quiet=True), nearest(vectors, quiet=True)
    assert recall(found, vectors, generator.choice(len(vectors), 200, replace=False)) > 0.99
    np.testing.assert_array_equal(found.rows, again.rows)
    np.testing.assert_array_equal(found.distances, again.distances)


@pytest.mark.usefixtures("approximate")
def test_a_row_far_from_all_is_found_exactly():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((5000, 64)).astype(np.float32)
    vectors[:600] = 0  # so many equal rows lead a search astray
    vectors[777] *= 5
    found = nearest(vectors, quiet=True)
    far = np.argsort(found.distances[:, -1])[-50:]
    assert far[-1] == 777
    assert recall(found, vectors, far) == 1


def test_beyond_the_limit_nearly_all_neighbours_are_found(monkeypatch):
    generator = np.random.default_rng(0)
    n = 5_001
    centres = 1.5 * generator.standard_normal((25, 12))
    vectors = centres[generator.integers(25, size=n)] + generator.standard_normal((n, 12))
    vectors = (vectors @ generator.standard_normal((12, 32))).astype(np.float32)
    asked = generator.choice(n, 100, replace=False)
    exact = nearest(vectors, quiet=True)
    monkeypatch.setattr(neighbours, "MOST_EXACT", n - 1)
    found = nearest(vectors, quiet=True)
    assert recall(exact, vectors, asked) == 1
    assert recall(found, vectors, asked) > 0.98
    assert (found.rows == exact.rows).mean() > 0.98
