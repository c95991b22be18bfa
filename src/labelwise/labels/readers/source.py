"""What every reader hands back, and the refusals that all readers share."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from labelwise.labels.nearest import nearest


@dataclass(frozen=True)
class Source:
    """The columns of a source as they stand there, and what the source itself says of them.

    `classes` gives class names in order, by column, where the source names them; `class_names` those of an integer
    label column that is not named. `labels` are the columns that are labels by the form of the source (a folder's
    "label"). The other fields are those of `LabelTable`.
    """

    data: pa.Table
    name: str
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    id: str | None = None
    media: tuple[str, str] | None = None
    unreadable: Mapping[int, str] = field(default_factory=dict)
    folder: Path | None = None


def check_exists(path: Path) -> None:
    """Raise `FileNotFoundError` that suggests a near name in the same folder, if there is no such file or folder."""
    if path.exists():
        return
    parent = path.parent
    while not parent.is_dir():
        parent = parent.parent
    if parent != path.parent:
        missing = path.relative_to(parent).parts[0]
        hint = nearest(missing, os.listdir(parent))
        raise FileNotFoundError(f"there is no {path}: {parent} has no folder {missing!r}{hint}")
    raise FileNotFoundError(f"there is no file or folder {path}{nearest(path.name, os.listdir(parent))}")


def check_rows(data: pa.Table, name: str) -> None:
    """Raise `ValueError` if the source holds no row or no column."""
    if data.num_columns == 0:
        raise ValueError(f"{name} holds no columns")
    if data.num_rows == 0:
        raise ValueError(f"{name} holds no rows, only the columns {', '.join(data.column_names[:20])}")


def plain_text(data: pa.Table) -> pa.Table:
    """The table with every form of text column that Arrow has (large, view, dictionary) as plain strings."""
    for position, field_ in enumerate(data.schema):
        kind = field_.type.value_type if pa.types.is_dictionary(field_.type) else field_.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if text and not pa.types.is_string(field_.type):
            try:
                column = data.column(position).cast(pa.string())
            except pa.ArrowInvalid:
                continue  # more than 2 GiB of text in one piece
            data = data.set_column(position, field_.name, column)
    return data


def check_names(names: Sequence[str], name: str) -> None:
    """Raise `ValueError` if two columns are called the same."""
    seen: dict[str, int] = {}
    for position, column in enumerate(names, start=1):
        if column in seen:
            raise ValueError(
                f"columns {seen[column]} and {position} of {name} are both called {column!r}; rename one of them "
                "(if line 1 holds data, add a line of column names above it)"
            )
        seen[column] = position


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """`wanted`, with underscores after it while that name is taken."""
    while wanted in taken:
        wanted += "_"
    return wanted


def binary_column(values: Sequence[bytes | None]) -> pa.Array:
    """A column of encoded files; large offsets are used only where 2 GiB of content need them."""
    large = sum(len(value) for value in values if value is not None) >= 2**31
    return pa.array(values, pa.large_binary() if large else pa.binary())
