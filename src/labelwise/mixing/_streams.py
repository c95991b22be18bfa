"""Mixers for streams in which new classes come: DualMix, of which only the idea is known, and the form is ours."""

from collections.abc import Callable

import torch
from torch import Tensor

from labelwise.functional import adaptive_label_weight, mix, mix_partners
from labelwise.mixing._drawing import Mode, different_partners
from labelwise.mixing._mixed import Mixed
from labelwise.mixing._mixers import Drawing

Augment = Callable[[Tensor, torch.Generator | None], Tensor]
"""Changes each of some inputs `[batch, ...]` at random, and leaves them as they are."""


class EnMix(Drawing):
    """Mixup of two changed versions of examples: the own is changed once, the partner's another time.

    Args:
        augment: changes inputs at random, drawing from the generator that it is given.
        alpha: of the Beta distribution of shares, >= 0.
        mode: see `Mixup`.

    Source: a reconstruction from the abstract of Fan et al., "DualMix" (2023), its "enhanced mixup".
    """

    def __init__(self, augment: Augment, alpha: float = 1.0, mode: Mode = "batch"):
        super().__init__(alpha, mode)
        self.augment = augment

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Floating point inputs `[batch, ...]`, mixed in pairs."""
        partner, weight = self.draw(inputs, generator, partner)
        own, other = self.augment(inputs, generator), self.augment(inputs, generator)
        return Mixed(mix(own, other[partner], weight), partner, weight, weight)


class AdpMix(Drawing):
    """Mixup of old classes with new ones, in which the label of the rarer class counts more than its input.

    Args:
        alpha: of the Beta distribution of shares, >= 0.
        limit: by how much the ratio of two classes' frequencies counts at most, >= 1.
        mode: see `Mixup`.

    Source: a reconstruction from the abstract of Fan et al., "DualMix" (2023), its "adaptive mixup"; see
    `labelwise.functional.adaptive_label_weight`.
    """

    def __init__(self, alpha: float = 1.0, limit: float = 10.0, mode: Mode = "batch"):
        super().__init__(alpha, mode)
        if not limit >= 1:
            raise ValueError(f"limit must be at least 1; got {limit}")
        self.limit = limit

    def __call__(self, inputs: Tensor, old: Tensor, counts: Tensor, generator: torch.Generator | None = None) -> Mixed:
        """Inputs `[batch, ...]`, each mixed with one of the other kind; by itself where there is none.

        `old`, bool `[batch]`, tells examples of old classes from those of new ones; `counts` `[batch]`, above 0, is how
        often the class of each was learned from lately.
        """
        partner = different_partners(old.long(), generator)
        _, weight = self.draw(inputs, generator, partner)
        label_weight = adaptive_label_weight(weight, counts, counts[partner], self.limit)
        return Mixed(mix_partners(inputs, partner, weight), partner, weight, label_weight)
