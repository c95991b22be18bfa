"""Examples made from two: sums and patches."""

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 2**21  # bytes; what is mixed at a time stays in the processor's cache
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an element


def mix(own: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """`weight * own + (1 - weight) * other`, exactly `own` at weight 1.

    Args:
        own: `[batch, ...]`, floating point.
        other: of the same shape.
        weight: the share of `own` in [0, 1], `[batch]`, or a map of shares that broadcasts to `own`. A bool map takes
            from the one or the other, of any dtype.

    Raises `ValueError` for whole numbers, which cannot be added in shares.

    Source: Zhang et al., "mixup" (2018), eq. 1; Yun et al., "CutMix" (2019), eq. 1.
    """
    return _mix(own, other, _shares(own, weight))


def mix_partners(inputs: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """`mix(inputs, inputs[partner], weight)`, without ever holding all partners.

    The inputs stay as they are. On the CPU, where no gradient is asked for, this takes hardly longer than `torch.lerp`
    of two tensors that are there.

    Args:
        inputs: `[batch, ...]`.
        partner: int64 `[batch]`, the row that each is mixed with.
        weight: as in `mix`.

    Raises `ValueError` as `mix` does.
    """
    shares = _shares(inputs, weight)
    if inputs.device.type != "cpu" or (inputs.requires_grad and torch.is_grad_enabled()):
        return _mix(inputs, inputs[partner], shares)
    mixed = torch.empty_like(inputs)
    rows = max(1, _CHUNK * len(inputs) // max(1, inputs.nbytes))
    for start in range(0, len(inputs), rows):
        part = slice(start, start + rows)
        out = mixed[part]
        torch.index_select(inputs, 0, partner[part], out=out)
        _mix_into(out, inputs[part], shares if len(shares) == 1 else shares[part])
    return mixed


def adaptive_label_weight(weight: Tensor, count: Tensor, other: Tensor, limit: float = 10.0) -> Tensor:
    """The share of the own label in a mixture, larger than that of the input if the own class is the rarer one.

    With r = other / count, cut to [1 / limit, limit], it is weight r / (weight r + 1 - weight): `weight` for classes as
    frequent as each other, 0 at 0 and 1 at 1.

    Args:
        weight: `[batch]` in [0, 1], the share of the own input.
        count: `[batch]`, above 0, how frequent the own class is.
        other: `[batch]`, above 0, how frequent the other class is.
        limit: >= 1.

    Source: a reconstruction from the abstract of Fan et al., "DualMix" (2023).
    """
    ratio = (other / count).clamp(1 / limit, limit).to(weight.dtype)
    return weight * ratio / (weight * ratio + (1 - weight))


def cut_boxes(height: int, width: int, weight: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Patches that cover a share of about `1 - weight` of a picture, cut off at its borders.

    From its middle, `row` and `column`, a patch reaches half of int(height sqrt(1 - weight)) up and down, and half of
    int(width sqrt(1 - weight)) to the left and right, in whole pixels.

    Args:
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        weight: `[batch]` in [0, 1].
        row: int64 `[batch]`.
        column: int64 `[batch]`.

    Returns:
        int64 `[batch, 4]`: top, bottom, left, right; bottom and right are the first that are outside.

    Source: Yun et al., "CutMix" (2019), eq. 2.
    """
    ratio = (1 - weight.double()).sqrt()
    sides = []
    for middle, length in ((row, height), (column, width)):
        half = (length / 2 * ratio).long()  # half of a whole side, rounded down, is half of the side, rounded down
        sides += [(middle - half).clamp(min=0), (middle + half).clamp(max=length)]
    return torch.stack(sides, -1)


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in a box, bool `[batch, 1, height, width]`.

    Args:
        boxes: int64 `[batch, 4]`: top, bottom, left, right, as `cut_boxes` gives them.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """
    top, bottom, left, right = boxes[..., None].unbind(1)
    rows, columns = (torch.arange(side, device=boxes.device) for side in (height, width))
    down, across = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    inside = down.view(torch.int8)[:, :, None] & across.view(torch.int8)[:, None, :]  # four times as fast as of bools
    return inside.view(torch.bool)[:, None]


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


def _shares(own: Tensor, weight: Tensor) -> Tensor:
    """The weights in the shape and the dtype that they are needed in."""
    missing = [1] * (own.ndim - weight.ndim)
    weight = weight.reshape(-1, *missing) if weight.ndim == 1 else weight.reshape(*missing, *weight.shape)
    if weight.dtype == torch.bool:
        return weight
    if not own.is_floating_point():
        raise ValueError(
            f"shares of examples can only be added in floating point; got {own.dtype}: convert pictures with "
            "`inputs.float() / 255`, and mix embeddings instead of token numbers"
        )
    return weight.to(own.dtype)


def _mix(own: Tensor, other: Tensor, shares: Tensor) -> Tensor:
    return torch.where(shares, own, other) if shares.dtype == torch.bool else torch.lerp(other, own, shares)


def _mix_into(out: Tensor, own: Tensor, shares: Tensor) -> None:
    """`_mix(own, out, shares)` in place."""
    bits = _BITS.get(own.element_size())
    if shares.dtype != torch.bool:
        torch.lerp(out, own, shares, out=out)
    elif bits is None:
        torch.where(shares, own, out, out=out)
    else:  # ten times as fast as `where`, which on a CPU branches for every element
        other, differs = (shares.view(torch.int8) - 1).to(bits), out.view(bits).bitwise_xor_(own.view(bits))
        differs.bitwise_and_(other).bitwise_xor_(own.view(bits))
