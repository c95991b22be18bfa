"""Parquet files, lines of JSON, and tables that are in memory already."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from labelwise.labels.readers.delimited import read_text
from labelwise.labels.readers.source import Source, check_names, check_rows, plain_text

if TYPE_CHECKING:
    import pandas as pd

PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson")


def read_parquet(path: Path) -> Source:
    """Read a Parquet file; class names that Hugging Face `datasets` left in it are used."""
    try:
        data = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from None
    return from_arrow(data, str(path), path.parent)


def read_json_lines(path: Path) -> Source:
    """Read a file with one JSON object a line, all with the same keys."""
    text = read_text(path)
    options = pa.json.ReadOptions(block_size=min(len(text) + 1, 2**30))
    try:
        data = pa.json.read_json(pa.BufferReader(text), options)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} cannot be read as one JSON object a line: {error}") from None
    return from_arrow(data, str(path), path.parent)


def from_pandas(frame: "pd.DataFrame", name: str = "data frame") -> Source:
    """Take the columns of a pandas DataFrame; a named index becomes a column."""
    unnamed = [str(column) for column in frame.columns]
    check_names(unnamed, name)
    index = list(frame.index.names) != [None]
    try:
        data = pa.Table.from_pandas(frame.set_axis(unnamed, axis=1), preserve_index=index)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"a column of the {name} mixes kinds of values: {'; '.join(map(str, error.args))}") from None
    return from_arrow(data, name)


def from_arrow(data: pa.Table, name: str = "table", folder: Path | None = None) -> Source:
    """Take the columns of an Arrow table, and the class names in its Hugging Face metadata if it has some."""
    check_names(data.column_names, name)
    check_rows(data, name)
    classes = _hugging_face_classes(data.schema.metadata)
    return Source(plain_text(data).replace_schema_metadata(), name, classes=classes, folder=folder)


def _hugging_face_classes(metadata: dict[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    try:
        features: dict[str, Any] = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: tuple(feature["names"])
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError):
        return {}  # written by something else, or by a version with another layout: then integers stay the names
