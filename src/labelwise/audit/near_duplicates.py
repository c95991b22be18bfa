"""Examples that are almost the same, with differing labels."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from labelwise.audit.findings import Finding
from labelwise.audit.neighbours import nearest
from labelwise.labels import LabelTable

MOST_ROWS = 1_000_000
FEWEST_ROWS = 50

_LEVEL = 0.05  # expected number of pairs by chance, among all
_NEVER_BEYOND = 0.25  # of the distance to the tenth neighbour, whatever the dimension


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
    found = nearest(vectors[compared], metric="angle", quiet=quiet, title="Looking for near duplicates")
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
