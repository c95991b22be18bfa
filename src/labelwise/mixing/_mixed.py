"""What mixing gives."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Mixed(NamedTuple):
    """Examples mixed in pairs.

    `inputs` `[batch, ...]`; `partner` int64 `[batch]`, the row that each is mixed with; `weight` `[batch]` in [0, 1],
    the share of the own label.
    """

    inputs: Tensor
    partner: Tensor
    weight: Tensor

    def loss(self, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """`weight * loss(logits, own labels) + (1 - weight) * loss(logits, labels of the partner)`, `[batch]`."""
        return self.weight * loss(logits, labels) + (1 - self.weight) * loss(logits, labels[self.partner])

    def share(self, values: Tensor) -> Tensor:
        """Values `[batch]` or `[batch, ...]` of the own example and the partner's, added in their shares."""
        weight = self.weight.reshape(-1, *[1] * (values.ndim - 1))
        return weight * values + (1 - weight) * values[self.partner]


class Mixer(Protocol):
    """Mixes a batch of inputs; draws from `generator`, or from torch's global random numbers."""

    def __call__(self, inputs: Tensor, generator: torch.Generator | None = None) -> Mixed:
        """Inputs `[batch, ...]`, mixed in pairs."""
