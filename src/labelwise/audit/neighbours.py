"""The nearest others of each row: exact up to a number of rows, approximate beyond."""

from typing import Literal, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from labelwise.progress import progress

NEIGHBOURS = 10
MOST_EXACT = 100_000  # rows, beyond which the search is approximate
APPROXIMATE = f"an approximate search, as there are more than {MOST_EXACT:,} rows: it finds nearly all neighbours"

_DIMENSIONS = 512  # beyond these, distances are taken in a random projection
_BLOCK = 16_000_000  # numbers in a block of similarities
_ROWS = 10_000  # rows that are put into the index, or looked for, at a time
_EXPANSION = 128  # candidates that a search in the graph keeps, at least
_AGAIN = 0.01  # of the rows, those with the farthest neighbours, are searched for again


class Neighbours(NamedTuple):
    """The k nearest others of each row, nearest first: row numbers and distances, [n, k]."""

    rows: np.ndarray
    distances: np.ndarray


def nearest(
    vectors: np.ndarray,
    k: int = NEIGHBOURS,
    metric: Literal["euclidean", "angle"] = "euclidean",
    quiet: bool = False,
    title: str = "Looking for neighbours",
) -> Neighbours:
    """Find the k nearest others of each row of `vectors` [n, d], n > k.

    `angle` compares directions: distances are chords of unit vectors, and none may be of length 0. Beyond 512
    dimensions a random projection to 512 stands in for the vectors (distances then hold to some percent).

    Up to `MOST_EXACT` rows the search is exact: time grows with n squared; memory beyond the arguments is n x
    min(d, 512) x 4 bytes and about 200 MB. Beyond, it walks a graph of near rows (HNSW) and finds nearly all of them:
    time grows with n log n, and memory by n x (min(d, 512) x 8 + 300) bytes. A search that
    went astray shows by neighbours that are far: for the hundredth of the rows with the farthest ones it is repeated,
    exactly. Rows enter the graph one by one on one thread, in an order drawn from a fixed seed, so that equal vectors
    give equal results.

    Source: Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
    Small World graphs" (2018), through usearch.
    """
    points = _units(vectors) if metric == "angle" else projected(vectors)
    if len(points) > MOST_EXACT:
        return _approximate(points, k, quiet, title)
    if metric == "angle":
        return _exact_chords(points, k, quiet, title)
    distances, rows = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()  # without the row itself
    return Neighbours(rows, distances)


def projected(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n, d] as float32 of their own, beyond 512 dimensions their random projection to 512 (not scaled)."""
    if vectors.shape[1] <= _DIMENSIONS:
        return vectors.astype(np.float32)
    directions = np.random.default_rng(0).standard_normal((vectors.shape[1], _DIMENSIONS), dtype=np.float32)
    return vectors.astype(np.float32, copy=False) @ directions


def _exact_chords(units: np.ndarray, k: int, quiet: bool, title: str) -> Neighbours:
    n = len(units)
    block = max(1, min(_BLOCK // n, _BLOCK // (k * units.shape[1])))
    rows = np.empty((n, k), np.int64)
    distances = np.empty((n, k), np.float64)
    with progress(title, n, quiet) as advance:
        for start in range(0, n, block):
            own = units[start : start + block]
            similar = own @ units.T
            similar[np.arange(len(own)), np.arange(start, start + len(own))] = -np.inf
            found = np.argpartition(similar, n - k, axis=1)[:, n - k :]
            at = slice(start, start + len(own))
            rows[at], distances[at] = _sorted(units, own, found)
            advance(len(own))
    return Neighbours(rows, distances)


def _approximate(points: np.ndarray, k: int, quiet: bool, title: str) -> Neighbours:
    from usearch.index import Index

    n = len(points)
    block = max(2, min(_ROWS, _BLOCK // (k * points.shape[1])))
    wide = max(_EXPANSION, 4 * k)
    index = Index(ndim=points.shape[1], metric="l2sq", dtype="f32", expansion_add=wide, expansion_search=wide)
    rows = np.empty((n, k), np.int64)
    distances = np.empty((n, k), np.float64)
    # Shuffled: of rows in the order of their clusters, whole clusters would not be reached from others.
    order = np.random.default_rng(0).permutation(n)
    with progress(title, 2 * n, quiet) as advance:
        for entering in _parts(order, block):
            index.add(entering, points[entering], threads=1)  # the order of several would be one of chance
            advance(len(entering))
        for own in _parts(np.arange(n), block):
            found = index.search(points[own], k + 1)
            rows[own], distances[own] = _sorted(points, points[own], _others(found.keys.astype(np.int64), own))
            distances[own[found.counts <= k]] = np.inf
            advance(len(own))
    last = distances[:, -1]
    astray = np.argsort(last, kind="stable")[-max(int(np.ceil(_AGAIN * n)), np.isinf(last).sum()) :]
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(points)
    for own in _parts(astray, block):
        found = search.kneighbors(points[own], return_distance=False)
        rows[own], distances[own] = _sorted(points, points[own], _others(found, own))
    return Neighbours(rows, distances)


def _parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows in parts of about equal size, at most `size`."""
    return np.array_split(rows, -(-len(rows) // size))


def _others(found: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Rows found [n, k + 1] without the row itself, or, where more equal ones hid it, without the last, [n, k]."""
    itself = found == own[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(found), -1)


def _sorted(points: np.ndarray, own: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Found rows [n, k] by their distance to `own` [n, d], and these distances."""
    # From differences: one minus a similarity close to one would be rounding error.
    apart = np.linalg.norm((own[:, None] - points[found]).astype(np.float64), axis=2)
    order = np.lexsort((found, apart))
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(apart, order, axis=1)


def _units(vectors: np.ndarray) -> np.ndarray:
    units = projected(vectors)
    # Scaled by the largest entry first: squares of very large or small features leave the range of float32.
    units /= np.maximum(np.abs(units).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return units
