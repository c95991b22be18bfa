"""Reading an array of probabilities once, in blocks that fit a processor's cache, checked on the way."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import joblib
import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.engines import is_far, spread

Rows = slice | np.ndarray
Item = TypeVar("Item")
Result = TypeVar("Result")

_NUMBERS = 2**18  # in a block
_FAR = 2**25  # in a part that goes to another machine
_ALONE = 8  # blocks, for which threads would take longer to start than to help
_OFF = 1e-3  # how far from 1 a row of probabilities may sum: what float16 makes of 10,000 classes


def label_and_probability_arrays(labels: ArrayLike, probs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check shapes, types and labels; give labels as int64 [n], -1 = missing, and probabilities, which are not read.

    Raises `ValueError`, naming the row, for a label outside [-1, classes), and if no row has a label.
    """
    given, probabilities = np.asarray(labels), np.asarray(probs)
    if probabilities.ndim != 2 or given.shape != probabilities.shape[:1]:
        raise ValueError(
            f"labels must be [n] and probs [n, classes]; got shapes {list(given.shape)} and {list(probabilities.shape)}"
        )
    if not np.issubdtype(given.dtype, np.integer) or not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"labels must be integers and probs floats; got {given.dtype} and {probabilities.dtype}")
    classes = probabilities.shape[1]
    if classes < 2:
        raise ValueError(f"probs must have a column for each of at least 2 classes; got {classes}")
    bad = given >= classes
    if given.dtype.kind == "i":
        bad |= given < -1
    if bad.any():
        row = bad.argmax()
        raise ValueError(f"labels must be integers in [0, {classes}), or -1 if missing; got {given[row]} at row {row}")
    given = given.astype(np.int64, copy=False)
    if given.max(initial=-1) < 0:
        raise ValueError("labels must hold at least one label; all are missing (-1)")
    return given, probabilities


def labelled_rows(given: np.ndarray) -> Rows:
    """All rows that have a label: a slice of everything if none is missing."""
    return slice(None) if given.min() >= 0 else np.flatnonzero(given >= 0)


def over(
    probs: np.ndarray, rows: Rows, function: Callable[..., Result], *along: np.ndarray
) -> Iterator[tuple[Rows, Result]]:
    """Give (rows, `function(rows, probs[rows], *columns)`) for one block of the rows after the other, in order.

    `rows` is a slice of everything or an array of row numbers; the columns are these rows of the arrays `along`, each
    [n]. float16 comes as float32. Blocks are worked on in as many threads as there are processors, at most a few blocks
    ahead of what has been taken, or on a cluster (`engines.spread`): so the function may write nowhere.
    """
    step = _rows(_FAR if is_far() else _NUMBERS, probs)
    parts = (
        (part, tuple(each[part] for each in along))
        for part in _cut(slice(0, len(probs)) if isinstance(rows, slice) else rows, step)
    )
    for results in spread(_work, (function, probs), parts, here=_near):
        yield from results


def _work(
    function: Callable[..., Result], probs: np.ndarray, part: tuple[Rows, tuple[np.ndarray, ...]]
) -> list[tuple[Rows, Result]]:
    rows, along = part
    work_type = np.result_type(probs.dtype, np.float32)
    results, start = [], 0
    for block in _cut(rows, _rows(_NUMBERS, probs)):
        values = probs[block] if isinstance(block, slice) else probs.take(block, axis=0)  # faster than an index
        values = values.astype(work_type, order="C", copy=False)
        columns = [each[start : start + len(values)] for each in along]
        results.append((block, function(block, values, *columns)))
        start += len(values)
    return results


def _rows(numbers: int, probs: np.ndarray) -> int:
    """How many rows hold so many numbers."""
    return max(1, numbers // probs.shape[1])


def _cut(rows: Rows, step: int) -> Iterator[Rows]:
    if isinstance(rows, slice):
        return (slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _near(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """In threads, or without if there are few items."""
    items = iter(items)
    first = list(islice(items, _ALONE + 1))
    return map(function, first) if len(first) <= _ALONE else in_threads(function, chain(first, items))


def best_classes(probs: np.ndarray) -> np.ndarray:
    """The most probable class of each row, the lowest of several, int64 [n]."""
    best = np.empty(len(probs), np.int64)
    for rows, found in over(probs, slice(None), _best):
        best[rows] = found
    return best


def _best(rows: Rows, values: np.ndarray) -> np.ndarray:
    return values.argmax(axis=1)


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Give `function(item)` of all items, in order, from as many threads as there are processors.

    No more than a few items are taken ahead.
    """
    workers, items = joblib.cpu_count(), iter(items)
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(function, item) for item in islice(items, 3 * workers))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result


def check(rows: Rows, values: np.ndarray) -> None:
    """Raise `ValueError`, naming row, column and value, where `values`, of these rows, are no probabilities."""
    sums = np.einsum("ij->i", values)  # three times as fast as `sum`
    if values.min() >= 0 and abs(sums - 1).max() <= _OFF:  # false for nan too
        return
    unfit = ~(values >= 0) | np.isinf(values)
    row = int((unfit.any(axis=1) | ~(abs(sums - 1) <= _OFF)).argmax())
    number = rows.start + row if isinstance(rows, slice) else rows[row]
    if unfit[row].any():
        column = int(unfit[row].argmax())
        raise ValueError(
            f"probs must be finite numbers of at least 0; got {values[row, column]:g} at row {number}, column {column}"
        )
    raise ValueError(
        f"every row of probs must sum to 1; row {number} sums to {sums[row]:.6g}, its largest value is "
        f"{values[row].max():.6g} in column {values[row].argmax()} (divide each row by its sum, or take a softmax of "
        "logits)"
    )
