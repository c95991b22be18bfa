"""Pictures as pixels."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import interpolate

from labelwise.labels import LabelTable
from labelwise.models.encoder import (
    Encoded,
    Encoder,
    blocks,
    is_bytes,
    is_tensor,
    known_unreadable,
    media_column,
    tensor_rows,
    threads,
)
from labelwise.models.pictures import decode_picture, picture_facts
from labelwise.progress import progress

_LARGEST_KEPT = 64
_USUAL_SIZE = 48


class PixelEncoder(Encoder):
    """Pictures as [n, channels, height, width], each channel with mean 0 and standard deviation 1 over the fitted rows.

    Takes encoded pictures (JPEG, PNG, ...: whatever Pillow reads, turned as EXIF says) or a tensor column
    [n, height, width] or [n, height, width, channels] of 8-bit numbers (divided by 255) or floats. One channel if all
    pictures fitted to are grey, else three (a tensor keeps its own number). `size` is the side in pixels that all are
    squeezed to; without it, pictures that are all equal and at most 64 pixels keep theirs, and others become 48 × 48.

    A picture that cannot be read is reported as unreadable, and its features are zeros. Files are decoded by a pool of
    threads, 256 at a time: the memory taken is the result (4 bytes × n × channels × height × width) and 256 pictures.
    """

    kind = "pixels"

    def __init__(self, size: int | None = None):
        if size is not None and size < 4:
            raise ValueError(f"size must be at least 4 pixels; got {size}")
        self.size = size
        self._learned: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return {"size": self.size}

    def columns(self, table: LabelTable) -> list[str]:  # noqa: D102
        return [media_column(table, None, "image")]

    def fit(self, table: LabelTable, quiet: bool = True) -> Self:  # noqa: D102
        self.fit_transform(table, quiet)
        return self

    def fit_transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        column = media_column(table, None, "image")
        held = table.data[column]
        if is_bytes(held.type):
            size, channels = self._facts_of_files(held)
        elif is_tensor(held.type) and len(held.type.shape) in (2, 3):
            size = tuple(held.type.shape[:2])
            if self.size is None and max(size) > _LARGEST_KEPT:
                size = (_USUAL_SIZE, _USUAL_SIZE)
            channels = held.type.shape[2] if len(held.type.shape) == 3 else 1
        else:
            raise ValueError(
                f"column {column} of {table.source} must hold encoded pictures or arrays [height, width] or "
                f"[height, width, channels]; it holds {held.type}"
            )
        if self.size is not None:
            size = (self.size, self.size)
        self._learned = {"column": column, "height": size[0], "width": size[1], "channels": channels}
        pixels, unreadable = self._read(table, quiet)
        readable = np.ones(len(table), bool)
        readable[list(unreadable)] = False
        if not readable.any():
            first = f"; row 0: {unreadable[0]}" if unreadable else ""
            raise ValueError(
                f"none of the {len(table)} pictures in column {column} of {table.source} is readable{first}"
            )
        # Unreadable rows are zeros and add nothing to a sum.
        count = readable.sum() * size[0] * size[1]
        mean = pixels.sum(axis=(0, 2, 3), dtype=np.float64) / count
        square = sum(np.square(pixels[rows], dtype=np.float64).sum(axis=(0, 2, 3)) for rows in blocks(len(table)))
        deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
        self._arrays = {
            "mean": mean.astype(np.float32),
            "deviation": np.where(deviation > 1e-6, deviation, 1).astype(np.float32),
        }
        return self._normalise(pixels, unreadable)

    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        if not self._learned:
            raise ValueError("fit the encoder to a table before using it")
        return self._normalise(*self._read(table, quiet))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # noqa: D102
        return {"kind": self.kind, "settings": self.settings(), **self._learned}, dict(self._arrays)

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:  # noqa: D102
        self.size = config["settings"]["size"]
        self._learned = {key: config[key] for key in ("column", "height", "width", "channels")}
        self._arrays = dict(arrays)
        return self

    def _facts_of_files(self, column: pa.ChunkedArray) -> tuple[tuple[int, int], int]:
        """Height and width to use, and number of channels, from the headers of all files."""
        found = [picture_facts(value.as_py()) for value in column if value.is_valid]
        facts = [fact for fact in found if fact is not None]
        sizes = {size for size, _ in facts}
        channels = 1 if all(grey for _, grey in facts) else 3
        if len(sizes) == 1 and max(next(iter(sizes))) <= _LARGEST_KEPT:
            return sizes.pop(), channels
        return (_USUAL_SIZE, _USUAL_SIZE), channels

    def _read(self, table: LabelTable, quiet: bool) -> tuple[np.ndarray, dict[int, str]]:
        """Pixels, mostly in [0, 1], as float32 [n, channels, height, width], and what could not be read."""
        column = media_column(table, self._learned["column"], "image")
        held = table.data[column]
        size = (self._learned["height"], self._learned["width"])
        channels = self._learned["channels"]
        pixels = np.zeros((len(table), channels, *size), np.float32)
        unreadable = known_unreadable(table)
        if is_bytes(held.type):
            with progress("Reading pictures", len(table), quiet) as advance, threads() as pool:
                for rows in blocks(len(table)):
                    files = [None if row in unreadable else held[row].as_py() for row in range(rows.start, rows.stop)]
                    decoded = pool.map(lambda data: decode_picture(data, size, channels), files)
                    for row, picture in enumerate(decoded, rows.start):
                        if isinstance(picture, str):
                            unreadable.setdefault(row, picture)
                        else:
                            pixels[row] = picture
                    advance(len(files))
        elif is_tensor(held.type) and len(held.type.shape) in (2, 3):
            missing = np.asarray(held.is_null())
            arrays = tensor_rows(held)
            for rows in blocks(len(table)):
                pixels[rows] = _resize(_as_channels(arrays[rows], channels), size)
            broken = ~np.isfinite(pixels).all(axis=(1, 2, 3))
            unreadable |= {int(row): "pixels that are not finite" for row in np.flatnonzero(broken & ~missing)}
            unreadable |= {int(row): "no picture" for row in np.flatnonzero(missing)}
            pixels[list(unreadable)] = 0
        else:
            raise ValueError(f"column {column} held pictures when learned from; {table.source} has {held.type} there")
        return pixels, unreadable

    def _normalise(self, pixels: np.ndarray, unreadable: dict[int, str]) -> Encoded:
        pixels -= self._arrays["mean"][:, None, None]
        pixels /= self._arrays["deviation"][:, None, None]
        pixels[list(unreadable)] = 0
        return Encoded(pixels, unreadable)


def _as_channels(arrays: np.ndarray, channels: int) -> np.ndarray:
    """Arrays [n, h, w] or [n, h, w, c] as float32 [n, channels, h, w]; 8-bit numbers are divided by 255."""
    pixels = arrays.astype(np.float32)
    if arrays.dtype == np.uint8:
        pixels /= np.float32(255)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    if pixels.shape[1] == channels:
        return pixels
    if pixels.shape[1] == 1:
        return np.repeat(pixels, channels, axis=1)
    if pixels.shape[1] == 3 and channels == 1:  # ITU-R BT.601, as Pillow turns colours to grey
        return np.einsum("nchw,c->nhw", pixels, np.array([0.299, 0.587, 0.114], np.float32))[:, None]
    raise ValueError(f"pictures must have {channels} channel(s) as those learned from; got {pixels.shape[1]}")


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if pixels.shape[2:] == size:
        return pixels
    tensor = torch.from_numpy(np.ascontiguousarray(pixels))
    return interpolate(tensor, size=size, mode="bilinear", antialias=True).numpy()
