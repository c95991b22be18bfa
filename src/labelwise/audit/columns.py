"""Columns that hold one value a row, as numbers in the order of their values."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from labelwise.labels import LabelTable
from labelwise.labels.facts import is_scalar


class Coded(NamedTuple):
    """`codes`, int64 [n]: the place of each row's value among the sorted `values`, -1 where it is missing."""

    name: str
    type: pa.DataType
    codes: np.ndarray
    values: pd.Index


def coded_columns(table: LabelTable, names: Iterable[str]) -> Iterator[Coded]:
    """Code those of the columns `names` that hold one number, word, date or truth value a row, and not the media."""
    for name in names:
        column = table.data[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if is_scalar(column.type) and (table.media is None or name != table.media[0]):
            codes, values = pd.factorize(column.to_pandas(), sort=True)
            yield Coded(name, column.type, codes.astype(np.int64), pd.Index(values))
