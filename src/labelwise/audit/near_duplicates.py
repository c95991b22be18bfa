"""Examples that are almost the same, with differing labels."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from labelwise.audit.findings import Finding
from labelwise.labels import LabelTable
from labelwise.progress import progress

NEIGHBOURS = 10
MOST_ROWS = 100_000
FEWEST_ROWS = 50

_LEVEL = 0.05  # expected number of pairs by chance, among all
_NEVER_BEYOND = 0.25  # of the distance to the tenth neighbour, whatever the dimension
_DIMENSIONS = 512  # beyond these, distances are taken in a random projection
_BLOCK = 16_000_000  # numbers in a block of similarities


class Neighbours(NamedTuple):
    """The k nearest others of each row by angle, nearest first: row numbers and chords of unit vectors, [n, k]."""

    rows: np.ndarray
    distances: np.ndarray


def nearest(
    vectors: np.ndarray, quiet: bool = False, k: int = NEIGHBOURS, title: str = "Looking for near duplicates"
) -> Neighbours:
    """Find the k nearest neighbours by cosine distance, block by block.

    `vectors` [n, d], n > k, none of length 0. Beyond 512 dimensions a random projection to 512 stands in
    for them (distances then hold to some percent). Time grows with n squared; memory beyond the arguments is n x
    min(d, 512) x 4 bytes and about 200 MB.
    """
    units = _units(vectors)
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
            # From differences: one minus a similarity close to one would be rounding error.
            apart = np.linalg.norm((own[:, None] - units[found]).astype(np.float64), axis=2)
            order = np.lexsort((found, apart))
            rows[start : start + len(own)] = np.take_along_axis(found, order, axis=1)
            distances[start : start + len(own)] = np.take_along_axis(apart, order, axis=1)
            advance(len(own))
    return Neighbours(rows, distances)


def projected(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n, d] as float32 of their own, beyond 512 dimensions their random projection to 512 (not scaled)."""
    if vectors.shape[1] <= _DIMENSIONS:
        return vectors.astype(np.float32)
    directions = np.random.default_rng(0).standard_normal((vectors.shape[1], _DIMENSIONS), dtype=np.float32)
    return vectors.astype(np.float32) @ directions


def closeness_bound(distances: np.ndarray) -> float:
    """How close a pair must be to be near duplicates, as a share of the distance to the tenth neighbour.

    Around a row whose neighbours lie evenly in D dimensions, one of them is closer than x times the tenth with
    probability of at most 9 x^D. The bound is the x at which 0.05 such pairs are expected among all rows, and at most
    1/4. D is told from how distances grow from the fifth neighbour to the tenth, so that near duplicates themselves
    do not lower it.
    """
    fifth, tenth = distances[:, 4], distances[:, 9]
    known = fifth > 0
    growth = float(np.median(np.log(tenth[known] / fifth[known]))) if known.any() else 0.0
    if growth <= 0:
        return 0.0  # five equal rows or more around most: nothing can be said of what is close
    dimension = np.log(10 / 5) / growth
    return min(_NEVER_BEYOND, float((_LEVEL / (9 * len(distances))) ** (1 / dimension)))


class Pairs(NamedTuple):
    """Pairs of almost equal rows: row numbers, and how close they are, in [0, 1], 1 = equal; a pair may occur twice."""

    left: np.ndarray
    right: np.ndarray
    score: np.ndarray


NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def near_duplicates(features: np.ndarray, left_out: np.ndarray, twins: np.ndarray, quiet: bool = False) -> Pairs:
    """Find pairs of almost equal rows of `features` [n, ...].

    Rows that are `left_out`, bool [n], or that are all zeros are not compared, and rows of equal number in `twins`
    (>= 0) are identical and so not meant. A pair counts if it is far closer than neighbours usually are, on both sides
    (`closeness_bound`). The score is 1 - distance / distance to the tenth neighbour. For fewer than `FEWEST_ROWS` or
    more than `MOST_ROWS` rows there is none.
    """
    vectors = np.asarray(features).reshape(len(features), -1)
    compared = np.flatnonzero(~left_out & vectors.any(axis=1))
    if not FEWEST_ROWS <= len(compared) <= MOST_ROWS:
        return NO_PAIRS
    found = nearest(vectors[compared], quiet)
    tenth = found.distances[:, -1]
    bound = closeness_bound(found.distances)
    relative = found.distances / np.maximum(np.minimum(tenth[:, None], tenth[found.rows]), 1e-300)
    first, slot = np.nonzero(relative <= bound)
    left, right = compared[first], compared[found.rows[first, slot]]
    other = (twins[left] < 0) | (twins[left] != twins[right])
    return Pairs(left[other], right[other], (1 - relative[first, slot])[other])


def near_duplicate_findings(
    table: LabelTable, found: Pairs, probabilities: Mapping[str, np.ndarray]
) -> Iterator[Finding]:
    """Give findings about pairs of almost equal rows with differing labels, kind `near_duplicate`, one a row and task.

    Of the two labels the one that the models find less likely (`probabilities` by task, [n, classes]) is named, with
    the other as the suggestion; without models both are, with none. The score is that of the pair.
    """
    left, right, score = found
    for task in table.tasks:
        if task.kind != "single":
            continue
        codes = table.labels(task.name)
        differ = (codes[left] >= 0) & (codes[right] >= 0) & (codes[left] != codes[right])
        pairs = {(min(a, b), max(a, b)): s for a, b, s in zip(left[differ], right[differ], score[differ], strict=True)}
        named: set[int] = set()
        for (a, b), closeness in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0])):
            for row, other in _wrong_first(int(a), int(b), codes, probabilities.get(task.name)):
                if row in named:
                    continue
                named.add(row)
                given, likely = task.classes[codes[row]], task.classes[codes[other]]
                suggested = likely if task.name in probabilities else None
                why = f"almost the same as row {other}, which is labelled {likely!r}"
                yield Finding(row, task.name, "near_duplicate", float(closeness), given, suggested, why)


def _wrong_first(a: int, b: int, codes: np.ndarray, probabilities: np.ndarray | None) -> list[tuple[int, int]]:
    """The pair as (wrong, right), from both sides if that cannot be told."""
    if probabilities is None:
        return [(a, b), (b, a)]
    # The rows are almost the same, so both speak for either label.
    both = np.asarray(probabilities[[a, b]], np.float64).mean(axis=0)
    return [(a, b)] if both[codes[a]] < both[codes[b]] else [(b, a)]


def _units(vectors: np.ndarray) -> np.ndarray:
    units = projected(vectors)
    # Scaled by the largest entry first: squares of very large or small features leave the range of float32.
    units /= np.maximum(np.abs(units).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return units
