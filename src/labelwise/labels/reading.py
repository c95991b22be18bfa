"""From any source to a label table."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelwise.labels.classes import to_classes
from labelwise.labels.media import find_media
from labelwise.labels.nearest import nearest
from labelwise.labels.nesting import find_parents, telling_columns
from labelwise.labels.readers import (
    BUNDLED,
    Source,
    check_exists,
    from_arrow,
    from_pandas,
    is_hugging_face,
    is_ostracods,
    read_bundled,
    read_delimited,
    read_hugging_face,
    read_image_folder,
    read_json_lines,
    read_npz,
    read_ostracods,
    read_parquet,
)
from labelwise.labels.table import LabelTable
from labelwise.labels.targets import KINDS, name_and_kind, to_numbers, to_sets, to_shares
from labelwise.labels.task import Kind, Task

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "tst"),
}


def read(
    source: "str | os.PathLike[str] | pd.DataFrame | pa.Table | LabelTable",
    labels: str | Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    id: str | None = None,
    parents: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
) -> LabelTable:
    """Read examples and their labels.

    `source` is a CSV file (.csv, .tsv, .dat, each also .gz) with a line of column names, a Parquet file, a file of JSON
    lines, a folder of images (`class/file.png`), an `.npz` (never unpickled), label files in the Noisy Ostracods format
    (`NAME_{target}_{project}_{phase}.csv`; also the folder, or the name without phase), a folder of Hugging Face
    `datasets`, a bundled name (digits, wine, iris, breast_cancer), a pandas DataFrame, an Arrow table or a
    `LabelTable`. A column that names image or audio files is followed to the files.

    `labels` are the label columns, each a task of one class a row. "NAME=real" is a column of numbers, "NAME=multi" of
    sets of classes (lists of names; text with ";" or "|" between them; vectors of 0 and 1), "NAME=soft" of
    distributions over classes (lists or vectors of numbers; text likewise). Without any, forms that know their labels
    (a folder of images, a bundled name, label files) give those, the others features alone. `group`, `split` and `id`
    name columns, see `LabelTable`. `parents` maps a task to the one whose class follows from it; None finds that out
    (`find_parents`), {} is none. Labels that the source is known to have but that were not asked for are left out, not
    learned from.

    Raises `FileNotFoundError` if the source is missing, and `ValueError` that names file, row, column, value and remedy
    if it is broken or a column cannot play its role.
    """
    named = [name_and_kind(label) for label in ((labels,) if isinstance(labels, str) else labels)]
    labels, kinds = tuple(name for name, _ in named), {name: kind for name, kind in named if kind is not None}
    if isinstance(source, LabelTable):
        if not labels:
            table = replace(source, group=group or source.group, id=id or source.id)
            if split is not None:
                table.check_column(split)
                column = _splits(source.data[split], split, source.source)
                table = replace(table, data=_with_column(source.data, split, column), split=split)
            return table if parents is None else _linked(table, parents)
        found = _from_label_table(source)
        kinds = {task.name: task.kind for task in source.tasks if task.kind in KINDS} | kinds
        group = group or source.group
    else:
        found = _open(source, labels, tuple(filter(None, (group, id))), quiet)
    return _assign(found, labels, kinds, group, split, id, parents, quiet)


def bundled(name: str) -> LabelTable:
    """One of the data sets that come along: digits, wine, iris, breast_cancer."""
    if name not in BUNDLED:
        raise ValueError(f"bundled data sets are {', '.join(BUNDLED)}; got {name!r}{nearest(name, BUNDLED)}")
    return read(name)


def _from_label_table(table: LabelTable) -> Source:
    """A label table as a source of which other columns may be made labels."""
    data = table.data
    singles = [task for task in table.tasks if task.kind == "single"]
    for task in singles:
        data = _with_column(data, task.name, pc.cast(data[task.name], pa.string()))
    return Source(
        data,
        table.source,
        classes={task.name: task.classes for task in table.tasks if task.classes},
        labels=tuple(task.name for task in table.tasks),
        parents={task.name: task.parent for task in singles if task.parent is not None},
        split=table.split,
        id=table.id,
        media=table.media,
        unreadable=table.unreadable,
    )


def _open(source: Any, labels: tuple[str, ...], text_columns: tuple[str, ...], quiet: bool) -> Source:
    """Find the reader for this form of source."""
    if isinstance(source, pa.Table):
        return from_arrow(source)
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return from_pandas(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            f"source must be a path, a bundled name, a DataFrame, an Arrow table or a LabelTable; got {type(source)}"
        )
    if not str(source).strip():
        raise ValueError("source is empty; give a path or a bundled name")
    path = Path(source).expanduser()
    if str(source) in BUNDLED and not path.exists():
        return read_bundled(str(source))
    if is_ostracods(path):
        return read_ostracods(path, labels)
    if not path.exists() and path.name == str(source) and (hint := nearest(str(source), BUNDLED, 0.6)):
        raise FileNotFoundError(f"there is no file or bundled data set {str(source)!r}{hint}")
    check_exists(path)
    if path.is_dir():
        return read_hugging_face(path) if is_hugging_face(path) else read_image_folder(path, quiet)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    match suffix.lower():
        case ".csv" | ".tsv" | ".dat":
            return read_delimited(path, text_columns)
        case ".parquet" | ".pq":
            return read_parquet(path)
        case ".jsonl" | ".ndjson":
            return read_json_lines(path)
        case ".npz":
            return read_npz(path, labels, quiet)
    raise ValueError(
        f"{path} ends in {path.suffix or 'no suffix'!r}; what can be read is .csv, .tsv, .dat, .jsonl (also .gz), "
        ".parquet, .npz, a folder of images or of `datasets`, and the bundled names "
        + ", ".join(BUNDLED)
        + ("; boxes in a COCO .json are for --task boxes" if suffix.lower() == ".json" else "")
    )


def _assign(
    found: Source,
    labels: tuple[str, ...],
    kinds: Mapping[str, str],
    group: str | None,
    split: str | None,
    id: str | None,
    parents: Mapping[str, str] | None,
    quiet: bool,
) -> LabelTable:
    """Give the columns their roles."""
    chosen = labels or found.labels
    data, split, id = found.data, split or found.split, id or found.id
    roles = [*chosen, *filter(None, (group, split, id))]
    for name in roles:
        _check_kind(name, data)
        LabelTable(data, source=found.name).check_column(name)
        if roles.count(name) > 1:
            raise ValueError(f"column {name!r} was given {roles.count(name)} roles; it can be only one of them")
    tasks = []
    for name in chosen:
        names = found.classes.get(name, ())
        if not names and name == _unnamed(found, chosen):
            names = found.class_names
        try:
            column, classes = _to_labels(data[name], kinds.get(name, "single"), name, found.name, names)
        except ValueError:
            if labels:
                raise
            continue  # nobody asked for this label: a folder of one class, to be predicted, has none to speak of
        data = _with_column(data, name, column)
        tasks.append(Task(name, cast(Kind, kinds.get(name, "single")), classes))
    if split is not None:
        data = _with_column(data, split, _splits(data[split], split, found.name))
    used = {*(task.name for task in tasks), group, split, id}
    kept = [name for name in data.column_names if name in used or name not in found.labels]
    found = replace(found, data=data.select(kept), id=id)
    if found.media is None:
        found = find_media(found, exclude=[*chosen, *filter(None, (group, split, id))], quiet=quiet)
    if found.id is not None:
        _check_ids(found.data[found.id], found.id, found.name)
    table = LabelTable(
        found.data, tuple(tasks), group, split, found.id, found.media, found.name, dict(found.unreadable)
    )
    if parents is None:
        known = {child: parent for child, parent in found.parents.items() if {child, parent} <= set(chosen)}
        parents = known or (find_parents(table) if len(table.tasks) > 1 else {})
    table = _linked(table, parents)
    for task, columns in telling_columns(table).items() if table.media is None else ():
        warnings.warn(
            f"{', '.join(columns)} would be learned from, but nearly give the label {task} away: name finer and "
            f"coarser labels as labels too, what belongs together as the group, leave out the rest ({found.name})",
            UserWarning,
            stacklevel=3,
        )
    return table


def _to_labels(
    column: pa.ChunkedArray, kind: str, name: str, source: str, names: Sequence[str]
) -> tuple[pa.Array, tuple[str, ...]]:
    """The column as labels of this kind, and its classes."""
    if kind == "real":
        return to_numbers(column, name, source)
    return {"single": to_classes, "multi": to_sets, "soft": to_shares}[kind](column, name, source, names)


def _check_kind(label: str, data: pa.Table) -> None:
    """Raise `ValueError` for a label whose kind is misspelt, such as "price=reel"."""
    name, mark, kind = label.rpartition("=")
    if mark and label not in data.column_names and name in data.column_names:
        raise ValueError(
            f"the kind of label {name!r} must be one of {', '.join(KINDS)}; got {kind!r}{nearest(kind, KINDS)}"
        )


def _with_column(data: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return data.set_column(data.column_names.index(name), name, column)


def _unnamed(found: Source, labels: Sequence[str]) -> str | None:
    """The label column that the source's one list of class names is about: the only one of integers without its own."""
    without = [name for name in labels if name not in found.classes and pa.types.is_integer(found.data[name].type)]
    return without[0] if len(without) == 1 and found.class_names else None


def _splits(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    """The split column in our three words."""
    words = {word: ours for ours, theirs in _SPLITS.items() for word in theirs}
    text = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(column, pa.string())))
    where = pc.index_in(text, value_set=pa.array(list(words)))
    row = pc.index(where.is_null(), True).as_py()
    if row >= 0:
        raise ValueError(
            f"a split must be train, validation or test; got {column[row].as_py()!r} at row {row} ({source}, "
            f"column {name})"
        )
    return pa.array(list(words.values())).take(where)


def _check_ids(column: pa.ChunkedArray, name: str, source: str) -> None:
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise ValueError(f"every row needs an id; it is missing at row {row} ({source}, column {name})")
    counts = pc.value_counts(column)
    if len(counts) < len(column):
        often = counts[int(np.argmax(counts.field("counts")))].as_py()
        warnings.warn(
            f"ids should differ; {often['values']!r} stands in {often['counts']} rows ({source}, column {name}), so "
            "rows are told apart by their number as well",
            UserWarning,
            stacklevel=2,
        )


def _linked(table: LabelTable, parents: Mapping[str, str]) -> LabelTable:
    """Link tasks to their parents."""
    names = [task.name for task in table.tasks]
    for name in (*parents, *parents.values()):
        if name not in names:
            raise ValueError(
                f"parents must be label columns ({', '.join(names) or 'none were named'}); got {name!r}"
                f"{nearest(name, names)}"
            )
    return table.with_tasks(replace(task, parent=parents.get(task.name)) for task in table.tasks)
