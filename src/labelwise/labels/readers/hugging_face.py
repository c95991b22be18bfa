"""A folder that Hugging Face `datasets` saved."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from labelwise.labels.readers.source import Source, check_names, check_rows, free_name, plain_text

_PARTS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}


def is_hugging_face(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


def read_hugging_face(folder: Path) -> Source:
    """Read what `save_to_disk` wrote; a dictionary of splits gets a `split` column. Nothing is decoded.

    Raises `ValueError` that names the extra `labelwise[hf]` if `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"{folder} is a Hugging Face data set, and reading it needs the package `datasets`; "
            "install it with `pip install 'labelwise[hf]'`"
        ) from None
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # the package raises whatever the damaged part makes it raise
        raise ValueError(f"{folder} cannot be read by `datasets`: {error}") from None
    parts: dict[str, Any] = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    classes: dict[str, tuple[str, ...]] = {}
    tables = []
    for part in parts.values():
        for name, feature in part.features.items():
            if isinstance(feature, datasets.ClassLabel):
                classes[name] = tuple(feature.names)
            elif isinstance(feature, (datasets.Image, datasets.Audio)):
                part = part.cast_column(name, type(feature)(decode=False))
        tables.append(part.with_format("arrow")[:])
    split = None
    if len(parts) > 1 and all(name.lower() in _PARTS for name in parts):
        split = free_name("split", tables[0].column_names)
        words = [pa.array([_PARTS[name.lower()]] * len(table)) for name, table in zip(parts, tables, strict=True)]
        tables = [table.append_column(split, word) for table, word in zip(tables, words, strict=True)]
    try:
        data = pa.concat_tables([table.replace_schema_metadata() for table in tables], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"the splits of {folder} do not have the same columns: {error}") from None
    check_names(data.column_names, str(folder))
    check_rows(data, str(folder))
    return Source(plain_text(data), str(folder), classes, split=split, folder=folder)
