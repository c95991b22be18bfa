"""What every encoder is: something fitted to a table that turns its feature columns into numbers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from labelwise.labels import LabelTable

BLOCK = 256
"""Rows that are decoded at a time: what bounds the memory beyond the result."""


@dataclass(frozen=True)
class Encoded:
    """The examples as numbers.

    `features` is float32, [n, d] or [n, channels, height, width]. `unreadable` says for a row why it could not be
    read; the features of such a row are zeros.
    """

    features: np.ndarray
    unreadable: dict[int, str] = field(default_factory=dict)


class Encoder(ABC):
    """Turns the feature columns of a table into float32 arrays, in the way it learned when it was fitted.

    What it learned is plain data (`state`), so that it can be stored without pickle and rebuilt by
    `encoder_from_state`; the rebuilt encoder gives the same bits.
    """

    kind: ClassVar[str]
    """The name under which a stored state finds its class."""
    slow: ClassVar[bool] = True
    """Whether encoding takes long enough to be worth a file in the cache."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What was asked for when the encoder was made, as JSON: the arguments of the class by name."""

    @abstractmethod
    def columns(self, table: LabelTable) -> list[str]:
        """Names of the columns that fitting to `table` would look at."""

    @abstractmethod
    def fit(self, table: LabelTable, quiet: bool = True) -> Self:
        """Learn from `table` what `transform` needs. Raises `ValueError` if nothing there can be learned from."""

    @abstractmethod
    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:
        """Turn every row into features. Raises `ValueError` if a column is missing or of another type."""

    def fit_transform(self, table: LabelTable, quiet: bool = True) -> Encoded:
        """Fit to `table` and transform it, with each example read only once where that is possible."""
        return self.fit(table, quiet).transform(table, quiet)

    def shape(self, encoded: Encoded) -> list[Any]:
        """Shape of one example of what `transform` gave, as `backbone_for` takes it."""
        return list(encoded.features.shape[1:])

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was learned: a dictionary that JSON can hold (`kind` among its keys), and arrays by name."""

    @abstractmethod
    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Take over a state that `state` gave."""


def media_column(table: LabelTable, column: str | None, kind: str) -> str:
    """The column to read: the one learned from when fitted, else the table's own column of that kind of media."""
    if column is not None:
        table.check_column(column)
        return column
    if table.media is not None and table.media[1] == kind:
        return table.media[0]
    names = table.feature_names
    if len(names) == 1:
        return names[0]
    raise ValueError(f"{table.source} names no {kind} column; give media=(column, {kind!r}) to its LabelTable")


def known_unreadable(table: LabelTable) -> dict[int, str]:
    """Rows that the reader of the table could not read already, with the reason, as a new dictionary."""
    return {int(row): str(reason) for row, reason in table.unreadable.items()}


def blocks(rows: int) -> Iterable[slice]:
    """Slices that cover `rows` rows, each of at most `BLOCK`."""
    return (slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK))


def is_tensor(kind: pa.DataType) -> bool:
    """Whether a column of this type holds arrays of one fixed shape."""
    return isinstance(kind, pa.FixedShapeTensorType)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds encoded files."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def tensor_rows(column: pa.ChunkedArray) -> np.ndarray:
    """The arrays of a fixed-shape tensor column as one array [n, ...], zeros where it is null."""
    present = np.asarray(column.is_valid())
    if not present.any():
        return np.zeros((len(column), *column.type.shape), column.type.value_type.to_pandas_dtype())
    arrays = np.asarray(column.drop_null().combine_chunks().to_numpy_ndarray())
    if present.all():
        return arrays
    rows = np.zeros((len(column), *arrays.shape[1:]), arrays.dtype)
    rows[present] = arrays
    return rows


def threads() -> ThreadPoolExecutor:
    """A pool for decoding; Pillow and SciPy let go of Python's lock while they work."""
    return ThreadPoolExecutor(thread_name_prefix="labelwise-decode")
