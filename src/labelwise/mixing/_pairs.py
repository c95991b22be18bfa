"""Pairs that are mixed for the sake of an example, its anchor: what embeddings of numbers are contrasted with."""

from typing import NamedTuple

import torch
from torch import Tensor

from labelwise.functional import enclosing_pairs, mix
from labelwise.mixing._drawing import beta_weights, check_alpha


class AnchoredPairs(NamedTuple):
    """Mixtures of two examples each, for an anchor.

    `anchor`, `first` and `second` int64 `[m]`, rows of a batch; `weight` `[m]` in [0, 1], the share of the first.
    """

    anchor: Tensor
    first: Tensor
    second: Tensor
    weight: Tensor

    def mix(self, values: Tensor) -> Tensor:
        """The mixtures of embeddings or labels `[batch, ...]`, floating point, as `[m, ...]`."""
        return mix(values[self.first], values[self.second], self.weight)


class SupReMix:
    """Hard positives and hard negatives of each example, as mixtures; for numbers as labels.

    `labelwise.functional.supremix_loss` has these mixtures in it, without making them; the published ones are
    constants, `positives.mix(embeddings.detach())`, and stay as long as they come out.

    Args:
        window: differences of labels below which examples are mixed for a positive, >= 0, in units of labels.
        alpha: of the Beta distribution of the anchor's share in a negative, >= 0; 0 makes it the anchor itself.
        beta: its second parameter, > 0. Large against `alpha`, negatives are near the other example.

    Source: Wu et al., "Mixup Your Own Pairs" (2023).
    """

    def __init__(self, window: float = 5.0, alpha: float = 2.0, beta: float = 8.0):
        check_alpha(alpha)
        if not window >= 0:
            raise ValueError(f"window must be at least 0; got {window}")
        if not beta > 0:
            raise ValueError(f"beta must be above 0; got {beta}")
        self.window = window
        self.alpha = alpha
        self.beta = beta

    def positives(self, labels: Tensor) -> AnchoredPairs:
        """A lower and a higher example, mixed to the label of the anchor: every two that are within the window.

        `labels` `[batch]`, finite. The lower is the first. Nothing is drawn; time grows with the third power.
        """
        return AnchoredPairs(*enclosing_pairs(labels, self.window))

    def negatives(self, labels: Tensor, generator: torch.Generator | None = None) -> AnchoredPairs:
        """Each example as anchor and first, with every one of another label; `labels` `[batch]`, finite."""
        anchor, other = (labels[:, None] != labels).nonzero(as_tuple=True)
        return AnchoredPairs(anchor, anchor, other, self.shares(labels, generator)[anchor, other])

    def shares(self, labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The share of each example in negatives with every other, `[batch, batch]`, for `supremix_loss`.

        They are of the dtype of the labels, float32 for whole numbers.
        """
        n = len(labels)
        drawn = beta_weights(self.alpha, n * n, generator, "example", beta=self.beta).reshape(n, n)
        return drawn.to(labels.device, labels.dtype if labels.is_floating_point() else torch.float32)
