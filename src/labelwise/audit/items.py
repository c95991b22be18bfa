"""What flagged examples look like, kept beside the findings so that a report needs no source."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from labelwise.labels import LabelTable
from labelwise.labels.readers.files import wav_bytes
from labelwise.runs import writing

MOST = 2000

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
    return "row", _row(table, row)


def _row(table: LabelTable, row: int) -> bytes:
    values: dict[str, Any] = {}
    for name in [*filter(None, [table.id, table.group]), *table.feature_names]:
        kind = table.data.schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            continue
        if isinstance(kind, pa.BaseExtensionType):
            continue
        value = table.data[name][row].as_py()
        values[name] = value[:_VALUE] if isinstance(value, str) else value
    return json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "replace")


def _image(column: pa.ChunkedArray, row: int, field: pa.Field) -> bytes | None:
    value = column[row]
    if not value.is_valid:
        return None
    if isinstance(column.type, pa.FixedShapeTensorType):
        pixels = value.to_numpy()
        if pixels.dtype != np.uint8:
            low, high = float(pixels.min()), float(pixels.max())
            pixels = ((pixels - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
    else:
        picture = Image.open(io.BytesIO(value.as_py()))
        picture.draft("RGB", (_SIDE, _SIDE))
        picture = picture.convert("RGB")
    picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _text(column: pa.ChunkedArray, row: int, field: pa.Field) -> bytes | None:
    text = column[row].as_py()
    return None if text is None else text[:_TEXT].encode("utf-8", "replace")


def _audio(column: pa.ChunkedArray, row: int, field: pa.Field) -> bytes | None:
    value = column[row].as_py()
    if value is None or isinstance(value, bytes):
        return value
    rate = int((field.metadata or {}).get(b"sample_rate", _RATE))
    samples = np.asarray(value[: _SECONDS * rate], np.float64)
    if not len(samples) or not np.isfinite(samples).all():
        return None
    return wav_bytes(samples / max(np.abs(samples).max(), 1e-12), rate)


_MEDIA = {"image": _image, "text": _text, "audio": _audio}
