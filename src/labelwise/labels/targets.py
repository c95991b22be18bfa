"""From a column as people wrote it to numbers, sets of classes, or distributions over classes."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelwise.labels.classes import sort_classes

KINDS = ("single", "multi", "soft", "real")
"""What the labels of a column may be said to be."""
_SEPARATOR = r"[;|]"


def name_and_kind(label: str) -> tuple[str, str | None]:
    """A label as people name it, `price=real`: the column, and its kind if one of `KINDS` is said."""
    name, mark, kind = label.rpartition("=")
    return (name, kind) if mark and kind in KINDS else (label, None)


def to_numbers(column: pa.ChunkedArray | pa.Array, name: str, source: str) -> tuple[pa.Array, tuple[str, ...]]:
    """The numbers of each row, float64, null where missing, and no classes.

    Raises `ValueError` that names the row if there is a value that is no number, and if all are missing or equal.
    """
    where = f"{source}, column {name}"
    array = _plain(column)
    if pa.types.is_string(array.type):
        text = pc.utf8_trim_whitespace(array)
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        array = _parsed(text, where)
    elif not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
        raise ValueError(f"labels of kind 'real' must be numbers; the column holds {array.type} ({where})")
    numbers = pc.cast(array, pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    _refuse_missing(numbers, where)
    if pc.count_distinct(numbers, mode="only_valid").as_py() == 1:
        raise ValueError(
            f"all numbers are {numbers.drop_null()[0].as_py():g} ({where}); there is nothing to tell apart"
        )
    return numbers, ()


def to_sets(
    column: pa.ChunkedArray | pa.Array, name: str, source: str, names: Sequence[str] = ()
) -> tuple[pa.Array, tuple[str, ...]]:
    """The classes of each row as lists of text, null where missing, and all classes in order.

    Taken are lists of names, text with ";" or "|" between names ("" is missing, ";" the empty set), and vectors of 0
    and 1, one for each of `names`; of -1 where missing. Raises `ValueError` that names the row for other values, and if
    there is no class at all.
    """
    where = f"{source}, column {name}"
    array = _plain(column)
    if _is_vectors(array.type):
        array, names = _from_vectors(array, names, where)
    elif pa.types.is_string(array.type):
        array = _split(array)
    elif not _is_lists(array.type):
        raise ValueError(
            f"labels of kind 'multi' must be lists of names, or text with ';' between names; the column holds "
            f"{array.type} ({where})"
        )
    texts = pc.cast(array.values, pa.string())
    sets = pa.ListArray.from_arrays(array.offsets, texts, mask=array.is_null())
    _refuse_missing(sets, where)
    classes = tuple(names) or sort_classes(pc.unique(sets.flatten()).drop_null().to_pylist())
    if not classes:
        raise ValueError(f"all sets are empty ({where}); there is no class to learn")
    return sets, classes


def to_shares(
    column: pa.ChunkedArray | pa.Array, name: str, source: str, names: Sequence[str] = ()
) -> tuple[pa.Array, tuple[str, ...]]:
    """The shares of each row as lists of numbers, null where missing, and the classes: `names`, or else "0", "1", ...

    Taken are lists and vectors of numbers, and text with ";" or "|" between numbers ("" is missing). Raises
    `ValueError` that names the row for other values, and for lists of different lengths.
    """
    where = f"{source}, column {name}"
    array = _plain(column)
    if _is_vectors(array.type):
        values = _vectors(array)
        array = _lists(values, np.isnan(values).any(1) | np.asarray(array.is_null()))
    elif pa.types.is_string(array.type):
        split = _split(array)
        numbers = _parsed(split.values, where, np.asarray(pc.list_parent_indices(split)))
        array = pa.ListArray.from_arrays(split.offsets, numbers, mask=split.is_null())
    elif not _is_lists(array.type):
        raise ValueError(
            f"labels of kind 'soft' must be lists of numbers, or text with ';' between them; the column holds "
            f"{array.type} ({where})"
        )
    _refuse_missing(array, where)
    lengths = np.asarray(pc.list_value_length(array).fill_null(-1))
    count = len(names) or int(lengths[lengths >= 0][0])
    wrong = np.flatnonzero((lengths >= 0) & (lengths != count))
    if len(wrong):
        raise ValueError(
            f"every row must have {count} shares, one a class; got {lengths[wrong[0]]} at row {wrong[0]} ({where})"
        )
    return array, tuple(names) or tuple(map(str, range(count)))


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array, text as plain strings, lists with offsets of 32 bits that start at 0."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return pc.cast(array, pa.string())
    if pa.types.is_large_list(array.type) or pa.types.is_list(array.type):
        lengths = np.asarray(pc.list_value_length(array).fill_null(0))
        return _with_lengths(array.flatten(), lengths, np.asarray(array.is_null()))
    return array


def _with_lengths(values: pa.Array, lengths: np.ndarray, missing: np.ndarray) -> pa.Array:
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(missing))


def _is_lists(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind))


def _is_vectors(kind: pa.DataType) -> bool:
    fixed = kind.storage_type if isinstance(kind, pa.FixedShapeTensorType) else kind
    return bool(pa.types.is_fixed_size_list(fixed))


def _vectors(array: pa.Array) -> np.ndarray:
    """Fixed-size lists of numbers as float64 [n, k]; a row that is null has nan."""
    stored = array.storage if isinstance(array, pa.ExtensionArray) else array
    values = np.full((len(stored), stored.type.list_size), np.nan)
    held = np.asarray(stored.is_valid())
    values[held] = np.asarray(pc.cast(stored.flatten(), pa.float64())).reshape(-1, stored.type.list_size)
    return values


def _lists(values: np.ndarray, missing: np.ndarray) -> pa.Array:
    """Rows [n, k] as lists, null where missing."""
    lengths = np.where(missing, 0, values.shape[1])
    return _with_lengths(pa.array(values[~missing].ravel()), lengths, missing)


def _from_vectors(array: pa.Array, names: Sequence[str], where: str) -> tuple[pa.Array, tuple[str, ...]]:
    values = _vectors(array)
    names = tuple(names) or tuple(map(str, range(values.shape[1])))
    if len(names) != values.shape[1]:
        raise ValueError(f"every row must have {len(names)} entries, one a class; got {values.shape[1]} ({where})")
    missing = np.isnan(values).any(1) | (values == -1).all(1)
    wrong = np.flatnonzero(~missing & ((values != 0) & (values != 1)).any(1))
    if len(wrong):
        raise ValueError(
            f"sets as vectors must hold 0 and 1; got {values[wrong[0]].tolist()} at row {wrong[0]} ({where})"
        )
    held = (values == 1) & ~missing[:, None]
    chosen = pa.array(names, pa.string()).take(pa.array(np.nonzero(held)[1]))
    return _with_lengths(chosen, held.sum(1), missing), names


def _split(text: pa.Array) -> pa.Array:
    """Text with separators as lists of trimmed, non-empty text; empty text is missing."""
    trimmed = pc.utf8_trim_whitespace(text)
    missing = np.asarray(pc.or_kleene(trimmed.is_null(), pc.equal(trimmed, "")).fill_null(True))
    parts = pc.split_pattern_regex(trimmed.fill_null(""), _SEPARATOR)
    values = pc.utf8_trim_whitespace(parts.flatten())
    kept = pc.not_equal(values, "")
    rows = np.asarray(pc.list_parent_indices(parts))[np.asarray(kept)]
    return _with_lengths(values.filter(kept), np.bincount(rows, minlength=len(text)), missing)


def _parsed(text: pa.Array, where: str, rows: np.ndarray | None = None) -> pa.Array:
    """Text as numbers; `rows` are those that it stands in."""
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        for at, value in enumerate(text.to_pylist()):
            if not _is_number(value):
                row = at if rows is None else rows[at]
                raise ValueError(f"labels must be numbers; got {value!r} at row {row} ({where})") from None
        raise


def _is_number(value: str | None) -> bool:
    try:
        pa.scalar(value, pa.string()).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _refuse_missing(array: pa.Array, where: str) -> None:
    if array.null_count == len(array):
        raise ValueError(f"every label is missing ({where}); name another label column")
