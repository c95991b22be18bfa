"""Large float32 arrays on disk: written slab by slab, whole or not at all; read by mapping."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from labelwise.runs import writing

_NUMBERS = 2**22  # that are held at a time


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the rows of an array [..., n, columns], of which each holds some millions of numbers."""
    n = shape[-2]
    step = max(1, _NUMBERS * n // max(1, math.prod(shape)))
    return (slice(start, start + step) for start in range(0, n, step))


def write(path: Path, shape: tuple[int, ...], slabs: Iterable[np.ndarray]) -> None:
    """Write a .npy file of this shape from consecutive slabs of it, of which only one is in memory at a time.

    Writing goes through the file and not through a mapping: on a full disk that raises `OSError`, where a mapping
    would kill the process.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype("<f4")), "fortran_order": False, "shape": shape}
    with writing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for slab in slabs:
            file.write(np.ascontiguousarray(slab, dtype="<f4").data)


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map a .npy file, read-only. Raises `ValueError` if it is broken or of another shape."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a whole .npy file ({error}); delete it and run the command again") from None
    if array.shape != shape:
        raise ValueError(f"{path} should be of shape {list(shape)} and is {list(array.shape)}; delete it and run again")
    return array
