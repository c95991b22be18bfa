"""Mixers that take each pixel of a picture from one of two."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.functional import (
    attention_share,
    box_mask,
    contrast_saliency,
    cut_boxes,
    extreme_window,
    fourier_field,
    largest_share,
    mix_partners,
)
from labelwise.mixing._drawing import Mode, random_partners, reversed_partners
from labelwise.mixing._mixed import Mixed
from labelwise.mixing._mixers import Drawing


class CutMix(Drawing):
    """Pictures with a patch of another one; labels count by area.

    The patch has an area of about 1 - share, and is cut off at the borders.

    Args:
        alpha: of the Beta distribution of shares, >= 0.
        mode: draw one share and place a "batch", one each "example", or one share for each "pair"; see `Mixup`.

    Takes `[batch, channels, height, width]` of any dtype; raises `ValueError` for other shapes.

    Source: Yun et al., "CutMix" (2019).
    """

    def __init__(self, alpha: float = 1.0, mode: Mode = "batch"):
        super().__init__(alpha, mode)

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Pictures with patches."""
        height, width = _sides(self, inputs)
        partner, share = self.draw(inputs, generator, partner)
        places = 1 if self.mode == "batch" else len(inputs)
        row, column = (_whole(side, places, generator).to(inputs.device) for side in (height, width))
        return _pasted(inputs, partner, share, cut_boxes(height, width, share[:places], row, column))


class SaliencyMix(Drawing):
    """CutMix with the patch around the pixel of the other picture that stands out most.

    Args:
        alpha: of the Beta distribution of shares, >= 0.
        mode: see `CutMix`; the place is each picture's own.
        saliency: pictures `[batch, channels, height, width]` to how much each pixel stands out,
            `[batch, height, width]`; `labelwise.functional.contrast_saliency` by default, where the paper takes the
            fine-grained saliency of OpenCV.

    Source: Uddin et al., "SaliencyMix" (2021).
    """

    def __init__(
        self, alpha: float = 1.0, mode: Mode = "batch", saliency: Callable[[Tensor], Tensor] = contrast_saliency
    ):
        super().__init__(alpha, mode)
        self.saliency = saliency

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Pictures with patches."""
        height, width = _sides(self, inputs)
        partner, share = self.draw(inputs, generator, partner)
        brightest = self.saliency(inputs).flatten(1).argmax(1)[partner]
        return _pasted(inputs, partner, share, cut_boxes(height, width, share, brightest // width, brightest % width))


class ResizeMix:
    """Pictures with another one, made small, pasted whole at a random place; labels count by area.

    Size and place are drawn for the batch. Pixels are picked, not averaged.

    Args:
        smallest: share of height and width that the small picture has at least, in (0, 1].
        largest: share that it has at most, in [smallest, 1].

    Source: Qin et al., "ResizeMix" (2020).
    """

    def __init__(self, smallest: float = 0.1, largest: float = 0.8):
        if not 0 < smallest <= largest <= 1:
            raise ValueError(f"sizes must be 0 < smallest <= largest <= 1; got {smallest} and {largest}")
        self.smallest = smallest
        self.largest = largest

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Pictures with small ones."""
        height, width = _sides(self, inputs)
        partner = (random_partners(len(inputs), generator) if partner is None else partner).to(inputs.device)
        size = self.smallest + (self.largest - self.smallest) * _uniform(1, generator).item()
        high, wide = max(1, int(size * height)), max(1, int(size * width))
        top, left = (int(_whole(room + 1, 1, generator)) for room in (height - high, width - wide))
        rows, columns = (
            (torch.arange(small, device=inputs.device) * large) // small
            for small, large in ((high, height), (wide, width))
        )
        mixed = inputs.clone()
        mixed[:, :, top : top + high, left : left + wide] = inputs[partner][:, :, rows[:, None], columns]
        box = torch.tensor([[top, top + high, left, left + wide]], device=inputs.device)
        mask = ~box_mask(box, height, width).expand(len(inputs), -1, -1, -1)
        weight = torch.full_like(_ones(inputs), 1 - high * wide / (height * width))
        return Mixed(mixed, partner, weight, weight, mask)


class FMix(Drawing):
    """Pictures with random blobs of another one; labels count by area.

    Args:
        alpha: of the Beta distribution of shares, >= 0.
        decay: the larger, the smoother the blobs, >= 0.
        soft: half the width of the border between pictures, as a share of all pixels, in [0, 1].
        mode: draw one mask a "batch", one each "example", or one share for each "pair"; see `Mixup`.
        as_released: make masks as the authors' code does, which by a slip uses only the two lowest frequencies across,
            and so gives stripes.

    Source: Harris et al., "FMix" (2020).
    """

    def __init__(
        self,
        alpha: float = 1.0,
        decay: float = 3.0,
        soft: float = 0.0,
        mode: Mode = "batch",
        as_released: bool = False,
    ):
        super().__init__(alpha, mode)
        self.decay = decay
        self.soft = soft
        self.as_released = as_released

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Pictures with blobs."""
        height, width = _sides(self, inputs)
        partner, share = self.draw(inputs, generator, partner)
        masks = min(1, len(inputs)) if self.mode == "batch" else len(inputs)
        device = None if generator is None else generator.device
        noise = torch.randn(
            masks, height, width // 2 + 1, dtype=torch.complex64, generator=generator, device=device
        ).to(inputs.device)
        if self.as_released:
            noise[:, :, 2:] = 0
        upwards = (_uniform(masks, generator) < 0.5).to(inputs.device)
        field = fourier_field(noise, height, width, self.decay)
        mask = largest_share(field, share[:masks], upwards, self.soft)[:, None]
        weight = mask.to(share.dtype).mean((1, 2, 3)).expand_as(share).contiguous()
        mixed = mix_partners(inputs, partner, mask)
        return Mixed(mixed, partner, weight, weight, mask.expand(len(inputs), -1, -1, -1))


class TransMix:
    """Gives labels of cut pictures the shares that a vision transformer attends to; the pictures stay as they are.

    Args:
        ratio: how much the attention counts beside the area, in [0, 1].

    Source: Chen et al., "TransMix" (2022).
    """

    def __init__(self, ratio: float = 0.5):
        if not 0 <= ratio <= 1:
            raise ValueError(f"ratio must be in [0, 1]; got {ratio}")
        self.ratio = ratio

    def __call__(self, mixed: Mixed, attention: Tensor) -> Mixed:
        """The same mixtures with other shares of labels.

        `attention` `[batch, patches]`, at least 0, is that of the class token on the square of patches of the MIXED
        pictures, in reading order, mean over heads of the last block. Raises `ValueError` for mixtures without a mask.
        """
        if mixed.mask is None:
            raise ValueError("TransMix needs pictures that were cut, as CutMix gives them; these have no mask")
        attended = attention_share(mixed.mask, attention.detach()).to(mixed.label_weight.dtype)
        return mixed._replace(label_weight=mixed.label_weight + self.ratio * (attended - mixed.label_weight))


class SMMix:
    """Pastes what a vision transformer attends to most over what it attends to least; labels count by area.

    Pictures are cut into grid x grid patches. A square window of patches, of one size a batch, moves from where the
    partner has most attention to where the picture has least. Partners are each other's, the first and the last.

    Args:
        grid: patches along a side, >= 2.
        smallest: least side of the window, as a share of the grid, in (0, 1).
        largest: greatest side of the window, as a share of the grid, in [smallest, 1).

    Raises `ValueError` for pictures that do not divide into the grid.

    Source: Chen et al., "SMMix" (2023), in the form of its code.
    """

    def __init__(self, grid: int = 14, smallest: float = 0.25, largest: float = 0.75):
        if not 0 < smallest <= largest < 1:
            raise ValueError(f"sides must be 0 < smallest <= largest < 1; got {smallest} and {largest}")
        self.grid = grid
        self.smallest = smallest
        self.largest = largest

    def __call__(
        self,
        inputs: Tensor,
        attention: Tensor,
        generator: torch.Generator | None = None,
        partner: Tensor | None = None,
    ) -> Mixed:
        """Pictures `[batch, channels, height, width]`, mixed by attention `[batch, grid * grid]` in reading order."""
        height, width = _sides(self, inputs)
        if height % self.grid or width % self.grid:
            raise ValueError(f"pictures of {height} x {width} pixels do not divide into {self.grid} x {self.grid}")
        partner = (reversed_partners(len(inputs)) if partner is None else partner).to(inputs.device)
        least, most = (max(1, int(share * self.grid)) for share in (self.smallest, self.largest))
        side = least + int(_whole(most - least + 1, 1, generator))
        maps = attention.detach().reshape(-1, self.grid, self.grid)
        there = extreme_window(maps, side, largest=False)
        source = extreme_window(maps, side, largest=True)[partner]
        patch = torch.tensor([height // self.grid, width // self.grid], device=inputs.device)
        rows, columns = (torch.arange(side * int(length), device=inputs.device) for length in patch)

        def window(corner: Tensor) -> tuple[Tensor, Tensor]:
            row, column = (corner * patch)[:, :, None].unbind(1)
            return (row + rows)[:, :, None], (column + columns)[:, None, :]

        here = torch.arange(len(inputs), device=inputs.device)[:, None, None]
        down, across = window(there)
        from_down, from_across = window(source)
        mixed = inputs.clone()
        mixed[here, :, down, across] = inputs[partner[:, None, None], :, from_down, from_across]
        mask = torch.ones(len(inputs), height, width, dtype=torch.bool, device=inputs.device)
        mask[here, down, across] = False
        weight = torch.full_like(_ones(inputs), 1 - side**2 / self.grid**2)
        return Mixed(mixed, partner, weight, weight, mask[:, None])

    def patches(self, mixed: Mixed) -> Tensor:
        """Which patches are a picture's own, bool `[batch, grid * grid]`."""
        assert mixed.mask is not None
        return F.interpolate(mixed.mask.float(), (self.grid, self.grid), mode="nearest").flatten(1).bool()


def _pasted(inputs: Tensor, partner: Tensor, share: Tensor, boxes: Tensor) -> Mixed:
    """Pictures with boxes, one or one each, of their partners; where nobody is mixed at all, the whole stays."""
    height, width = inputs.shape[2:]
    mask = box_mask(boxes, height, width).logical_not_()
    top, bottom, left, right = boxes.unbind(1)
    area = (bottom - top) * (right - left)
    weight = (1 - area / (height * width)).to(share.dtype).expand_as(share).contiguous()
    mixed = mix_partners(inputs, partner, mask)
    return Mixed(mixed, partner, weight, weight, mask.expand(len(inputs), -1, -1, -1))


def _sides(mixer: object, inputs: Tensor) -> tuple[int, int]:
    if inputs.ndim != 4:
        name = type(mixer).__name__
        raise ValueError(f"{name} takes pictures [batch, channels, height, width]; got {list(inputs.shape)}")
    return inputs.shape[2], inputs.shape[3]


def _ones(inputs: Tensor) -> Tensor:
    dtype = inputs.dtype if inputs.is_floating_point() else torch.float32
    return torch.ones(len(inputs), dtype=dtype, device=inputs.device)


def _uniform(n: int, generator: torch.Generator | None) -> Tensor:
    device: torch.device | Literal["cpu"] = "cpu" if generator is None else generator.device
    return torch.rand(n, generator=generator, dtype=torch.float64, device=device)


def _whole(below: int, n: int, generator: torch.Generator | None) -> Tensor:
    """Whole numbers from 0, int64 [n]."""
    device: torch.device | Literal["cpu"] = "cpu" if generator is None else generator.device
    return torch.randint(below, (n,), generator=generator, device=device)
