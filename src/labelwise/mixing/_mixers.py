"""Mixers that draw partner and share at random."""

import numpy as np
import torch
from torch import Tensor

from labelwise.functional import cut_box, mix
from labelwise.mixing._mixed import Mixed


class Mixup:
    """Weighted sums of two examples, one weight a batch, drawn from Beta(alpha, alpha).

    Args:
        alpha: > 0; small values mix little. 0 leaves everything as it is.
        own_half: let the own example have the larger share, as MixMatch does, so that a mixture stays near it.

    Source: Zhang et al., "mixup" (2018); Berthelot et al., "MixMatch" (2019), eq. 8-11.
    """

    def __init__(self, alpha: float = 0.2, own_half: bool = False):
        self.alpha = _checked(alpha)
        self.own_half = own_half

    def __call__(self, inputs: Tensor, generator: torch.Generator | None = None) -> Mixed:
        """Inputs `[batch, ...]`, mixed in pairs."""
        share, partner = _draw(self.alpha, inputs, generator)
        weight = inputs.new_full((len(inputs),), max(share, 1 - share) if self.own_half else share)
        return Mixed(mix(inputs, inputs[partner], weight), partner, weight)


class CutMix:
    """Pictures with a patch of another one; labels count by area.

    The patch is one a batch, of the area 1 - lambda with lambda from Beta(alpha, alpha), cut off at the borders. Takes
    `[batch, channels, height, width]`; raises `ValueError` for other shapes.

    Source: Yun et al., "CutMix" (2019).
    """

    def __init__(self, alpha: float = 1.0):
        self.alpha = _checked(alpha)

    def __call__(self, inputs: Tensor, generator: torch.Generator | None = None) -> Mixed:
        """Pictures with patches."""
        if inputs.ndim != 4:
            raise ValueError(f"CutMix takes pictures [batch, channels, height, width]; got {list(inputs.shape)}")
        share, partner = _draw(self.alpha, inputs, generator)
        height, width = inputs.shape[2:]
        middle = [int(torch.randint(side, (), generator=generator)) for side in (height, width)]
        down, across = cut_box(height, width, share, *middle)
        mixed = inputs.clone()
        mixed[:, :, down, across] = inputs[partner][:, :, down, across]
        area = (down.stop - down.start) * (across.stop - across.start)
        return Mixed(mixed, partner, inputs.new_full((len(inputs),), 1 - area / (height * width)))


def _draw(alpha: float, inputs: Tensor, generator: torch.Generator | None) -> tuple[float, Tensor]:
    """A share of Beta(alpha, alpha), and a permutation of the batch."""
    partner = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    # torch draws no Beta from a generator that is handed in.
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return (np.random.default_rng(seed).beta(alpha, alpha) if alpha else 1.0), partner


def _checked(alpha: float) -> float:
    if not alpha >= 0:
        raise ValueError(f"alpha must be at least 0; got {alpha}")
    return alpha
