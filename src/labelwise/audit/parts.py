"""What a long computation has finished so far, so that it can go on after a stop."""

import shutil
from pathlib import Path

import numpy as np

from labelwise.audit import arrays

Part = tuple[int, int, int]


class Parts:
    """Arrays by three numbers, kept in memory, or in a folder, each in a file that is whole or not there.

    `key` stands for everything that the arrays depend on; files of another key are not seen.
    """

    def __init__(self, folder: Path | None, key: str):
        self._folder = folder
        self._key = key
        self._kept: dict[Part, np.ndarray] = {}

    def __contains__(self, part: Part) -> bool:
        return part in self._kept if self._folder is None else self._path(part).exists()

    def __getitem__(self, part: Part) -> np.ndarray:
        if self._folder is None:
            return self._kept[part]
        array: np.ndarray = np.load(self._path(part), mmap_mode="r", allow_pickle=False)
        return array

    def __setitem__(self, part: Part, array: np.ndarray) -> None:
        if self._folder is None:
            self._kept[part] = array
        else:
            arrays.write(self._path(part), array.shape, [array])

    def remove(self) -> None:
        """Forget all parts, of any key."""
        self._kept.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, part: Part) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._key}-{'-'.join(map(str, part))}.npy"
