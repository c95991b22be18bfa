"""Means of maps over a part of them that is given in shares of the whole."""

import torch
from torch import Tensor

_CELL = 1e-4  # of a cell: what rounding may add to a side without adding a sample


def roi_mean(maps: Tensor, boxes: Tensor) -> Tensor:
    """Mean of each map inside a box: RoIAlign with one output cell.

    The box is sampled at the middles of a grid of ceil(height in cells) x ceil(width in cells), by bilinear
    interpolation between the middles of cells. Samples outside the map but within a cell of it count as at its border,
    others as 0. So the box of the whole map gives the mean over its cells. A box is taken to be at least a cell wide
    and high, from its left upper corner on.

    Args:
        maps: `[batch, channels, height, width]`.
        boxes: `[batch, 4]`: left, top, right, bottom (x1, y1, x2, y2), as shares of the map, 0 to 1 from left to right
            and from top to bottom.

    Returns:
        `[batch, channels]`.

    Raises:
        ValueError: a box whose right or bottom lies before its left or top.

    Source: He et al., "Mask R-CNN" (2017), section 3.
    """
    across, down = box_weights(boxes, maps.shape[2], maps.shape[3])
    return torch.einsum("bchw,bh,bw->bc", maps, down.to(maps.dtype), across.to(maps.dtype))


def span_mean(maps: Tensor, spans: Tensor) -> Tensor:
    """Mean of each sequence inside a span: `roi_mean` in one dimension, as for words of a text or frames of a sound.

    Args:
        maps: `[batch, channels, length]`.
        spans: `[batch, 2]`: start and end, as shares of the length.

    Returns:
        `[batch, channels]`.

    Raises:
        ValueError: a span whose end lies before its start.
    """
    return torch.einsum("bct,bt->bc", maps, span_weights(spans, maps.shape[2]).to(maps.dtype))


def box_weights(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """How much each column and each row of a map counts in `roi_mean`, `[batch, width]` and `[batch, height]`.

    The weight of a cell is the product of the two, as sampling on a grid and bilinear interpolation both are.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [batch, 4]: left, top, right, bottom; got {list(boxes.shape)}")
    return span_weights(boxes[:, 0::2], width), span_weights(boxes[:, 1::2], height)


def span_weights(spans: Tensor, length: int) -> Tensor:
    """How much each cell of a sequence counts in `span_mean`, `[batch, length]`; see there."""
    start, end = spans.unbind(-1)
    bad = (start > end).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"the end must not lie before the start; item {bad[0]} goes from {start[bad[0]]} to {end[bad[0]]}"
        )
    side = ((end - start) * length).clamp_min(1)
    samples = (side - _CELL).ceil().clamp_min(1)
    nth = torch.arange(int(samples.max()) if len(samples) else 0, device=spans.device)
    at = (start * length - 0.5)[:, None] + (nth + 0.5) * (side / samples)[:, None]
    counted = (nth < samples[:, None]) & (at >= -1) & (at <= length)
    cells = torch.arange(length, device=spans.device)
    near = (1 - (at.clamp(0, length - 1)[..., None] - cells).abs()).clamp_min(0)
    return (near * counted[..., None]).sum(1) / samples[:, None]
