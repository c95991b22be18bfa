"""Reading an array of probabilities once, in blocks that fit a processor's cache, checked on the way."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import joblib
import numpy as np
from numpy.typing import ArrayLike

Rows = slice | np.ndarray
Item = TypeVar("Item")
Result = TypeVar("Result")

_NUMBERS = 2**18  # in a block
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


def over(probs: np.ndarray, rows: Rows, function: Callable[[Rows, np.ndarray], Result]) -> Iterator[Result]:
    """Call `function(rows, probs[rows])` on one block of the rows after the other; give what it returns, in order.

    `rows` is a slice of everything or an array of row numbers. float16 comes as float32. Blocks are worked on in as
    many threads as there are processors, at most a few blocks ahead of what has been taken.
    """
    size = len(probs) if isinstance(rows, slice) else len(rows)
    step = max(1, _NUMBERS // probs.shape[1])
    work_type = np.result_type(probs.dtype, np.float32)

    def work(start: int) -> Result:
        block = slice(start, min(start + step, size))
        part = block if isinstance(rows, slice) else rows[block]
        return function(part, probs[part].astype(work_type, order="C", copy=False))

    starts = range(0, size, step)
    return map(work, starts) if len(starts) <= _ALONE else in_threads(work, starts)


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
