"""Labels of rows and of their nearest neighbours among rows that are drawn at random."""

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.neighbours import Neighbours, nearest

_SHARE = 0.7  # of the rows, drawn each time
_MOST_CLASSES = 500  # of which triples take 1 GB


def labelled_neighbours(
    embeddings: ArrayLike, labels: ArrayLike, k: int, fewest: int, quiet: bool
) -> tuple[np.ndarray, np.ndarray, Neighbours]:
    """The rows that have a label, their labels, and the k nearest among them (or as many as there are)."""
    vectors, given = np.asarray(embeddings), np.asarray(labels)
    if vectors.ndim != 2 or given.shape != vectors.shape[:1] or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"embeddings must be [n, d] and labels class indices [n]; got {list(vectors.shape)} and {given.dtype} "
            f"{list(given.shape)}"
        )
    if vectors.dtype.kind not in "fiub":
        raise ValueError(f"embeddings must be numbers; got {vectors.dtype}")
    if given.min(initial=0) < -1:
        raise ValueError(f"labels must be class indices, or -1 if missing; got {given.min()} at row {given.argmin()}")
    rows = np.flatnonzero(given >= 0)
    if len(rows) < fewest:
        raise ValueError(f"at least {fewest} rows must have a label; got {len(rows)}")
    vectors, given = vectors[rows], given[rows].astype(np.int64)
    unfit = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if len(unfit):
        raise ValueError(f"embeddings must be finite and not all zeros; row {rows[unfit[0]]} is not")
    return rows, given, nearest(vectors, min(k, len(rows) - 1), "angle", quiet)


def draw(n: int, generator: np.random.Generator) -> np.ndarray:
    """Row numbers of a part of n rows, in order."""
    return np.sort(generator.permutation(n)[: max(1, int(_SHARE * n))])


def consensus(
    near: np.ndarray, given: np.ndarray, rounds: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often labels of a row, of it and its nearest, and of it and its two nearest go together, among drawn rows.

    Shares [classes], [classes, classes], [classes, classes, classes], the mean over `rounds`. Raises `ValueError` for
    more than 500 classes.
    """
    classes, n = int(given.max()) + 1, len(given)
    if classes > _MOST_CLASSES:
        raise ValueError(
            f"triples of labels are counted for up to {_MOST_CLASSES} classes, as memory grows with their third power; "
            f"got {classes}"
        )
    third = np.zeros((classes, classes, classes))
    for _ in range(rounds):
        sample = draw(n, generator)
        slots, enough = first_drawn(near, sample, n, 2)
        row, pair = given[sample[enough]], given[np.take_along_axis(near[sample], slots, axis=1)[enough]]
        key = (row * classes + pair[:, 0]) * classes + pair[:, 1]
        third += np.bincount(key, minlength=classes**3).reshape(third.shape) / max(len(key), 1)
    third /= rounds
    return third.sum(axis=(1, 2)), third.sum(axis=2), third


def first_drawn(near: np.ndarray, sample: np.ndarray, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which k of its neighbours are the nearest that are drawn too, for each drawn row, and whether there are as many.

    `near` [n, neighbours], nearest first. Gives columns of `near[sample]`, [sample, k] (of fewer drawn ones, then those
    that are not drawn; of fewer than k neighbours all), and bool [sample].
    """
    drawn = np.zeros(n, bool)
    drawn[sample] = True
    there = drawn[near[sample]]
    return np.argsort(~there, axis=1, kind="stable")[:, :k], there.sum(axis=1) >= k
