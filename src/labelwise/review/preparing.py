"""What a review needs beside its database: the items themselves, read once from their source and kept to be looked at.

The server runs this in a process of its own.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from labelwise import runs
from labelwise.audit.items import cells, picture, sound
from labelwise.audit.reopen import examples, finished
from labelwise.labels import LabelTable
from labelwise.labels.nesting import parent_classes
from labelwise.progress import progress
from labelwise.review.content import CONTENT, SCHEMA, fingerprint, is_kept
from labelwise.review.database import open_database
from labelwise.review.filling import SAMPLE, fill
from labelwise.review.words import telling_words
from labelwise.runs import RunFolder, writing

SIDE = 1024  # pixels of the longer side of a picture
THUMBNAIL = 192
SECONDS = 60  # of samples; sound files are kept whole
TEXT = 100_000  # characters

_LOSSLESS = 256  # pixels of the longer side up to which a picture is kept as PNG
_BATCH = 256  # items that are held at once

Item = dict[str, Any]


def write_contents(run: str | PathLike[str], rows: Sequence[int], *, quiet: bool = False) -> Path:
    """Write `content.arrow`: all that can be shown of the examples `rows` and of their nearest others.

    The source is read again, for pictures larger than the thumbnails of the audit; if it is gone or has changed, what
    the audit kept must do, and the file says so (`Contents.note`). A file that was written from the source for the same
    rows stays. Raises `ValueError` if the run is not finished.
    """
    folder, labels = finished(run)
    path = folder / CONTENT
    if is_kept(folder, rows):
        return path
    near = _neighbours(folder, rows)
    wanted = np.unique(np.concatenate([np.asarray(rows, np.int64), *(others for others, _ in near.values())]))
    note, words = "", {}
    try:
        table = examples(run, quiet=quiet)
        look, words = _from_source(table), _words(table)
    except (ValueError, OSError, ImportError) as error:
        note = (
            f"The source could not be read again, so only the small pictures and clipped texts that the audit kept of "
            f"its worst findings are shown ({error})."
        )
        look = _from_audit(folder)
    facts = {"fingerprint": fingerprint(folder, rows), "note": note, "tree": _tree(labels), "words": words}
    keys = labels.ids
    given = {task.name: _labels(folder, task.name) for task in labels.tasks}

    def whole(row: int) -> Item:
        others, distances = near.get(row, ((), ()))
        own = {task: column[row].as_py() for task, column in given.items()}
        return {
            "example": row,
            "key": str(keys[row]),
            "labels": json.dumps(own, ensure_ascii=False),
            "neighbours": others,
            "distances": distances,
        } | look(row)

    schema = SCHEMA.with_metadata({"review": json.dumps(facts, ensure_ascii=False)})
    with writing(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in _batches(whole, wanted, quiet):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
    return path


def _batches(whole: Callable[[int], Item], rows: np.ndarray, quiet: bool) -> Iterator[list[Item]]:
    with (
        progress("Preparing the items", len(rows), quiet or len(rows) < 500) as advance,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,  # decoders of pictures let go of the lock
    ):
        for start in range(0, len(rows), _BATCH):
            yield list(pool.map(whole, rows[start : start + _BATCH].tolist()))
            advance(min(_BATCH, len(rows) - start))


def _neighbours(folder: RunFolder, rows: Sequence[int]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    path = folder / "neighbours.parquet"
    if not path.is_file():  # an audit without features, or by an older version
        return {}
    table = pq.read_table(path, filters=[("example", "in", list(rows))])
    columns = (table[name].to_pylist() for name in ("example", "neighbours", "distances"))
    return {row: (np.array(others, np.int64), np.array(apart)) for row, others, apart in zip(*columns, strict=True)}


def _tree(labels: LabelTable) -> dict[str, dict[str, str]]:
    """The parent's class above each class of each task that has a parent."""
    tree = {}
    for task in labels.tasks:
        if task.parent is None:
            continue
        above = labels.task(task.parent).classes
        codes = parent_classes(labels, task)
        tree[task.name] = {name: above[code] for name, code in zip(task.classes, codes, strict=True) if code >= 0}
    return tree


def _words(table: LabelTable) -> dict[str, dict[str, list[str]]]:
    """The words that speak for each class of each task, if the examples are texts."""
    if table.media is None or table.media[1] != "text":
        return {}
    texts = table.data[table.media[0]].to_pylist()
    return {task.name: telling_words(texts, table.data[task.name].to_pylist()) for task in table.tasks}


def _labels(folder: RunFolder, task: str) -> pa.ChunkedArray:
    return pq.read_table(folder / runs.LABELS, columns=[task])[task]


def _from_source(table: LabelTable) -> Callable[[int], Item]:
    def look(row: int) -> Item:
        held = cells(table, row)
        shown: Item = {}
        if table.media is not None:
            name, kind = table.media
            held.pop(name, None)
            try:
                shown = _MEDIA[kind](table.data[name], row, table.data.schema.field(name))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                shown = {}
        return {"kind": "row", "cells": json.dumps(held, ensure_ascii=False, default=str)} | shown

    return look


def _from_audit(folder: RunFolder) -> Callable[[int], Item]:
    path = folder / "items.parquet"
    table = pq.read_table(path) if path.is_file() else pa.table({"example": [], "kind": [], "content": []})
    place = {row: at for at, row in enumerate(table["example"].to_pylist())}

    def look(row: int) -> Item:
        if row not in place:
            return {"kind": "none"}
        kind, content = (table[name][place[row]].as_py() for name in ("kind", "content"))
        if kind == "row":
            return {"kind": kind, "cells": content.decode()}
        if kind != "image":
            return {"kind": kind, "content": content}
        with Image.open(io.BytesIO(content), formats=["PNG"]) as small:
            return {"kind": kind, "content": content, "width": small.width, "height": small.height}

    return look


def _image(column: pa.ChunkedArray, row: int, field: pa.Field) -> Item:
    large = picture(column, row, SIDE)
    if large is None:
        return {}
    shown = {"kind": "image", "content": _encoded(large), "width": large.width, "height": large.height}
    if max(large.size) > THUMBNAIL:
        large.thumbnail((THUMBNAIL, THUMBNAIL))
        shown["thumbnail"] = _encoded(large)
    return shown


def _encoded(image: Image.Image) -> bytes:
    # Anew in any case: what a camera wrote beside the picture (places, names) is nobody's business here.
    buffer = io.BytesIO()
    if max(image.size) <= _LOSSLESS:
        image.save(buffer, "PNG")
    else:
        image.convert("RGB").save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _text(column: pa.ChunkedArray, row: int, field: pa.Field) -> Item:
    text = column[row].as_py()
    return {} if text is None else {"kind": "text", "content": text[:TEXT].encode("utf-8", "replace")}


def _audio(column: pa.ChunkedArray, row: int, field: pa.Field) -> Item:
    heard = sound(column, row, field, SECONDS)
    return {"kind": "audio", "content": heard} if heard else {}


_MEDIA: Mapping[str, Callable[[pa.ChunkedArray, int, pa.Field], Item]] = {
    "image": _image,
    "text": _text,
    "audio": _audio,
}


def prepare(
    run: str | PathLike[str],
    url: str | None = None,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Make a run ready to be reviewed: its database filled, its items kept; what is there already stays.

    See `database.open_database` for `url`, `filling.fill` for `sample` and `seed`. Raises as these do.
    """
    with open_database(run, url) as database:
        fill(database, sample=sample, seed=seed)
        rows = database.items()
    write_contents(run, rows, quiet=quiet)
