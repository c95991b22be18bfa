"""What flagged examples look like, and which others are like them, kept so that a report needs no source."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps
from sklearn.neighbors import NearestNeighbors

from labelwise.audit.neighbours import projected
from labelwise.labels import LabelTable
from labelwise.labels.readers.files import wav_bytes
from labelwise.runs import writing

MOST = 2000
NEIGHBOURS = 8

_SIDE = 160  # pixels of the longer side of a thumbnail
_TEXT = 4000
_VALUE = 500
_SECONDS = 10
_RATE = 16_000  # Hz, of samples without a stated rate, as the encoder takes it

_SCHEMA = pa.schema([("example", pa.int64()), ("kind", pa.string()), ("content", pa.binary())])


def write_items(path: Path, table: LabelTable, examples: Sequence[int]) -> None:
    """Write `items.parquet`: `example`, `kind` and `content` of these rows.

    `image`: a PNG of at most 160 pixels a side. `text`: UTF-8. `audio`: WAV, the first 10 s of lists of samples, files
    as they are. `row`: UTF-8 JSON of the columns that hold one value a row. Where the media cannot be read the row is
    shown.
    """
    kept = [(row, *_item(table, row)) for row in examples]
    columns = list(zip(*kept, strict=True)) or [(), (), ()]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    with writing(path) as temporary:
        pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), temporary)


def worst_in_turn(frame: pd.DataFrame) -> Sequence[int]:
    """The rows to keep the looks of: the worst of each kind and task in turn, as scores compare within these only."""
    rank = frame.groupby(["kind", "task"], dropna=False).cumcount()
    rows = frame["example"].loc[rank.sort_values(kind="stable").index]
    return [int(row) for row in rows.drop_duplicates()[:MOST]]


def _item(table: LabelTable, row: int) -> tuple[str, bytes]:
    if table.media is not None:
        name, kind = table.media
        column = table.data[name]
        try:
            content = _MEDIA[kind](column, row, table.data.schema.field(name))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            content = None
        if content:
            return kind, content
    return "row", json.dumps(cells(table, row), ensure_ascii=False, default=str).encode("utf-8", "replace")


def cells(table: LabelTable, row: int) -> dict[str, Any]:
    """What a row holds in the columns of one value a row (no labels, no media), words cut to 500 characters."""
    values: dict[str, Any] = {}
    for name in [*filter(None, [table.id, table.group]), *table.feature_names]:
        kind = table.data.schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            continue
        if isinstance(kind, pa.BaseExtensionType):
            continue
        value = table.data[name][row].as_py()
        values[name] = value[:_VALUE] if isinstance(value, str) else value
    return values


def picture(column: pa.ChunkedArray, row: int, side: int) -> Image.Image | None:
    """The picture in a row of a column of encoded images or of pixels, at most `side` pixels a side; None if missing.

    Raises what Pillow raises for a broken file (`OSError`, `ValueError`, `SyntaxError`, `DecompressionBombError`).
    """
    value = column[row]
    if not value.is_valid:
        return None
    if isinstance(column.type, pa.FixedShapeTensorType):
        pixels = value.to_numpy()
        if pixels.dtype != np.uint8:
            low, high = float(pixels.min()), float(pixels.max())
            pixels = ((pixels - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        found = Image.fromarray(pixels.squeeze(-1) if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
    else:
        found = Image.open(io.BytesIO(value.as_py()))
        found.draft("RGB", (side, side))
        found = ImageOps.exif_transpose(found).convert("RGB")
    found.thumbnail((side, side))
    return found


def _image(column: pa.ChunkedArray, row: int, field: pa.Field) -> bytes | None:
    found = picture(column, row, _SIDE)
    if found is None:
        return None
    buffer = io.BytesIO()
    found.save(buffer, "PNG")
    return buffer.getvalue()


def _text(column: pa.ChunkedArray, row: int, field: pa.Field) -> bytes | None:
    text = column[row].as_py()
    return None if text is None else text[:_TEXT].encode("utf-8", "replace")


def sound(column: pa.ChunkedArray, row: int, field: pa.Field, seconds: int = _SECONDS) -> bytes | None:
    """The sound in a row: a file as it is, of samples the first `seconds` as WAV; None if there is none to hear."""
    value = column[row].as_py()
    if value is None or isinstance(value, bytes):
        return value
    rate = int((field.metadata or {}).get(b"sample_rate", _RATE))
    samples = np.asarray(value[: seconds * rate], np.float64)
    if not len(samples) or not np.isfinite(samples).all():
        return None
    return wav_bytes(samples / max(np.abs(samples).max(), 1e-12), rate)


_MEDIA = {"image": _image, "text": _text, "audio": sound}


def write_neighbours(path: Path, features: np.ndarray, rows: np.ndarray, compared: np.ndarray) -> None:
    """Write `neighbours.parquet`: `example`, and its nearest others, `neighbours`, with their `distances`.

    `features` [n, ...] are compared by Euclidean distance (beyond 512 dimensions in a random projection). `rows` are
    the examples to write, `compared`, bool [n], those that can be one or a neighbour of one; each has the `NEIGHBOURS`
    nearest, nearest first, or as many as there are.
    """
    others = np.flatnonzero(compared)
    rows = np.intersect1d(rows, others)
    k = min(NEIGHBOURS, len(others) - 1)
    near, distances = np.zeros((len(rows), 0), np.int64), np.zeros((len(rows), 0))
    if len(rows) and k > 0:
        points = projected(np.asarray(features).reshape(len(features), -1))
        search = NearestNeighbors(n_neighbors=k + 1).fit(points[others])
        distances, found = search.kneighbors(points[rows])
        # The row itself goes; of more equal ones than were asked for, the last.
        own = others[found] == rows[:, None]
        own[~own.any(axis=1), -1] = True
        near, distances = others[found][~own].reshape(-1, k), distances[~own].reshape(-1, k)
    columns = {
        "example": pa.array(rows, pa.int64()),
        "neighbours": pa.array(list(near), pa.list_(pa.int64())),
        "distances": pa.array(list(distances.astype(np.float32)), pa.list_(pa.float32())),
    }
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
