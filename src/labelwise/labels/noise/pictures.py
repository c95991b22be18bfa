"""Pictures as numbers for noise to depend on, and pictures spoiled."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa

from labelwise.labels.table import LabelTable

_SIDE = 16  # pixels, of the thumbnails that encoded images are compared by


def spoil(pictures: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Ruin pictures (uint8 [n, h, w] or [n, h, w, channels]) so that none supports a label; hands back a copy.

    Each is, equally likely, replaced by noise, left blank (one grey value, with a little noise), or covered with a
    rectangle of one grey value over at least 85 % of its area.
    """
    spoiled = pictures.copy()
    ways = generator.integers(0, 3, len(pictures))
    for picture, way in zip(spoiled, ways, strict=True):
        height, width = picture.shape[:2]
        grey = int(generator.integers(0, 256))
        if way == 0:
            picture[:] = generator.integers(0, 256, picture.shape)
        elif way == 1:
            picture[:] = np.clip(grey + generator.normal(0, 4, picture.shape).round(), 0, 255)
        else:
            covered = generator.uniform(0.85, 0.95)
            rows = int(np.ceil(height * generator.uniform(covered, 1)))
            columns = int(np.ceil(covered * height * width / rows))
            top, left = generator.integers(0, height - rows + 1), generator.integers(0, max(1, width - columns + 1))
            picture[top : top + rows, left : left + columns] = grey
    return spoiled


def spoil_rows(table: LabelTable, rows: np.ndarray, generator: np.random.Generator) -> LabelTable:
    """The table with the images of `rows` spoiled (encoded ones become PNG).

    Raises `ValueError` if the table's medium is not images.
    """
    if table.media is None or table.media[1] != "image":
        raise ValueError(f"{table.source} has no images to spoil; leave out `spoil`")
    name = table.media[0]
    column = table.data[name].combine_chunks()
    if isinstance(column, pa.FixedShapeTensorArray):
        pictures = column.to_numpy_ndarray().copy()
        pictures[rows] = spoil(pictures[rows], generator)
        spoiled = pa.FixedShapeTensorArray.from_numpy_ndarray(pictures)
    else:
        spoiled = pa.array(_spoiled_files(column.to_pylist(), rows, generator), column.type)
    return replace(table, data=table.data.set_column(table.data.column_names.index(name), name, spoiled))


def _spoiled_files(contents: list[bytes], rows: np.ndarray, generator: np.random.Generator) -> list[bytes]:
    from PIL import Image

    for row in rows:
        with Image.open(io.BytesIO(contents[row])) as image:
            picture = np.asarray(image.convert("RGB"))
        file = io.BytesIO()
        Image.fromarray(spoil(picture[None], generator)[0]).save(file, "PNG")
        contents[row] = file.getvalue()
    return contents


def feature_matrix(table: LabelTable) -> np.ndarray | None:
    """Features as numbers, float64 [n, d]: pictures (encoded ones as grey thumbnails), else number and vector columns.

    Missing numbers become the mean of their column, unreadable images zeros. None if there is no such feature.
    """
    if table.media is not None and table.media[1] == "image":
        column = table.data[table.media[0]].combine_chunks()
        if isinstance(column, pa.FixedShapeTensorArray):
            return column.to_numpy_ndarray().reshape(len(table), -1).astype(np.float64)
        return np.stack([_thumbnail(None if i in table.unreadable else content) for i, content in _contents(table)])
    parts = []
    for name in table.feature_names:
        column = table.data[name].combine_chunks()
        if isinstance(column, pa.FixedShapeTensorArray):
            parts.append(column.to_numpy_ndarray().reshape(len(table), -1).astype(np.float64))
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
            known = np.isfinite(numbers)
            numbers[~known] = numbers[known].mean() if known.any() else 0.0
            parts.append(numbers[:, None])
    return np.concatenate(parts, axis=1) if parts else None


def _contents(table: LabelTable) -> list[tuple[int, bytes | None]]:
    assert table.media is not None
    return list(enumerate(table.data[table.media[0]].to_pylist()))


def _thumbnail(content: bytes | None) -> np.ndarray:
    from PIL import Image

    if content is None:
        return np.zeros(_SIDE * _SIDE)
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L").resize((_SIDE, _SIDE)), np.float64).ravel()
