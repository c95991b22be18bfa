"""Examples made from two: sums and patches."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mix(own: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """`weight * own + (1 - weight) * other`, exactly `own` at weight 1.

    Args:
        own: `[batch, ...]`, floating point.
        other: of the same shape.
        weight: `[batch]` in [0, 1], the share of `own`.

    Source: Zhang et al., "mixup" (2018), eq. 1.
    """
    return torch.lerp(other, own, weight.to(own.dtype).reshape(-1, *[1] * (own.ndim - 1)))


def cut_box(height: int, width: int, weight: float, row: int, column: int) -> tuple[slice, slice]:
    """The rows and columns of a patch that covers a share of about `1 - weight` of a picture, cut off at its borders.

    From its middle, `row` and `column`, it reaches half of int(height sqrt(1 - weight)) up and down, and half of
    int(width sqrt(1 - weight)) to the left and right, in whole pixels.

    Source: Yun et al., "CutMix" (2019), eq. 2.
    """
    ratio = math.sqrt(1 - weight)
    return _clipped(row, int(height * ratio), height), _clipped(column, int(width * ratio), width)


def five_crops(pictures: Tensor, share: float) -> Tensor:
    """Four corners and the middle of pictures, each enlarged to the size of the whole: `[5, batch, c, h, w]`.

    Args:
        pictures: `[batch, channels, height, width]`.
        share: of the height and of the width that a crop has, in (0, 1]; at least a pixel.
    """
    height, width = pictures.shape[-2:]
    high, wide = max(1, round(share * height)), max(1, round(share * width))
    down, right = height - high, width - wide
    starts = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    crops = [pictures[..., top : top + high, left : left + wide] for top, left in starts]
    if (high, wide) == (height, width):
        return torch.stack(crops)
    return torch.stack([F.interpolate(crop, (height, width), mode="bilinear", align_corners=False) for crop in crops])


def random_shift(pictures: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Move each picture by up to a share of its sides, each way as likely as any; what comes in is zero.

    Args:
        pictures: `[batch, channels, height, width]`.
        share: of the height and of the width, in [0, 1]; whole pixels, rounded.
        generator: default torch's global random numbers.
    """
    moved = pictures
    for axis, side in ((2, pictures.shape[2]), (3, pictures.shape[3])):
        most = round(share * side)
        way = torch.randint(-most, most + 1, (len(pictures), 1), generator=generator).to(pictures.device)
        source = torch.arange(side, device=pictures.device) + way
        inside = (source >= 0) & (source < side)
        shape = [-1, 1, side, 1] if axis == 2 else [-1, 1, 1, side]
        index = source.clamp(0, side - 1).reshape(shape).expand_as(moved)
        moved = moved.gather(axis, index) * inside.reshape(shape)
    return moved


def _clipped(middle: int, side: int, length: int) -> slice:
    return slice(max(0, middle - side // 2), min(length, middle + side // 2))
