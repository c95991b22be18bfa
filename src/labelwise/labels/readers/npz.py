"""NumPy archives by convention of names, never unpickled."""

import itertools
import re
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from labelwise.labels.readers.files import check_contents, sniff, wav_bytes
from labelwise.labels.readers.source import Source, binary_column, check_rows

_PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_PREFIX = re.compile(rf"({'|'.join(_PARTS)})_(.+)")
_SUFFIX = re.compile(rf"(.+)_({'|'.join(_PARTS)})")
_DEFAULT_RATE = 16_000  # samples a second, where the archive does not say


def read_npz(path: Path, labels: tuple[str, ...], quiet: bool) -> Source:
    """Read the arrays of an `.npz` whose first dimension counts the examples as columns.

    The number of examples is that of the label arrays, else the commonest first dimension. `NAME_names` names the
    classes of integers in `NAME`, `class_names` those of the label column without its own; `split` with `split_names`
    is the split. A flat array `X` with `X_offsets` (or a lone `offsets`) [n + 1] is one of pieces: uint8 are encoded
    files, int16 (or float, where there is a `sample_rate`) sounds, which become WAV bytes, others lists. uint8 arrays
    [n, h, w] or [n, h, w, 1 or 3] are images. Arrays `train_X` and `test_X` (or `X_train`, `X_test`) are joined, with a
    `split` column. Arrays of other lengths are left out with a warning.

    Raises `ValueError` for object arrays (pickles), offsets that do not rise, label arrays of different lengths.
    """
    arrays = _load(path)
    parts = _parts(arrays)
    shared = {
        name: array for name, array in arrays.items() if name not in {n for _, part in parts for n in part.values()}
    }
    tables, names = [], dict[str, tuple[str, ...]]()
    for part, members in parts or [("", {name: name for name in arrays})]:
        own = {base: arrays[name] for base, name in members.items()}
        columns, names = _columns({**shared, **own}, labels, str(path))
        if part:
            columns["split"] = pa.array(np.full(len(next(iter(columns.values()))), part))
        tables.append(pa.table(columns))
    try:
        data = pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"the train and test arrays of {path} do not fit together: {error}") from None
    check_rows(data, str(path))
    media = _media(data)
    unreadable = {}
    if media is not None and pa.types.is_binary(data[media[0]].type):
        unreadable = check_contents(data[media[0]].to_pylist(), media[1], quiet)  # type: ignore[arg-type]
    split = "split" if "split" in data.column_names and pa.types.is_string(data["split"].type) else None
    class_names = tuple(map(str, arrays["class_names"])) if _is_names(arrays.get("class_names")) else ()
    return Source(data, str(path), names, class_names, split=split, media=media, unreadable=unreadable)


def _load(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is not a NumPy archive (.npz): {error}") from None
    if not hasattr(archive, "files"):
        raise ValueError(f"{path} holds a single array; save named arrays with numpy.savez (labels beside features)")
    with archive:
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                if "pickle" not in str(error):
                    raise ValueError(f"array {name!r} of {path} is broken: {error}") from None
                raise ValueError(
                    f"array {name!r} of {path} holds Python objects, which are never unpickled since that can run any "
                    f"code; save numbers or text (pieces of different length as one flat array {name!r} with "
                    f"'{name}_offsets')"
                ) from None
            except (zipfile.BadZipFile, OSError, EOFError) as error:
                raise ValueError(f"array {name!r} of {path} is broken: {error}") from None
    if not arrays:
        raise ValueError(f"{path} holds no arrays")
    return arrays


def _parts(arrays: dict[str, np.ndarray]) -> list[tuple[str, dict[str, str]]]:
    """Train, validation and test members by base name, if that is how the archive is made; else nothing."""
    parts: dict[str, dict[str, str]] = {}
    for name, array in arrays.items():
        if match := _PREFIX.fullmatch(name):
            part, base = match[1], match[2]
        elif match := _SUFFIX.fullmatch(name):
            part, base = match[2], match[1]
        elif array.ndim and not _is_names(array):
            return []  # an array of all examples: then train_... is a column like others
        else:
            continue
        parts.setdefault(_PARTS[part], {})[base] = name
    if len(parts) < 2:
        return []
    common = set.intersection(*(set(members) for members in parts.values()))
    left = sorted(name for members in parts.values() for base, name in members.items() if base not in common)
    if left and common:
        warnings.warn(f"arrays that not every part has were left out: {', '.join(left)}", UserWarning, stacklevel=2)
    ordered = [part for part in ("train", "validation", "test") if part in parts]
    return [(part, {base: parts[part][base] for base in parts[part] if base in common}) for part in ordered if common]


def _columns(
    arrays: dict[str, np.ndarray], labels: tuple[str, ...], source: str
) -> tuple[dict[str, pa.Array], dict[str, tuple[str, ...]]]:
    """Columns of one part, and the class names of those that have some."""
    offsets = _offsets(arrays, source)
    helpers = {name for name in arrays if name == "offsets" or name.endswith("_offsets") or _describes(name, arrays)}
    lengths = {
        name: len(offsets[name]) - 1 if name in offsets else len(array)
        for name, array in arrays.items()
        if array.ndim and name not in helpers
    }
    n = _examples(lengths, labels, source)
    if n == 0:
        raise ValueError(f"{source} holds no rows: the arrays {', '.join(lengths)} are empty")
    columns, names, left = {}, {}, []
    for name, length in lengths.items():
        if length != n:
            left.append(f"{name} ({length})")
        elif name in offsets:
            columns[name] = _pieces(arrays[name], offsets[name], int(arrays.get("sample_rate", 0)))
        else:
            array = arrays[name]
            known = arrays.get(f"{name}_names")
            if known is not None and array.ndim == 1 and array.dtype.kind in "iu":
                _check_codes(array, known, name, source)
                names[name] = tuple(map(str, known))
                columns[name] = pa.array(known.astype(str)).take(pa.array(array.astype(np.int64), mask=array == -1))
            else:
                columns[name] = _column(array, name, source)
    if left:
        message = f"arrays that do not have {n} rows were left out: {', '.join(left)} ({source})"
        warnings.warn(message, UserWarning, stacklevel=2)
    return columns, {name: given for name, given in names.items() if name != "split"}


def _examples(lengths: dict[str, int], labels: tuple[str, ...], source: str) -> int:
    """How many examples there are."""
    of_labels = {name: lengths[name] for name in labels if name in lengths}
    if len(set(of_labels.values())) > 1:
        raise ValueError(f"label arrays must be of one length; got {of_labels} ({source})")
    if of_labels:
        return next(iter(of_labels.values()))
    if not lengths:
        raise ValueError(f"{source} holds no array of examples")
    return Counter(lengths.values()).most_common(1)[0][0]


def _offsets(arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Flat arrays that are made of pieces, with where these begin and end."""
    found = {name: arrays[f"{name}_offsets"] for name in arrays if f"{name}_offsets" in arrays}
    if "offsets" in arrays and arrays["offsets"].ndim == 1 and len(arrays["offsets"]):
        last = arrays["offsets"][-1]
        flat = [name for name, array in arrays.items() if array.ndim == 1 and len(array) == last and name != "offsets"]
        found |= dict.fromkeys(flat, arrays["offsets"])
    for name, offsets in found.items():
        end = len(arrays[name]) if arrays[name].ndim else 0
        right = offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1
        if not right or offsets[0] != 0 or offsets[-1] != end or np.any(np.diff(offsets.astype(np.int64)) < 0):
            raise ValueError(
                f"the offsets of {name!r} must be integers that rise from 0 to its length {end} ({source})"
            )
    return found


def _describes(name: str, arrays: dict[str, np.ndarray]) -> bool:
    """Whether an array tells of classes rather than of examples: their names, or one number for each of them."""
    if _is_names(arrays[name]) and (name == "class_names" or name.removesuffix("_names") in arrays):
        return name.endswith("_names")
    base, middle, _ = name.partition("_to_")
    return bool(middle) and f"{base}_names" in arrays and len(arrays[name]) == len(arrays[f"{base}_names"])


def _is_names(array: np.ndarray | None) -> bool:
    return array is not None and array.ndim == 1 and array.dtype.kind in "US"


def _check_codes(codes: np.ndarray, names: np.ndarray, name: str, source: str) -> None:
    bad = np.flatnonzero((codes.astype(np.int64) < -1) | (codes.astype(np.int64) >= len(names)))
    if len(bad):
        raise ValueError(
            f"{name} must be integers in [0, {len(names)}), as {name}_names has {len(names)} names; got "
            f"{codes[bad[0]]} at row {bad[0]} ({source})"
        )


def _pieces(flat: np.ndarray, offsets: np.ndarray, rate: int) -> pa.Array:
    if flat.ndim == 1 and flat.dtype == np.uint8:
        return binary_column([flat[a:b].tobytes() for a, b in itertools.pairwise(offsets)])
    if flat.ndim == 1 and (flat.dtype == np.int16 or (flat.dtype.kind == "f" and rate)):
        if not rate:
            message = f"no sample_rate is given: {_DEFAULT_RATE} samples a second were assumed"
            warnings.warn(message, UserWarning, stacklevel=2)
        pieces = [flat[a:b] for a, b in itertools.pairwise(offsets)]
        return binary_column([wav_bytes(piece, rate or _DEFAULT_RATE) for piece in pieces])
    if flat.ndim > 1:
        flat = flat.reshape(len(flat), -1)
        return pa.array([flat[a:b].tolist() for a, b in itertools.pairwise(offsets)])
    return pa.LargeListArray.from_arrays(pa.array(offsets.astype(np.int64)), pa.array(flat))


def _column(array: np.ndarray, name: str, source: str) -> pa.Array:
    if array.dtype.kind not in "biufUSM":
        raise ValueError(f"array {name!r} holds {array.dtype}, which cannot be a column ({source})")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype == np.float16:
        array = array.astype(np.float32)  # Arrow computes little in half precision
    if array.ndim == 1:
        return pa.array(array)
    if array.ndim == 4 and array.dtype == np.uint8 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = np.moveaxis(array, 1, -1)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind in "US":
        return pa.array(array.tolist())
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)  # Arrow packs truth values into bits, which tensors do not allow
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))


def _media(data: pa.Table) -> tuple[str, str] | None:
    """Encoded images first, then pictures, then sounds."""
    encoded: dict[str, str] = {}
    for name, column in zip(data.column_names, data.columns, strict=True):
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            kind = next(filter(None, (sniff(value.as_py() or b"") for value in column[:20])), None)
            if kind:
                encoded.setdefault(kind, name)
        elif isinstance(column.type, pa.FixedShapeTensorType) and pa.types.is_uint8(column.type.value_type):
            shape = column.type.shape
            if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
                encoded.setdefault("picture", name)
    for kind in ("image", "picture", "audio"):
        if kind in encoded:
            return encoded[kind], "image" if kind == "picture" else kind
    return None
