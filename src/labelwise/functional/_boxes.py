"""Boxes as pictures."""

from typing import Literal

import torch
from torch import Tensor

_DARKEST = 50  # the least shade of a class, so that none is taken for background


def boxes_to_mask(
    boxes: Tensor,
    labels: Tensor,
    size: tuple[int, int],
    n_classes: int,
    encoding: Literal["binary", "class_shade"] = "class_shade",
    outline: int = 7,
) -> Tensor:
    """Draw boxes as one channel that a detector can be given beside the picture.

    A box is filled with its shade, and so is a rim of `outline // 2` pixels around it, with round corners; where boxes
    overlap, the later one is seen. Background is 0. What lies outside the picture is cut off.

    Args:
        boxes: `[n, 4]`, x1, y1, x2, y2 in pixels; as in the source, the corner and the size are rounded down.
        labels: int64 `[n]`, classes from 0.
        size: height and width of the picture in pixels.
        n_classes: number of classes, without background.
        encoding: "binary", every box is 255; "class_shade", class k is `max(50, 255 - (k + 1) int(200 / (n + 1)))`,
            as many shades as there are classes up to 199.
        outline: thickness in pixels of the line along the edge, >= 0. A box of less than a pixel has only this.

    Returns:
        uint8 `[1, height, width]`.

    Raises `ValueError` for boxes or labels of another shape, a class out of range, an unknown encoding.

    Source: Bartolo et al., "Learning Using Privileged Information for Litter Detection" (2025). There the rim is a
    pixel wider to the right and below; here it is even, so that a mirrored picture has the mirrored mask.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != boxes.shape[:1]:
        raise ValueError(f"boxes must be [n, 4] and labels [n]; got {list(boxes.shape)} and {list(labels.shape)}")
    outside = (labels < 0) | (labels >= n_classes)
    if outside.any():
        raise ValueError(f"labels must be in [0, {n_classes}); got {int(labels[outside][0])}")
    shades = torch.full_like(labels, 255)
    if encoding == "class_shade":
        shades = (255 - (labels + 1) * (200 // (n_classes + 1))).clamp(min=_DARKEST)
    elif encoding != "binary":
        raise ValueError(f"encoding must be binary or class_shade; got {encoding!r}")
    height, width = size
    mask = torch.zeros(1, height, width, dtype=torch.uint8, device=boxes.device)
    corners, spans = boxes[:, :2].long(), (boxes[:, 2:] - boxes[:, :2]).long()
    rim = outline // 2
    # One after another, since each paints over those before it, and only where it lies.
    for (x, y), (w, h), shade in zip(corners.tolist(), spans.tolist(), shades.tolist(), strict=True):
        if not rim and (w < 1 or h < 1):
            continue
        rows, row_gap = _reach(y, h, rim, height, mask.device)
        columns, column_gap = _reach(x, w, rim, width, mask.device)
        painted = (row_gap**2)[:, None] + (column_gap**2)[None, :] <= rim**2
        mask[0, rows, columns].masked_fill_(painted, shade)
    return mask


def _reach(start: int, length: int, rim: int, size: int, device: torch.device) -> tuple[slice, Tensor]:
    """The pixels along one side that a box and its rim reach, and the distance of each from the box."""
    last = max(start, start + length - 1)
    reach = slice(min(max(start - rim, 0), size), min(max(last + rim + 1, 0), size))
    at = torch.arange(reach.start, reach.stop, device=device)
    return reach, torch.maximum(start - at, at - last).clamp(min=0)


def generalized_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Overlap of pairs of boxes, in (-1, 1]: 1 for equal ones, below 0 the further they are apart.

    Intersection over union, minus the share of the smallest box around both that neither covers.

    Args:
        boxes: `[..., 4]`, x1, y1, x2, y2 with x1 <= x2 and y1 <= y2.
        others: likewise, of the same shape.

    Returns:
        `[...]`.

    Source: Rezatofighi et al., "Generalized Intersection over Union" (2019).
    """
    inside = _area(torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:]))
    around = _area(torch.minimum(boxes[..., :2], others[..., :2]), torch.maximum(boxes[..., 2:], others[..., 2:]))
    union = _area(boxes[..., :2], boxes[..., 2:]) + _area(others[..., :2], others[..., 2:]) - inside
    least = torch.finfo(boxes.dtype).tiny
    return inside / union.clamp(min=least) - (around - union) / around.clamp(min=least)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)
