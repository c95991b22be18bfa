"""Numbers, categories and vectors as features."""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelwise.labels import LabelTable
from labelwise.models.encoder import Encoded, Encoder, is_tensor, is_text, tensor_rows

CATEGORIES = 31
"""Categories of a column that get a feature of their own; the rarer ones share one."""
_FEWEST_FOR_IDS = 10
_SHARE_FOR_IDS = 0.9


class TabularEncoder(Encoder):
    """Numbers standardised, categories one-hot, vectors standardised, side by side as [n, d].

    - Numbers, booleans, dates and times: the median stands in for what is missing or infinite, then mean 0 and standard
      deviation 1 over the rows fitted to.
    - Strings and dictionary columns: one feature for each of the 31 most frequent categories, one for all others (also
      those never seen), one for missing. Text that holds more than 31 different numbers counts as numbers.
    - Fixed-shape tensors: every entry like a number.

    Columns that hold one value only are left out; so are, with a warning, columns of strings that are nearly all
    different (names, ids, free text) and columns of other types.
    """

    kind = "tabular"
    slow = False

    def __init__(self) -> None:
        self._columns: list[dict[str, Any]] = []
        self._arrays: dict[str, np.ndarray] = {}

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return {}

    def columns(self, table: LabelTable) -> list[str]:  # noqa: D102
        return table.feature_names

    @property
    def feature_names(self) -> list[str]:
        """What each feature is, in order: "length", "colour=red", "vector[3]"."""
        names: list[str] = []
        for column in self._columns:
            name = column["name"]
            if column["kind"] == "category":
                names += [f"{name}={value}" for value in [*column["values"], "(other)", "(missing)"]]
            elif column["kind"] == "vector":
                kept = np.flatnonzero(self._arrays[f"{name}/scale"])
                names += [f"{name}[{at}]" for at in kept]
            else:
                names.append(name)
        return names

    def fit(self, table: LabelTable, quiet: bool = True) -> Self:  # noqa: D102
        if not len(table):
            raise ValueError(f"{table.source} has no rows to learn from")
        self._columns, self._arrays = [], {}
        left_out: dict[str, list[str]] = {"constant": [], "nearly all different": [], "of a type not understood": []}
        for name in table.feature_names:
            reason = self._fit_column(table, name)
            if reason:
                left_out[reason].append(name)
        for reason in ("nearly all different", "of a type not understood"):
            if left_out[reason]:
                names = ", ".join(left_out[reason])
                warnings.warn(f"{table.source}: left out {names} ({reason})", UserWarning, stacklevel=2)
        if not self._columns:
            what = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in left_out.items() if names)
            raise ValueError(
                f"{table.source} has no feature column to learn from ({what or 'only labels'}); audit the labels alone "
                "with --labels-only, or bring features with --embeddings FILE.npy"
            )
        return self

    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        self._check_fitted()
        parts = []
        for column in self._columns:
            table.check_column(column["name"])
            if column["kind"] == "category":
                parts.append(self._one_hot(table, column))
            else:
                values = self._numbers(table, column, warn=True)
                center, scale = (self._arrays[f"{column['name']}/{part}"] for part in ("center", "scale"))
                kept = scale > 0
                median = self._arrays[f"{column['name']}/median"][kept]
                filled = np.where(np.isnan(values[:, kept]), median, values[:, kept])
                parts.append(((filled - center[kept]) / scale[kept]).astype(np.float32))
        return Encoded(np.concatenate(parts, axis=1))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # noqa: D102
        self._check_fitted()
        return {"kind": self.kind, "columns": self._columns}, dict(self._arrays)

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:  # noqa: D102
        self._columns = [dict(column) for column in config["columns"]]
        self._arrays = dict(arrays)
        return self

    def _check_fitted(self) -> None:
        if not self._columns:
            raise ValueError("fit the encoder to a table before using it")

    def _fit_column(self, table: LabelTable, name: str) -> str | None:
        """Learn one column; gives the reason if it is left out."""
        column = table.data[name]
        kind = _kind(column.type)
        if kind == "category":
            kind, reason = _kind_of_text(column)
            if reason:
                return reason
        if kind is None:
            return "of a type not understood"
        learned: dict[str, Any] = {"name": name, "kind": kind}
        if kind == "category":
            counts = pc.value_counts(_strings(column).drop_null()).to_pylist()
            ordered = sorted(counts, key=lambda count: (-count["counts"], count["values"]))
            learned["values"] = [count["values"] for count in ordered[:CATEGORIES]]
            if len(ordered) + bool(column.null_count) < 2:
                return "constant"
        else:
            if kind == "vector":
                learned["shape"] = list(column.type.shape)
            center, scale, median = _spread(self._numbers(table, learned))
            if not scale.any():
                return "constant"
            self._arrays |= {f"{name}/center": center, f"{name}/scale": scale, f"{name}/median": median}
        self._columns.append(learned)
        return None

    def _one_hot(self, table: LabelTable, column: Mapping[str, Any]) -> np.ndarray:
        """Features [n, categories + 2] of a column: its categories, others, missing."""
        held = table.data[column["name"]]
        if _kind(held.type) not in ("category", "number", "empty"):
            raise ValueError(_other_type(table, column, held.type))
        strings = _strings(held)
        values = column["values"]
        codes = np.asarray(pc.index_in(strings, value_set=pa.array(values, pa.string())).fill_null(len(values)))
        codes = np.where(np.asarray(strings.is_null()), len(values) + 1, codes)
        return np.eye(len(values) + 2, dtype=np.float32)[codes]

    def _numbers(self, table: LabelTable, column: Mapping[str, Any], warn: bool = False) -> np.ndarray:
        """Values [n, d] of a column as float64, nan where missing or infinite."""
        name = column["name"]
        held = table.data[name]
        kind = _kind(held.type)
        if kind == "empty" and column["kind"] != "vector":
            values = np.full((len(table), 1), np.nan)
        elif column["kind"] == "vector":
            if kind != "vector" or list(held.type.shape) != column["shape"]:
                raise ValueError(_other_type(table, column, held.type))
            values = tensor_rows(held).reshape(len(table), math.prod(held.type.shape)).astype(np.float64)
            values[np.asarray(held.is_null())] = np.nan
        elif kind == "category" and column["kind"] in ("number", "time"):
            values = _parse(table, column, held)
        elif kind == column["kind"]:
            values = _to_float(held, column["kind"])
        else:
            raise ValueError(_other_type(table, column, held.type))
        infinite = np.isinf(values)
        if infinite.any():
            rows = np.flatnonzero(infinite.any(axis=1))
            if warn:
                warnings.warn(
                    f"{table.source}: {len(rows)} infinite value(s) in column {name} count as missing, the first at "
                    f"row {rows[0]}",
                    UserWarning,
                    stacklevel=3,
                )
            values = np.where(infinite, np.nan, values)
        return values


def _kind(kind: pa.DataType) -> str | None:
    """How a column of this type is read: "number", "time", "category", "vector", "empty" (all null) or not at all."""
    types = pa.types
    if types.is_null(kind):
        return "empty"
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_temporal(kind) and not types.is_interval(kind):
        return "time"
    if is_text(kind) or types.is_dictionary(kind):
        return "category"
    if is_tensor(kind) and _kind(kind.value_type) == "number":
        return "vector"
    return None


def _kind_of_text(column: pa.ChunkedArray) -> tuple[str, str | None]:
    """Whether strings are categories or numbers; or the reason to leave them out."""
    present = _strings(column).drop_null()
    different = pc.count_distinct(present).as_py()
    if different > CATEGORIES:
        try:
            _float_strings(present)
        except pa.ArrowInvalid:
            pass
        else:
            return "number", None
    if len(present) >= _FEWEST_FOR_IDS and different >= _SHARE_FOR_IDS * len(present):
        return "category", "nearly all different"
    return "category", None


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.string())


def _float_strings(strings: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(strings)
    return pc.cast(pc.if_else(pc.equal(trimmed, ""), None, trimmed), pa.float64())


def _to_float(column: pa.ChunkedArray, kind: str) -> np.ndarray:
    """Numbers and times as float64 [n, 1], missing nan. Times become microseconds, whatever their unit."""
    held = column.type
    if kind == "time":
        if pa.types.is_time(held):
            column = pc.cast(column, pa.time64("us"), safe=False)
        elif pa.types.is_duration(held):
            column = pc.cast(column, pa.duration("us"), safe=False)
        else:
            column = pc.cast(column, pa.timestamp("us", getattr(held, "tz", None)), safe=False)
        column = pc.cast(column, pa.int64())
    return np.asarray(pc.cast(column, pa.float64(), safe=False).fill_null(np.nan), dtype=np.float64)[:, None]


def _parse(table: LabelTable, column: Mapping[str, Any], held: pa.ChunkedArray) -> np.ndarray:
    """Numbers or times that are given as text."""
    strings = _strings(held)
    read = _float_strings if column["kind"] == "number" else (lambda texts: pc.cast(texts, pa.timestamp("us")))
    try:
        return _to_float(read(strings), column["kind"])
    except pa.ArrowInvalid:
        pass
    row = next(row for row in range(len(strings)) if not _readable(read, strings.slice(row, 1)))
    raise ValueError(
        f"column {column['name']} held a {column['kind']} when learned from; got {strings[row].as_py()!r} at row {row} "
        f"({table.source})"
    )


def _readable(read: Callable[[pa.ChunkedArray], pa.ChunkedArray], strings: pa.ChunkedArray) -> bool:
    try:
        read(strings)
    except pa.ArrowInvalid:
        return False
    return True


def _other_type(table: LabelTable, column: Mapping[str, Any], held: pa.DataType) -> str:
    shape = f" of shape {column['shape']}" if column["kind"] == "vector" else ""
    return f"column {column['name']} held a {column['kind']}{shape} when learned from; {table.source} has {held} there"


def _spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation (0 if constant) and median of every column [n, d], with medians for what is missing."""
    present = ~np.isnan(values)
    some = present.any(axis=0)
    median = np.zeros(values.shape[1])
    if some.any():
        median[some] = np.nanmedian(values[:, some], axis=0)
    filled = np.where(present, values, median)
    # Of huge values neither the sum nor the square may overflow.
    largest = np.maximum(np.abs(filled).max(axis=0), np.finfo(np.float64).tiny)
    center = (filled / largest).mean(axis=0) * largest
    scale = np.where(np.ptp(filled / largest, axis=0) > 0, (filled / largest).std(axis=0), 0.0) * largest
    return center, scale, median
