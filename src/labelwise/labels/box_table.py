"""Pictures, and the boxes that people drew in them."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from labelwise.labels.boxes import Boxes, check_boxes
from labelwise.labels.splits import folds, split
from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task


@dataclass(frozen=True)
class BoxTable:
    """n pictures with their boxes.

    `names` [n] identify them; `images` [n] are encoded files, as bytes; `boxes` [n] their boxes, in pixels; `classes`
    the names of the classes, by index; `split` [n] is "train", "validation" or "test", or "" for none; `source` is used
    in messages. Raises `ValueError` that names the picture and the box if one is not good, see `check_boxes`.
    """

    names: Sequence[str]
    images: Sequence[bytes]
    boxes: Sequence[Boxes]
    classes: tuple[str, ...]
    split: Sequence[str]
    source: str = "table"

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.images), len(self.boxes), len(self.split)}
        if len(lengths) > 1 or not len(self.names):
            raise ValueError(f"{self.source} must hold as many names, images, boxes and splits, and a picture at least")
        for name, size, boxes in zip(self.names, self.sizes(), self.boxes, strict=True):
            check_boxes(boxes, *size, len(self.classes), f"{self.source}, picture {name}")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        count = sum(len(boxes.labels) for boxes in self.boxes)
        return f"BoxTable({self.source}: {len(self)} pictures, {count} boxes of {len(self.classes)} classes)"

    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each picture in pixels, by its header. Raises `ValueError` for what is no picture."""
        found = []
        for name, content in zip(self.names, self.images, strict=True):
            try:
                with Image.open(io.BytesIO(content)) as image:
                    found.append(image.size)
            except OSError:
                raise ValueError(f"{self.source}, picture {name}: no known image format; mend or remove it") from None
        return found

    def select(self, rows: Sequence[int] | np.ndarray) -> "BoxTable":
        """These pictures, in this order."""
        parts = [[values[row] for row in rows] for values in (self.names, self.images, self.boxes, self.split)]
        names, images, boxes, split = parts
        return BoxTable(names, images, boxes, self.classes, split, self.source)  # type: ignore[arg-type]

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split."""
        return np.flatnonzero(np.asarray(self.split, object) == split)

    def pixels(self, size: tuple[int, int]) -> tuple[np.ndarray, list[Boxes]]:
        """All pictures squeezed to `size`, height and width, as uint8 [n, 3, height, width], and their boxes there."""
        height, width = size
        arrays, boxes = [], []
        for content, own in zip(self.images, self.boxes, strict=True):
            with Image.open(io.BytesIO(content)) as image:
                scale = width / image.width, height / image.height
                small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
            arrays.append(np.asarray(small).transpose(2, 0, 1))
            boxes.append(own.scaled(*scale))
        return np.stack(arrays), boxes

    def parts(self, seed: int = 0) -> np.ndarray:
        """The part of each picture: "train", "validation", "test", or "" for none.

        The split as it is given; without any, pictures are dealt by `labels.split`, those with a rare class evenly, and
        where validation alone is missing, it is taken from train.
        """
        given = np.asarray(self.split, object)
        inside = np.flatnonzero(given != "") if (given != "").any() else np.arange(len(self))
        dealt = given.copy()
        dealt[inside] = split(self._by_rarest(inside), seed=seed)
        return dealt

    def folds(self, n: int, seed: int = 0) -> np.ndarray:
        """The fold of each picture in [0, n), int64; pictures with a rare class are dealt evenly."""
        return folds(self._by_rarest(np.arange(len(self))), "rarest", n, seed)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on pictures, boxes, classes and split."""
        digest = hashlib.sha256(repr((self.classes, list(self.names), list(self.split))).encode())
        for image, boxes in zip(self.images, self.boxes, strict=True):
            digest.update(hashlib.sha256(image).digest())
            digest.update(np.asarray(boxes.corners, "<f4").tobytes() + np.asarray(boxes.labels, "<i8").tobytes())
        return digest.hexdigest()[:16]

    def _by_rarest(self, rows: np.ndarray) -> LabelTable:
        """These pictures, labelled by the rarest class in each, with their split if they have one."""
        counts = np.bincount(np.concatenate([boxes.labels for boxes in self.boxes]), minlength=len(self.classes))
        rarest = [
            self.classes[min(labels.tolist(), key=lambda label: (counts[label], label))] if len(labels) else None
            for labels in (self.boxes[row].labels for row in rows)
        ]
        columns = {"rarest": pa.array(rarest, pa.string())}
        given = [self.split[row] for row in rows]
        if all(given):
            columns["split"] = pa.array(given)
        task = Task("rarest", classes=tuple(dict.fromkeys(self.classes)))
        return LabelTable(pa.table(columns), (task,), split="split" if all(given) else None, source=self.source)
