"""What mixing gives."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from labelwise.functional import mix_partners, mixed_targets


class Mixed(NamedTuple):
    """Examples mixed in pairs.

    `inputs` `[batch, ...]`; `partner` int64 `[batch]`, the row that each is mixed with; `weight` and `label_weight`
    `[batch]` in [0, 1], the share of the own input and of the own label; `mask` `[batch, 1, height, width]`, where a
    picture is its own, of mixers that cut; `site`, the module whose outputs are mixed in place of the inputs, of
    `ManifoldMixup`.
    """

    inputs: Tensor
    partner: Tensor
    weight: Tensor
    label_weight: Tensor
    mask: Tensor | None = None
    site: nn.Module | None = None

    def loss(self, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """Of any loss: its value for the own labels and for the partner's, added in their shares, `[batch]`."""
        own, other = loss(logits, labels), loss(logits, labels[self.partner])
        return self.label_weight * own + (1 - self.label_weight) * other

    def share(self, values: Tensor) -> Tensor:
        """Values `[batch]` or `[batch, ...]` of the own example and the partner's, added in the shares of labels."""
        return mix_partners(values, self.partner, self.label_weight)

    def targets(self, labels: Tensor, classes: int | None = None) -> Tensor:
        """The labels of the mixtures; see `mixed_targets`."""
        return mixed_targets(labels, self.partner, self.label_weight, classes)

    def through(self, model: Callable[..., Any], *arguments: Any) -> Any:
        """What `model` says of the inputs; if they are mixed inside the model, of the mixtures there."""
        if self.site is None:
            return model(self.inputs, *arguments)

        def mix_output(module: nn.Module, given: Any, output: Tensor) -> Tensor:
            return mix_partners(output, self.partner, self.weight)

        hook = self.site.register_forward_hook(mix_output)
        try:
            return model(self.inputs, *arguments)
        finally:
            hook.remove()


class Mixer(Protocol):
    """Mixes a batch of inputs in pairs.

    `partner`, int64 `[batch]`, says with whom; without it that is drawn. Draws from `generator`, or from torch's global
    random numbers. The inputs stay as they are.
    """

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Inputs `[batch, ...]`, mixed in pairs."""
