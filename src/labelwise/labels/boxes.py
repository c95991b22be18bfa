"""Boxes around things in a picture."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np


class Boxes(NamedTuple):
    """The boxes of one picture, given by people or found by a detector.

    `corners` is float32 [n, 4], x1, y1, x2, y2 in pixels from the top left corner of the picture; `labels` int64 [n],
    class indices from 0; `scores` float32 [n] in [0, 1], how sure the detector is, None for those given by people.
    """

    corners: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    @classmethod
    def none(cls) -> Self:
        """The boxes of an empty picture."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[float], int]]) -> Self:
        """The boxes of a picture from the four corners and the class of each."""
        if not rows:
            return cls.none()
        corners, labels = zip(*rows, strict=True)
        return cls(np.array(corners, np.float32), np.array(labels, np.int64))

    def mirrored(self, width: int) -> Self:
        """The boxes as they are when a picture of this width is flipped from left to right."""
        x1, y1, x2, y2 = self.corners.T
        return self._replace(corners=np.stack([width - x2, y1, width - x1, y2], 1))

    def upside_down(self, height: int) -> Self:
        """The boxes as they are when a picture of this height is flipped from top to bottom."""
        x1, y1, x2, y2 = self.corners.T
        return self._replace(corners=np.stack([x1, height - y2, x2, height - y1], 1))

    def scaled(self, x: float, y: float) -> Self:
        """The boxes as they are when the picture is resized by these factors."""
        return self._replace(corners=self.corners * np.array([x, y, x, y], np.float32))


def overlaps(corners: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each two boxes, `[n, m]` in [0, 1], of corners `[n, 4]` and `[m, 4]`; 0 of no area."""
    low = np.maximum(corners[:, None, :2], others[None, :, :2])
    high = np.minimum(corners[:, None, 2:], others[None, :, 2:])
    inside = (high - low).clip(min=0).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).clip(min=0).prod(-1) for each in (corners, others)]
    union = areas[0][:, None] + areas[1] - inside
    return np.divide(inside, union, out=np.zeros(inside.shape, inside.dtype), where=union > 0)


def check_boxes(boxes: Boxes, width: float, height: float, n_classes: int, where: str) -> None:
    """Raise `ValueError` that names the first bad box, `where` (file and picture), and what is wrong.

    A good one has finite corners with x1 < x2 and y1 < y2, lies within the picture but for a pixel of rounding, and is
    of a class that there is. A picture may be empty.
    """
    corners, labels = boxes.corners, boxes.labels
    if corners.shape != (len(labels), 4):
        raise ValueError(f"{where}: boxes must be [n, 4] with n labels; got {list(corners.shape)} and {len(labels)}")
    x1, y1, x2, y2 = corners.T
    wrong = {
        "its corners must be finite numbers": ~np.isfinite(corners).all(1),
        "its width and height must be above 0": (x2 <= x1) | (y2 <= y1),
        f"it must lie within the picture of {width:g} x {height:g} pixels": (
            (x1 < -1) | (y1 < -1) | (x2 > width + 1) | (y2 > height + 1)
        ),
        f"its class must be in [0, {n_classes})": (labels < 0) | (labels >= n_classes),
    }
    for rule, bad in wrong.items():
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            what = f"{np.round(corners[at], 2).tolist()} of class {labels[at]}"
            raise ValueError(f"{where}, box {at}: {rule}; got x1, y1, x2, y2 = {what}")
