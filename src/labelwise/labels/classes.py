"""From a column as people wrote it to class names: what is a class, what is missing, what cannot be a label."""

import re
import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MISSING = ("", "nan", "NaN", "NAN")
_DOUBTFUL = ("NA", "N/A", "n/a", "na", "None", "none", "null", "NULL", "?", "-", "unknown", "Unknown")
_INTEGER = re.compile(r"[+-]?[0-9]+")


def to_classes(
    column: pa.ChunkedArray | pa.Array, name: str, source: str, names: Sequence[str] = ()
) -> tuple[pa.Array, tuple[str, ...]]:
    """Class names of each row (text, null = missing) and all classes in order.

    Whole numbers are classes, floats too if all are whole ("1.0" is class "1"); -1 among whole numbers, NaN and empty
    text are missing; white space around names is dropped. `names` are the class names that integers stand for, or the
    known names in their order; else classes are sorted, as numbers if all are whole numbers. Raises `ValueError` with
    the remedy if the column cannot be a label: real numbers, a different value in every row, nothing, a single class
    that no `names` say to be one.
    """
    where = f"{source}, column {name}"
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    array = _as_text(array, where, names)
    if names:
        classes = tuple(names)
        known = pc.fill_null(pc.is_in(array, value_set=pa.array(classes, pa.string())), False)
        _refuse_unknown(array, np.asarray(pc.and_(pc.invert(known), array.is_valid())), classes, where)
    else:
        classes = sort_classes(pc.unique(array).drop_null().to_pylist())
    _check_use(array, where, bool(names))
    return array, classes


def sort_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Class names in order: as numbers if all are whole numbers, else as text."""
    if all(_INTEGER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _as_text(array: pa.Array, where: str, names: Sequence[str]) -> pa.Array:
    kind = array.type
    if pa.types.is_null(kind):
        return pc.cast(array, pa.string())
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return _codes_to_text(_whole(pc.cast(array, pa.float64()), where), where, names)
    if pa.types.is_integer(kind):
        return _codes_to_text(array, where, names)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _trimmed(pc.cast(array, pa.string()), where)
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return pc.cast(array, pa.string())
    raise ValueError(
        f"a label column holds one class name or number a row; got {kind} ({where}); name the label NAME=multi for "
        "sets of classes, NAME=soft for distributions"
    )


def _whole(numbers: pa.Array, where: str) -> pa.Array:
    """Floats that are all whole numbers as integers; NaN is missing."""
    values = np.asarray(numbers.fill_null(np.nan))
    missing = np.isnan(values)
    broken = np.flatnonzero(~missing & (~np.isfinite(values) | (values != np.floor(np.where(missing, 0, values)))))
    if len(broken):
        row = int(broken[0])
        raise ValueError(
            f"labels must be classes; got the real number {values[row]:g} at row {row} ({where}); real-valued targets "
            "are not classes: name the label NAME=real to learn numbers, bin them into a new column, or name another"
        )
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)


def _codes_to_text(codes: pa.Array, where: str, names: Sequence[str]) -> pa.Array:
    codes = pc.if_else(pc.equal(codes, -1), pa.scalar(None, codes.type), codes)
    # Names that are numbers themselves ("7" of digits) may be written as such, or counted; counting wins if it can.
    if not names:
        return pc.cast(codes, pa.string())
    beyond = pc.or_(pc.less(codes, 0), pc.greater_equal(codes, len(names)))
    bad = np.flatnonzero(np.asarray(beyond.fill_null(False)))
    if len(bad):
        raise ValueError(
            f"labels must be integers in [0, {len(names)}), or -1 if missing; got {codes[int(bad[0])].as_py()} at row "
            f"{bad[0]} ({where}): the source names {len(names)} classes"
        )
    return pa.array(names, pa.string()).take(codes)


def _trimmed(text: pa.Array, where: str) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(text)
    changed = pc.sum(pc.not_equal(trimmed, text)).as_py() or 0
    if changed:
        warnings.warn(f"white space around {changed} labels was dropped ({where})", UserWarning, stacklevel=2)
    missing = pc.is_in(trimmed, value_set=pa.array(_MISSING))
    trimmed = pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)
    found = pc.value_counts(trimmed.drop_null()).to_pylist()
    if found and all(_INTEGER.fullmatch(entry["values"]) for entry in found):
        trimmed = pc.if_else(pc.equal(trimmed, "-1"), pa.scalar(None, pa.string()), trimmed)
    for entry in found:
        if entry["values"] in _DOUBTFUL:
            warnings.warn(
                f"{entry['counts']} labels are {entry['values']!r} and taken as a class of that name; leave them empty "
                f"if they are missing ({where})",
                UserWarning,
                stacklevel=2,
            )
    return trimmed


def _refuse_unknown(array: pa.Array, bad: np.ndarray, classes: tuple[str, ...], where: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        raise ValueError(
            f"labels must be one of the {len(classes)} classes that the source names; got "
            f"{array[int(rows[0])].as_py()!r} at row {rows[0]} ({where})"
        )


def _check_use(array: pa.Array, where: str, named: bool) -> None:
    labelled = len(array) - array.null_count
    if not labelled:
        raise ValueError(f"every label is missing ({where}); name another label column")
    used = pc.count_distinct(array, mode="only_valid").as_py()
    if used == 1 and not named:
        only = array.drop_null()[0].as_py()
        raise ValueError(f"all {labelled} labels are {only!r} ({where}); a task needs at least two classes")
    if used == labelled and labelled > 20:
        raise ValueError(
            f"all {labelled} labels differ ({where}), as an identifier's do; give it as the id column, and name the "
            "column that holds classes as the label"
        )
    if used > labelled / 2 and labelled > 20:
        warnings.warn(
            f"{labelled} labels name {used} classes, most of them once ({where}); is it the right column?",
            UserWarning,
            stacklevel=2,
        )
