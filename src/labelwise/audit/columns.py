"""Columns of words, whole numbers, dates and truth values, as numbers in the order of their values."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from labelwise.labels import LabelTable
from labelwise.labels.kinds import is_scalar


class Coded(NamedTuple):
    """`codes`, int64 [n]: the place of each row's value among the sorted `values`, -1 where it is missing."""

    name: str
    type: pa.DataType
    codes: np.ndarray
    values: pd.Index


def codable(table: LabelTable, names: Iterable[str]) -> list[str]:
    """Those of the columns `names` that hold one word, whole number, date or truth value a row.

    Measurements (floats) are left out, and so is the media.
    """
    media = table.media[0] if table.media else None
    return [name for name in names if name != media and _is_codable(table.data[name].type)]


def coded_columns(table: LabelTable, names: Iterable[str]) -> Iterator[Coded]:
    """Code the `codable` ones of the columns `names`."""
    for name in codable(table, names):
        column = table.data[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        codes, values = pd.factorize(column.to_pandas(), sort=True)
        yield Coded(name, column.type, codes.astype(np.int64), pd.Index(values))


def _is_codable(kind: pa.DataType) -> bool:
    held = kind.value_type if pa.types.is_dictionary(kind) else kind
    return is_scalar(held) and not pa.types.is_floating(held) and not pa.types.is_decimal(held)
