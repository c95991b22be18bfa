"""Probabilities and features that the user brings: read, checked, and put in order."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import linear_sum_assignment

from labelwise.audit import arrays
from labelwise.audit.blocks import best_classes
from labelwise.labels import LabelTable, Task

_CLOSE = 1e-3  # rows that sum to one within this are rescaled
_EXACT = 1e-5  # float32 gets no closer
_MANY = 200  # rows; fewer can be predicted perfectly by luck
_ROWS_OF_CLASS = 20  # on average; with fewer, chance makes a fitting order
_MOST_RENAMED = 1000  # classes; matching takes time that grows with their third power


def given_probabilities(table: LabelTable, given: Any) -> dict[str, np.ndarray]:
    """Out-of-sample probabilities that the user brings, by task, each floats [models, n, classes].

    `given` is a path or an array, if the table has one task of kind `single`, else a dictionary of them by task. Arrays
    are [n, classes] or [models, n, classes], their columns in the order of `Task.classes`; paths end in .npy, or in
    .parquet with one column a class (taken by name if the names are the class names, else in their order). A .npy file
    stays on disk, and no array is copied. Where rows sum to 1 only within 1e-3, a warning says that they are to be
    rescaled (`rescaled`).

    Raises `ValueError` (naming file, row, value) for another number of rows or classes, for negative or missing
    numbers, and for rows that do not sum to 1.
    """
    singles = [task.name for task in table.tasks if task.kind == "single"]
    if not isinstance(given, Mapping):
        if len(singles) != 1:
            raise ValueError(
                f"{table.source} has the tasks {', '.join(singles) or '(none)'}; probabilities are of one of them: "
                "name it as the only label, or in Python give a dictionary of probabilities by task"
            )
        given = {singles[0]: given}
    return {name: _checked(table, table.task(name), value) for name, value in given.items()}


def given_features(table: LabelTable, given: Any) -> np.ndarray:
    """Features that the user brings, a path to a .npy file or an array, as float32 [n, ...].

    Raises `ValueError` for another number of rows, and for numbers that are not finite (naming the row).
    """
    array, name = _load(given, None, "embeddings")
    if array.ndim < 2 or len(array) != len(table):
        raise ValueError(
            f"{name} must be [n, d] with n = {len(table)} rows, as {table.source} has; got {_shape(array)}"
        )
    array = array.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} must be finite; row {bad[0]} holds nan or infinity{_more(bad)}; mend or leave out these rows"
        )
    return array


def warn_if_in_sample(task: str, labels: np.ndarray, probabilities: np.ndarray) -> str | None:
    """Warn where probabilities [n, classes] look as if the model had seen the labels; gives the warning, or None."""
    rows = np.flatnonzero(labels >= 0)
    if len(rows) < _MANY:
        return None
    right = (best_classes(probabilities)[rows] == labels[rows]).mean()
    confidence = probabilities[rows, labels[rows]].mean()
    if right < 0.999 or confidence <= 0.99:
        return None
    message = (
        f"the probabilities of {task!r} agree with {right:.2%} of the labels at a mean confidence of {confidence:.3f}: "
        "they look in-sample (from a model that was trained on these rows), which hides label errors; give "
        "cross-validated ones"
    )
    warnings.warn(message, UserWarning, stacklevel=3)
    return message


def warn_if_in_another_order(task: Task, labels: np.ndarray, probabilities: np.ndarray) -> str | None:
    """Warn where the columns of probabilities [n, classes] seem to be in another order than the classes of the task.

    They do if, with the classes renamed one by one as suits best, the best classes agree with twice as many labels, and
    with a quarter of all labels more. Gives the warning, or None, as where rows are few for so many classes.
    """
    classes, rows = len(task.classes), np.flatnonzero(labels >= 0)
    if classes > _MOST_RENAMED or len(rows) < max(_MANY, _ROWS_OF_CLASS * classes):
        return None
    pairs = np.bincount(labels[rows] * classes + best_classes(probabilities)[rows], minlength=classes**2)
    counts = pairs.reshape(classes, classes)
    right, renamed = counts.trace(), counts[linear_sum_assignment(counts, maximize=True)].sum()
    if renamed < max(2 * right, right + len(rows) / 4):
        return None
    message = (
        f"the probabilities of {task.name!r} agree with {right / len(rows):.0%} of the labels, and with "
        f"{renamed / len(rows):.0%} if their columns are put in another order: give them in that of the classes ("
        f"{', '.join(task.classes[:10])}{', ...' if classes > 10 else ''})"
    )
    warnings.warn(message, UserWarning, stacklevel=3)
    return message


def _checked(table: LabelTable, task: Task, value: Any) -> np.ndarray:
    if task.kind != "single":
        raise ValueError(f"probabilities are for tasks of kind 'single'; {task.name!r} is of kind {task.kind!r}")
    array, name = _load(value, task.classes, "probabilities")
    if array.ndim == 2:
        array = array[None]
    expected = (len(table), len(task.classes))
    if array.ndim != 3 or array.shape[1] != expected[0]:
        raise ValueError(
            f"{name} must have a row for each of the {expected[0]} rows of {table.source}; got {_shape(array[0])}"
            if array.ndim == 3
            else f"{name} must be [n, classes] or [models, n, classes]; got {_shape(array)}"
        )
    if array.shape[2] != expected[1]:
        raise ValueError(
            f"{name} must have a column for each of the {expected[1]} classes of {task.name!r} "
            f"({', '.join(task.classes[:10])}{', ...' if expected[1] > 10 else ''}); got {array.shape[2]} columns"
        )
    unfit, far, off = (np.zeros(array.shape[:2], bool) for _ in range(3))
    most = 0.0
    for rows in arrays.row_blocks(array.shape):
        part = array[:, rows]
        sums = part.sum(axis=2, dtype=np.float64)
        unfit[:, rows] = ~np.isfinite(sums) | (part.min(axis=2) < 0)
        far[:, rows], off[:, rows] = np.abs(sums - 1) > _CLOSE, np.abs(sums - 1) > _EXACT
        most = max(most, np.abs(sums - 1).max())
    _refuse(unfit, array, name, "numbers of at least 0")
    _refuse(far, array, name, "numbers that sum to 1 (a softmax makes such of logits)")
    if off.any():
        warnings.warn(
            f"{int(off.any(axis=0).sum())} rows of {name} do not quite sum to 1 (off by at most {most:.1g}) and were "
            "rescaled",
            UserWarning,
            stacklevel=4,
        )
    return array


def rescaled(probabilities: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive slabs of probabilities [models, n, classes] in which rows sum to 1 within 1e-5, the others as is."""
    for each in probabilities:
        for rows in arrays.row_blocks(each.shape):
            sums = each[rows].sum(axis=1, dtype=np.float64)
            off = np.abs(sums - 1) > _EXACT
            yield each[rows] / np.where(off, sums, 1)[:, None] if off.any() else each[rows]


def _refuse(bad: np.ndarray, array: np.ndarray, name: str, expected: str) -> None:
    rows = np.argwhere(bad.any(axis=0))[:, 0]
    if len(rows):
        row = rows[0]
        held = array[bad[:, row].argmax(), row]
        shown = ", ".join(f"{value:.4g}" for value in held[:8]) + (", ..." if len(held) > 8 else "")
        raise ValueError(
            f"every row of {name} must hold {expected}; row {row} holds [{shown}], sum {held.sum():.6g}{_more(rows)}"
        )


def _load(given: Any, classes: tuple[str, ...] | None, what: str) -> tuple[np.ndarray, str]:
    """The array, and what to call it in messages."""
    if not isinstance(given, (str, Path)):
        array, name = np.asarray(given), what
    else:
        path, name = Path(given), str(given)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        if path.suffix == ".npy":
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise ValueError(f"{path} is not a whole .npy file of numbers ({error})") from None
        elif path.suffix == ".parquet" and classes is not None:
            array = _from_parquet(path, classes)
        else:
            raise ValueError(f"{path} should end in .npy{' or .parquet' if classes is not None else ''}")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold numbers; got values of type {array.dtype}")
    return array, name


def _from_parquet(path: Path, classes: tuple[str, ...]) -> np.ndarray:
    try:
        data = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file ({error})") from None
    names = list(classes) if set(classes) <= set(data.column_names) else data.column_names
    for name in names:
        if not (
            pa.types.is_floating(data.schema.field(name).type) or pa.types.is_integer(data.schema.field(name).type)
        ):
            raise ValueError(
                f"{path} must hold one column of numbers a class; {name!r} is {data.schema.field(name).type}"
            )
    return np.stack([data[name].to_numpy() for name in names], axis=1)


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) + " numbers"


def _more(rows: np.ndarray) -> str:
    return f" ({len(rows)} rows are so)" if len(rows) > 1 else ""
