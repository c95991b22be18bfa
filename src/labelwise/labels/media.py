"""Which one column is learned from: images, sounds or text, told by its content."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelwise.labels.readers.files import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    Medium,
    check_contents,
    read_files,
    sniff,
)
from labelwise.labels.readers.source import Source, binary_column, free_name
from labelwise.labels.table import LabelTable

_LOOKED_AT = 2000  # rows that are looked at to tell what a column holds


def find_media(source: Source, exclude: Sequence[str], quiet: bool) -> Source:
    """Name the column to learn from, and read the files that it names.

    Images come first, then sounds, then the longest text (columns of text, mostly different, of more than five words
    on average). Columns named in `exclude` are left alone. Files are looked for relative to the folder of the source;
    their bytes go into a column `image` or `audio`, and the paths become the id if there is none. A missing or broken
    file goes into `unreadable`, and the rest goes on.
    """
    named: dict[Medium, str] = {}
    held: dict[Medium, str] = {}
    for name in source.data.column_names:
        if name in exclude and name != source.id:
            continue
        column = source.data[name]
        kind = _held_kind(column)
        if kind and name not in exclude:
            held.setdefault(kind, name)
        elif (kind := _named_kind(column)) is not None:
            named.setdefault(kind, name)
    for medium in ("image", "audio"):
        if medium in held:
            return _with_contents(source, held[medium], medium, quiet)
        if medium in named:
            found = _with_files(source, named[medium], medium, quiet)
            if found.media is not None:
                return found
            source = found
    text = _text_column(source.data, [*exclude, *filter(None, [source.id])])
    return replace(source, media=(text, "text")) if text else source


def find_medium(table: LabelTable) -> LabelTable:
    """The table with its medium named, if its one feature column holds encoded pictures, recordings, or text.

    Text are strings that are mostly different; other tables stay as they are.
    """
    names = table.feature_names
    if table.media is not None or len(names) != 1:
        return table
    column = table.data[names[0]]
    kind: str | None = _held_kind(column)
    if kind is None and pa.types.is_string(column.type) and _mostly_different(_some(column)):
        kind = "text"
    return table if kind is None else replace(table, media=(names[0], kind))


def _mostly_different(values: pa.ChunkedArray) -> bool:
    return len(values) > 0 and pc.count_distinct(values).as_py() >= len(values) / 2


def _some(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values to look at, from all over the column, without the missing ones."""
    step = max(1, len(column) // _LOOKED_AT)
    return column.take(pa.array(np.arange(0, len(column), step)[:_LOOKED_AT])).drop_null()


def _held_kind(column: pa.ChunkedArray) -> Medium | None:
    """Whether a column holds encoded files: as bytes, or with their paths as Hugging Face `datasets` keeps them."""
    if pa.types.is_struct(column.type):
        names = {field.name for field in column.type}
        if not {"bytes", "path"} <= names:
            return None
        paths = _some(pc.struct_field(column, "path"))
        if len(paths) and (kind := _named_kind(paths)) is not None:
            return kind
        column = pc.struct_field(column, "bytes")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return next(filter(None, (sniff(value.as_py()[:16]) for value in _some(column[:200]))), None)
    return None


def _named_kind(column: pa.ChunkedArray) -> Medium | None:
    """Whether nearly all values of a text column end as names of image or audio files do."""
    if not pa.types.is_string(column.type):
        return None
    values = _some(column)
    if not len(values):
        return None
    lower = pc.utf8_lower(values)
    kinds: tuple[tuple[Medium, tuple[str, ...]], ...] = (("image", IMAGE_SUFFIXES), ("audio", AUDIO_SUFFIXES))
    for kind, suffixes in kinds:
        pattern = "(" + "|".join(suffix.replace(".", r"\.") for suffix in suffixes) + ")$"
        if pc.mean(pc.cast(pc.match_substring_regex(lower, pattern), pa.float64())).as_py() >= 0.9:
            return kind
    return None


def _with_contents(source: Source, name: str, medium: Medium, quiet: bool) -> Source:
    column = source.data[name]
    if pa.types.is_struct(column.type):
        folder = source.folder or Path()
        contents = list(_contents(column, folder))
        column = pa.chunked_array([binary_column(contents)])
    else:
        contents = column.to_pylist()
    unreadable = check_contents(contents, medium, quiet)
    data = source.data.set_column(source.data.column_names.index(name), name, column)
    return replace(source, data=data, media=(name, medium), unreadable={**source.unreadable, **unreadable})


def _contents(column: pa.ChunkedArray, folder: Path) -> Iterator[bytes | None]:
    for value in column:
        given = value.as_py() or {}
        content, path = given.get("bytes"), given.get("path")
        if content is None and path and (folder / path).is_file():
            content = (folder / path).read_bytes()
        yield content


def _with_files(source: Source, name: str, medium: Medium, quiet: bool) -> Source:
    folder = source.folder or Path()
    column = source.data[name]
    some = _some(column)[:200].to_pylist()
    present = sum((folder / path.strip()).is_file() for path in some)
    if source.id is None and not column.null_count and pc.count_distinct(column).as_py() == len(column):
        source = replace(source, id=name)
    if present < len(some) / 2:
        warnings.warn(
            f"column {name} names {medium} files, but {some[0]!r} and others are not under {folder.resolve()}; "
            f"they are not learned from ({source.name})",
            UserWarning,
            stacklevel=2,
        )
        return source
    paths = [folder / path.strip() if path is not None else None for path in column.to_pylist()]
    contents, unreadable = read_files(paths, medium, quiet)
    content_name = free_name(medium, source.data.column_names)
    data = source.data.append_column(content_name, binary_column(contents))
    return replace(source, data=data, media=(content_name, medium), unreadable={**source.unreadable, **unreadable})


def _text_column(data: pa.Table, exclude: Sequence[str]) -> str | None:
    lengths: dict[str, float] = {}
    for name in data.column_names:
        column = data[name]
        if name in exclude or not pa.types.is_string(column.type):
            continue
        values = _some(column)
        if not _mostly_different(values):
            continue
        words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(values)))
        if (mean := pc.mean(words).as_py()) > 5:
            lengths[name] = mean
    return max(lengths, key=lambda name: lengths[name]) if lengths else None
