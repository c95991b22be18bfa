"""What kind of values a column holds, by its looks; a person may know better and say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelwise.labels.nearest import nearest
from labelwise.labels.table import LabelTable

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "boolean": "true or false",
    "discrete": "whole numbers, at most 20 different ones",
    "continuous": "measurements, or many different whole numbers",
    "category": "words that come back",
    "identifier": "names and numbers that tell rows apart",
    "date": "days and times",
    "text": "sentences, of more than five words on average",
    "empty": "nothing",
}
NUMERIC = ("discrete", "continuous")
CATEGORICAL = ("boolean", "category")

_FEW = 20  # different whole numbers
_DISTINCT = 0.95  # share of different values from which text tells rows apart
_WORDS = 5  # a text has more on average
_DATES = 0.95  # share of values that read as ISO dates


class Columns(NamedTuple):
    """The columns of a table that hold one value a row, and their kinds.

    `frame` has the rows looked at, `rows` are their numbers in the table, int64 [m], ascending; `kinds` is by column.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    kinds: dict[str, str]


def scalar_columns(
    table: LabelTable, most: int, kinds: Mapping[str, str] | None = None, labels: bool = False, seed: int = 0
) -> Columns:
    """Feature columns that hold one number, word, date or truth value a row, with their kinds (see `KINDS`).

    Of more than `most` rows a sample is taken. `kinds` are those that a person gave, by column; they are taken as they
    are. With `labels`, the tasks of kind `single` (categories) and `real` (continuous) come first. Raises `ValueError`
    for a kind that is not known, or of a column that is not there.
    """
    kinds = kinds or {}
    check_kinds(table, kinds)
    features = table.features
    names = [field.name for field in features.schema if is_scalar(field.type)]
    if table.media is not None and table.media[1] == "text":
        names = [name for name in names if name != table.media[0]]
    own = {"single": "category", "real": "continuous"}
    known = {task.name: own[task.kind] for task in table.tasks if labels and task.kind in own}
    rows = np.arange(len(table))
    if len(table) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(table), most, replace=False))
    data = table.data.select([*known, *names])
    frame: pd.DataFrame = _to_pandas(data if len(rows) == len(table) else data.take(pa.array(rows)))
    found = {name: known.get(name) or kinds.get(name) or kind_of(frame[name], len(table)) for name in [*known, *names]}
    return Columns(frame, rows, found)


def _to_pandas(data: pa.Table) -> pd.DataFrame:
    """A frame of what pandas has a type for: decimals as floats, times of day as text, days as times."""
    for at, field in enumerate(data.schema):
        held = (
            pa.float64() if pa.types.is_decimal(field.type) else pa.string() if pa.types.is_time(field.type) else None
        )
        if held is not None:
            data = data.set_column(at, field.name, pc.cast(data.column(at), held))
    return data.to_pandas(date_as_object=False)


def check_kinds(table: LabelTable, kinds: Mapping[str, str]) -> None:
    """Raise `ValueError` if one of the kinds that a person gave is not known, or its column not there."""
    for name, kind in kinds.items():
        table.check_column(name)
        if kind not in KINDS:
            raise ValueError(
                f"the kind of column {name!r} should be one of {', '.join(KINDS)}; got {kind!r}{nearest(kind, KINDS)}"
            )


def kind_of(values: pd.Series, n: int) -> str:
    """The kind of a column of n rows, by these of its values (see `KINDS`); missing ones are not looked at.

    Whole numbers that are all different and span less than n, as a count of the rows does, are an `identifier`; so are
    words of which more than 95 % are different.
    """
    import pandas as pd

    held = values.dropna()
    if not len(held):
        return "empty"
    if pd.api.types.is_datetime64_any_dtype(held) or pd.api.types.is_timedelta64_dtype(held):
        return "date"
    if pd.api.types.is_bool_dtype(held) or held.map(lambda value: isinstance(value, bool)).all():
        return "boolean"
    numbers = _as_numbers(held)
    if numbers is not None:
        whole = bool((numbers == np.floor(numbers)).all())
        different = numbers.nunique()
        if whole and 1 < different == len(held) and numbers.max() - numbers.min() < n and len(held) > _FEW:
            return "identifier"
        return "discrete" if whole and different <= _FEW else "continuous"
    words = held.astype(str)
    distinct = words.drop_duplicates()
    if _are_dates(distinct):
        return "date"
    if words.str.count(r"\S+").mean() > _WORDS:
        return "text"
    return "identifier" if len(distinct) > _DISTINCT * len(words) else "category"


def _as_numbers(held: pd.Series) -> pd.Series | None:
    """The finite values as floats, None if these are no numbers."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(held):
        numbers = held.astype(float)
        return numbers[np.isfinite(numbers)]
    return None


def _are_dates(distinct: pd.Series) -> bool:
    import pandas as pd

    few = distinct.head(1000)
    looks = few.str.match(r"\d{4}-\d{2}(-\d{2})?").mean() if len(few) else 0
    if looks < _DATES:
        return False
    return bool(pd.to_datetime(few, format="ISO8601", errors="coerce", utc=True).notna().mean() >= _DATES)


def numbers_of(values: pd.Series) -> pd.Series:
    """A numeric column as floats; what is missing or not finite is nan."""
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))


def codes_of(values: pd.Series, most: int) -> tuple[np.ndarray, list[str]]:
    """Codes, int64 [n], into the `most` most frequent values, -1 where missing; the rest share one more, the last.

    Frequent values come first, of equally frequent ones those that come first in the alphabet.
    """
    import pandas as pd

    held: Any = (
        values.astype(object).where(values.notna(), None).map(lambda value: None if value is None else str(value))
    )
    counts = held.value_counts()
    levels = sorted(counts.index, key=lambda name: (-counts[name], name))[:most]
    codes = pd.Index(levels, dtype=object).get_indexer(held)
    other = (codes < 0) & held.notna().to_numpy()
    codes = np.where(other, len(levels), codes)
    return codes.astype(np.int64), [*levels, *(["(any other)"] if other.any() else [])]


def is_scalar(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one number, word, date or truth value a row."""
    tests = (
        pa.types.is_null,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_dictionary,
        pa.types.is_temporal,
        pa.types.is_decimal,
    )
    return any(test(kind) for test in tests)
