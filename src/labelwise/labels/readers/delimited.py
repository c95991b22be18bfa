"""CSV, TSV and white-space separated files, with errors that name the line."""

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from labelwise.labels.readers.source import Source, check_names, check_rows, free_name

SUFFIXES = (".csv", ".tsv", ".dat")
_CODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK": "a ZIP archive or spreadsheet", b"\x1f\x8b": "gzip"}
_BLOCK = 2**30  # bytes within which the type of a column is inferred; pyarrow wants less than 2 GiB


def read_delimited(path: Path, text_columns: tuple[str, ...] = ()) -> Source:
    """Read a delimited text file with a header line; `.gz` is unpacked. `text_columns` are kept as they are written.

    UTF-8 alone is taken (with or without byte-order mark). Raises `ValueError` that names the line where a line has
    another number of fields than the header, where bytes are not UTF-8, or where there is no header.
    """
    text = read_text(path)
    delimiter = _delimiter(path, text)
    if delimiter == " ":
        text = re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", text)
        text = re.sub(rb"[ \t]+", b"\t", text)
        delimiter = "\t"
    types = {name: pa.string() for name in text_columns}
    data = parse(path, text, pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True), None, types)
    _check_header(data, path)
    data = _without_index(data, path)
    check_names(data.column_names, str(path))
    check_rows(data, str(path))
    return Source(empty_to_null(data), str(path), folder=path.parent)


def read_text(path: Path) -> bytes:
    """The bytes of a UTF-8 file, unpacked if its name ends in `.gz`, without byte-order mark.

    Raises `ValueError` that names the line and byte which are not UTF-8.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file ({error}); fetch or pack it again") from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise ValueError(f"{path} is empty")
    for start, coding in _CODINGS.items():
        if content.startswith(start):
            raise ValueError(f"{path} is {coding}, not text in UTF-8; save it as UTF-8 CSV")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        begin = content.rfind(b"\n", 0, error.start) + 1
        around = content[max(begin, error.start - 20) : error.start + 20].decode("latin-1").strip()
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at line {line}, byte {error.start - begin + 1} of "
            f"the line (near {around!r}, if it were Latin-1); convert the file, for instance with "
            f"`iconv -f LATIN1 -t UTF-8`"
        ) from None
    return content


def parse(
    path: Path,
    text: bytes,
    options: "pa.csv.ParseOptions",
    names: list[str] | None,
    types: dict[str, pa.DataType],
) -> pa.Table:
    """Parse delimited text whose columns are called `names`, or as the first line says; errors name the line."""
    broken: list[tuple[int, int, int, str]] = []

    def note(row: "pa.csv.InvalidRow") -> str:
        broken.append((row.number, row.expected_columns, row.actual_columns, row.text))
        return "skip"

    options.invalid_row_handler = note
    read = pa.csv.ReadOptions(block_size=min(len(text) + 1, _BLOCK), column_names=names, use_threads=False)
    # NA, null and the like are missing among numbers; in text only an empty field is, which `empty_to_null` sees to.
    convert = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    try:
        data = pa.csv.read_csv(pa.BufferReader(text), read, options, convert)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} cannot be read as a table of text: {error}") from None
    if broken:
        number, expected, actual, shown = broken[0]
        more = f" ({len(broken)} lines have a wrong number)" if len(broken) > 1 else ""
        raise ValueError(
            f"{path} should have {expected} fields in every line, as the first line has; got {actual} in line "
            f"{number}: {shown[:80]!r}{more}; put fields that hold a separator into double quotes"
        )
    _check_quotes(data, path, text)
    return data


def _check_quotes(data: pa.Table, path: Path, text: bytes) -> None:
    """Refuse a quote that is never closed: it would make all lines after it part of one field."""
    if text.count(b'"') % 2 == 0 or not len(data):
        return
    lines = max(str(value).count("\n") for value in data.slice(len(data) - 1).to_pylist()[0].values())
    if lines:
        line = text.rstrip(b"\n").count(b"\n") + 1 - lines + text.endswith(b"\n")
        raise ValueError(f"a double quote in line {line} of {path} is never closed; close it, or double it inside text")


def empty_to_null(data: pa.Table) -> pa.Table:
    """The table with empty text taken as missing."""
    for position, name in enumerate(data.column_names):
        column = data.column(position)
        if pa.types.is_string(column.type) and pc.any(pc.equal(column, "")).as_py():
            kept = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            data = data.set_column(position, name, kept)
    return data


def _delimiter(path: Path, text: bytes) -> str:
    """The separator that the first line uses, outside of quotes."""
    first = re.sub(rb'"[^"]*"', b"", text.split(b"\n", 1)[0])
    if ".tsv" in path.suffixes:
        return "\t"
    if ".dat" in path.suffixes:
        return next((mark.decode() for mark in (b"\t", b",", b";") if mark in first), " ")
    return max(",;\t|", key=lambda mark: first.count(mark.encode()))


def _check_header(data: pa.Table, path: Path) -> None:
    """Refuse a first line that holds data: a number above a column of numbers. 0, 1, 2, ... are names, though."""
    numbers = [
        name
        for name, column in zip(data.column_names, data.columns, strict=True)
        if _is_number(name) and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
    ]
    counted = len(numbers) > 1 and all(name.isdigit() for name in numbers)
    if counted:
        values = np.sort(np.array(numbers, dtype=object).astype(np.int64))
        counted = values[0] in (0, 1) and bool(np.all(np.diff(values) == 1))
    if numbers and not counted:
        position = data.column_names.index(numbers[0]) + 1
        raise ValueError(
            f"{path} has no line of column names: line 1 holds {numbers[0]!r} above the numbers of column {position}; "
            "add a first line of names"
        )


def _without_index(data: pa.Table, path: Path) -> pa.Table:
    """Drop a nameless column that only counts rows, as pandas writes its index; name other nameless columns."""
    names = list(data.column_names)
    for position, name in reversed(list(enumerate(names))):
        if name.strip():
            continue
        column = data.column(position)
        counts = pa.types.is_integer(column.type) and not column.null_count and len(column) > 0
        if counts and np.array_equal(np.asarray(column) - np.asarray(column)[0], np.arange(len(column))):
            data, names = data.remove_column(position), names[:position] + names[position + 1 :]
        else:
            names[position] = free_name(f"column_{position + 1}", names)
    return data.rename_columns(names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")
