"""For many pairs of classes at once: the rows of the one that look most like the other."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from labelwise.audit.blocks import Rows, in_threads, over
from labelwise.audit.confident import Columns
from labelwise.audit.engines import spread

_NUMBERS = 2**20  # that are held at a time, or four columns of length n if these are more


def best_of_pairs(columns: Columns, probs: np.ndarray, wanted: csr_array) -> np.ndarray:
    """Mark, for each pair (given, other), the rows of given class with the largest p[other] - p[given], bool [n].

    `wanted` [given, other] says how many of each pair; it has no explicit zeros, and none on its diagonal. A row may be
    among the best of several pairs. Of equal margins the first row counts.

    Where the given label is the most probable no margin is positive. So the other rows are searched first, and all
    rows only for those pairs that then lack rows of positive margin.
    """
    flagged = np.zeros(len(columns.given), bool)
    suspects = (columns.best != columns.given) & (columns.given >= 0)
    unsettled = _mark(columns, probs, wanted, np.flatnonzero(suspects), flagged, above=0)
    if unsettled.nnz:
        rows = np.flatnonzero((columns.given >= 0) & (np.diff(unsettled.indptr) > 0)[columns.given])
        _mark(columns, probs, unsettled, rows, flagged, above=-np.inf)
    return flagged


class _Span(NamedTuple):
    """Classes in a row: `wanted` of them, and their rows, class after class, of which `ends` [classes] says the end.

    `own` and `best` are of these rows.
    """

    wanted: csr_array
    rows: np.ndarray
    ends: np.ndarray
    own: np.ndarray
    best: np.ndarray


def _mark(
    columns: Columns, probs: np.ndarray, wanted: csr_array, rows: np.ndarray, flagged: np.ndarray, above: float
) -> csr_array:
    """Flag the best of the pairs among these rows; give the pairs that have fewer than wanted above that margin."""
    unsettled = [np.zeros(0, wanted.dtype)]
    for found, left in spread(_search, (probs, above), _spans(columns, rows, wanted)):
        flagged[found] = True
        unsettled.append(left)
    pairs = csr_array((np.concatenate(unsettled), wanted.indices, wanted.indptr), wanted.shape, copy=True)
    pairs.eliminate_zeros()
    return pairs


def _search(probs: np.ndarray, above: float, span: _Span) -> tuple[np.ndarray, np.ndarray]:
    """The rows to flag, and how many are wanted of each pair that has too few of them above that margin, else 0."""
    values = _gather(probs, span.rows)
    wanted, unsettled = span.wanted, span.wanted.data.copy()

    def search(k: int) -> np.ndarray:
        members, pairs = slice(span.ends[k - 1] if k else 0, span.ends[k]), slice(*wanted.indptr[k : k + 2])
        others, number = wanted.indices[pairs], np.zeros(wanted.shape[1], np.int64)
        number[others] = np.minimum(wanted.data[pairs], members.stop - members.start + 1)
        margins = values[members] - span.own[members][:, None]
        bounds = _bounds(margins, span.best[members], number)
        if above > -np.inf:
            unsettled[pairs][bounds[others] > above] = 0
            bounds[bounds <= above] = np.inf
        else:
            unsettled[pairs] = 0
        row, other = np.divmod(np.flatnonzero(margins >= bounds), len(bounds))
        order, rank = _ranked(other, margins[row, other])
        found: np.ndarray = span.rows[members][row[order[rank < number[other[order]]]]]
        return found

    present = np.flatnonzero(np.diff(span.ends, prepend=0)).tolist()
    found = (in_threads if values.size > _NUMBERS else map)(search, present)
    return np.concatenate([span.rows[:0], *found]), unsettled


def _bounds(margins: np.ndarray, best: np.ndarray, number: np.ndarray) -> np.ndarray:
    """A margin of each class that at least `number` rows reach: inf where that is 0, -inf if there are fewer rows.

    Most come from the rows of which the class is the most probable, as these are few; of the rest all margins are
    sorted.
    """
    bounds = np.where(number > 0, -np.inf, np.inf).astype(margins.dtype)
    rows = np.flatnonzero(number[best])
    other = best[rows]
    order, rank = _ranked(other, margins[rows, other])
    last = order[rank == number[other[order]] - 1]
    bounds[other[last]] = margins[rows[last], other[last]]
    rest = np.flatnonzero((bounds == -np.inf) & (number <= len(margins)))
    if len(rest):
        bounds[rest] = np.sort(margins[:, rest], axis=0)[len(margins) - number[rest], np.arange(len(rest))]
    return bounds


def _ranked(group: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order by group and falling value, of equal values as they come, and the rank of each within its group."""
    order = np.argsort(-values, kind="stable")
    small = group.astype(np.min_scalar_type(group.max(initial=0)))  # up to 16 bits are sorted by radix
    order = order[np.argsort(small[order], kind="stable")]
    times = np.bincount(group)
    return order, np.arange(len(group)) - np.repeat(np.cumsum(times) - times, times)


def _spans(columns: Columns, rows: np.ndarray, wanted: csr_array) -> Iterator[_Span]:
    """All classes in spans, with those of the rows of which a pair is wanted.

    The rows of a span are read in one sweep, in their order, so that an array on disk is not read once a class.
    """
    rows = rows[(np.diff(wanted.indptr) > 0)[columns.given[rows]]]
    labels = columns.given[rows].astype(np.min_scalar_type(wanted.shape[0]))  # sorted faster if small
    rows = rows[np.argsort(labels, kind="stable")]
    ends = np.cumsum(np.bincount(labels, minlength=wanted.shape[0]))
    most = max(_NUMBERS, 4 * len(columns.given)) // wanted.shape[1]
    k = 0
    while k < len(ends):
        start = ends[k - 1] if k else 0
        after = max(k + 1, int(np.searchsorted(ends, start + most, side="right")))
        part = rows[start : ends[after - 1]]
        yield _Span(wanted[k:after], part, ends[k:after] - start, columns.own[part], columns.best[part])
        k = after


def _gather(probs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`probs[rows]`, read in the order of rows."""
    order = np.argsort(rows, kind="stable")  # fast, as rows ascend within each class
    ascending = rows[order]
    gathered = np.empty((len(rows), probs.shape[1]), np.result_type(probs.dtype, np.float32))
    start = 0
    for _, values in over(probs, ascending, _values):
        gathered[order[start : start + len(values)]] = values
        start += len(values)
    return gathered


def _values(rows: Rows, values: np.ndarray) -> np.ndarray:
    return values
