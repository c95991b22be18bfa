"""A folder of images, one folder a class."""

import os
import warnings
from pathlib import Path

import pyarrow as pa

from labelwise.labels.readers.files import IMAGE_SUFFIXES, read_files
from labelwise.labels.readers.source import Source, binary_column

_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


def read_image_folder(folder: Path, quiet: bool) -> Source:
    """Read `class/file.png`; columns `path` (the id), `label` and `image` (the encoded bytes).

    The label is the folder of the file relative to `folder`, so that nested folders give "a/b"; where the outermost
    folders are called train, val, test and hold folders in turn, they give a `split` column instead. Images that lie in
    no class folder have no label. An image that cannot be decoded is kept, with the reason in `unreadable`. Files of
    other kinds are left out with a warning.
    """
    paths, others = _walk(folder)
    if not paths:
        raise ValueError(
            f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)})"
            + (f", only {others} other files" if others else "")
            + "; a folder is read as images in one folder a class (class/file.png)"
        )
    if others:
        warnings.warn(f"left out of {folder}: {others} files that are not images", UserWarning, stacklevel=2)
    parts = [path.parts for path in paths]
    columns: dict[str, pa.Array] = {"path": pa.array([path.as_posix() for path in paths])}
    split = None
    if all(len(part) > 2 and part[0].lower() in _SPLITS for part in parts):
        split = "split"
        columns[split] = pa.array([part[0] for part in parts])
        parts = [part[1:] for part in parts]
    names = ["/".join(part[:-1]) or None for part in parts]
    labelled = any(name is not None for name in names)
    if labelled:
        columns["label"] = pa.array(names, pa.string())
    contents, unreadable = read_files([folder / path for path in paths], "image", quiet)
    columns["image"] = binary_column(contents)
    return Source(
        pa.table(columns),
        str(folder),
        labels=("label",) if labelled else (),
        split=split,
        id="path",
        media=("image", "image"),
        unreadable=unreadable,
    )


def _walk(folder: Path) -> tuple[list[Path], int]:
    """Images by relative path in order, and the number of other files; hidden files do not count."""
    paths, others = [], 0
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            if name.lower().endswith(IMAGE_SUFFIXES):
                paths.append(Path(place, name).relative_to(folder))
            else:
                others += 1
    return sorted(paths), others
