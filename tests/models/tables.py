"""Small tables that the tests of encoders share."""

import io

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.io import wavfile

from labelwise.labels import LabelTable


def tensors(array: np.ndarray, mask: np.ndarray | None = None) -> pa.Array:
    """A fixed-shape tensor column of the array's rows; those in `mask` are null."""
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))
    if mask is None:
        return column
    storage = pa.FixedSizeListArray.from_arrays(
        column.storage.flatten(), type=column.type.storage_type, mask=pa.array(mask)
    )
    return pa.ExtensionArray.from_storage(column.type, storage)


def table(media: tuple[str, str] | None = None, source: str = "birds.csv", **columns: object) -> LabelTable:
    """A table of feature columns alone."""
    arrays = {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    return LabelTable(pa.table(arrays), media=media, source=source)


def picture(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    """The file of a picture [h, w] or [h, w, 3 or 4] of 8-bit numbers."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def photos(files: list[bytes | None], **roles: object) -> LabelTable:
    """A table with one column of encoded pictures."""
    return LabelTable(
        pa.table({"photo": pa.array(files, pa.binary())}), media=("photo", "image"), source="photos", **roles
    )


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    """The file of a recording."""
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def tone(frequency: float, seconds: float = 0.5, rate: int = 8000) -> np.ndarray:
    """A sine of half the full scale, as floats."""
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def recordings(files: list[bytes | None]) -> LabelTable:
    """A table with one column of WAV files."""
    return LabelTable(pa.table({"call": pa.array(files, pa.binary())}), media=("call", "audio"), source="calls.parquet")
