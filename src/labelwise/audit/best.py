"""For many pairs of classes at once: the rows of the one that look most like the other."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from labelwise.audit.blocks import Rows, in_threads, over
from labelwise.audit.confident import Columns
from labelwise.audit.engines import spread

_NUMBERS = 2**20  # that are held at a time, or four columns of length n if these are more
_PART = 2**18  # numbers that are searched at a time, so that they fit a processor's cache


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
    sizes = np.diff(span.ends, prepend=0)

    def search(classes: slice) -> np.ndarray:
        first, last = classes.start, classes.stop
        members = slice(span.ends[first] - sizes[first], span.ends[last - 1])
        pairs = slice(*wanted.indptr[[first, last]])
        given = np.repeat(np.arange(last - first), np.diff(wanted.indptr[first : last + 1]))
        other = wanted.indices[pairs]
        number = np.zeros((last - first, wanted.shape[1]), np.int64)
        number[given, other] = np.minimum(wanted.data[pairs], sizes[classes][given] + 1)
        margins = values[members] - span.own[members][:, None]
        label = np.repeat(np.arange(last - first), sizes[classes])
        bounds = _bounds(margins, label, span.best[members], number)
        if above > -np.inf:
            unsettled[pairs][bounds[given, other] > above] = 0
            bounds[bounds <= above] = np.inf
        else:
            unsettled[pairs] = 0
        row, other = np.divmod(np.flatnonzero(margins >= bounds[label]), wanted.shape[1])
        pair = label[row] * wanted.shape[1] + other
        fit = np.ones(len(row), bool)  # but for pairs of which more rows than wanted reach the bound
        crowded = np.flatnonzero((np.bincount(pair, minlength=number.size) > number.ravel())[pair])
        order, rank = _ranked(pair[crowded], margins[row[crowded], other[crowded]])
        fit[crowded[order[rank >= number.ravel()[pair[crowded[order]]]]]] = False
        found: np.ndarray = span.rows[members][row[fit]]
        return found

    parts = _slices(span.ends + np.arange(1, len(span.ends) + 1), _PART // wanted.shape[1])
    found = (in_threads if values.size > _NUMBERS else map)(search, parts)
    return np.concatenate([span.rows[:0], *found]), unsettled


def _bounds(margins: np.ndarray, label: np.ndarray, best: np.ndarray, number: np.ndarray) -> np.ndarray:
    """A margin of each pair [label, other] that at least `number` rows reach: inf where that is 0, -inf if fewer do.

    Rows lie in the order of their `label`. Most bounds come from the rows of which the other class is the most
    probable, as these are few; of the rest all margins are sorted.
    """
    bounds = np.where(number > 0, -np.inf, np.inf).astype(margins.dtype)
    rows = np.flatnonzero(number[label, best])
    pair = label[rows] * number.shape[1] + best[rows]
    order, rank = _ranked(pair, margins[rows, best[rows]])
    last = order[rank == number.ravel()[pair[order]] - 1]
    bounds.ravel()[pair[last]] = margins[rows[last], best[rows[last]]]
    ends = np.cumsum(np.bincount(label, minlength=len(number)))
    rest = (bounds == -np.inf) & (number <= np.diff(ends, prepend=0)[:, None])
    for k in np.flatnonzero(rest.any(axis=1)):
        others = np.flatnonzero(rest[k])
        ascending = np.sort(margins[ends[k - 1] if k else 0 : ends[k]].take(others, axis=1), axis=0)
        bounds[k, others] = ascending[len(ascending) - number[k, others], np.arange(len(others))]
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
    for classes in _slices(ends, most):
        start = ends[classes.start - 1] if classes.start else 0
        part = rows[start : ends[classes.stop - 1]]
        yield _Span(wanted[classes], part, ends[classes] - start, columns.own[part], columns.best[part])


def _slices(ends: np.ndarray, most: int) -> Iterator[slice]:
    """All classes, cut so that each slice holds at most so many rows, or a single class; `ends` are those of rows."""
    first = 0
    while first < len(ends):
        start = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, start + most, side="right")))
        yield slice(first, last)
        first = last


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
