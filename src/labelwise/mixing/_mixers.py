"""Mixers that add examples in shares, and those that choose among others."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from labelwise.functional import label_density_pairs, mix_partners
from labelwise.mixing._drawing import Mode, beta_weights, check_alpha, group_partners, random_partners
from labelwise.mixing._mixed import Mixed, Mixer


class Drawing:
    """What mixers share that draw a partner at random, and its share from Beta(alpha, alpha)."""

    def __init__(self, alpha: float, mode: Mode = "batch"):
        check_alpha(alpha)
        self.alpha = alpha
        self.mode = mode

    def draw(self, inputs: Tensor, generator: torch.Generator | None, partner: Tensor | None) -> tuple[Tensor, Tensor]:
        """Partner, int64 `[batch]`, and the share of the own example, `[batch]`."""
        partner = random_partners(len(inputs), generator) if partner is None else partner
        weight = beta_weights(self.alpha, len(inputs), generator, self.mode, partner)
        dtype = inputs.dtype if inputs.is_floating_point() else torch.float32
        return partner.to(inputs.device), weight.to(inputs.device, dtype)


class Mixup(Drawing):
    """Weighted sums of two examples.

    Args:
        alpha: of the Beta distribution of shares, >= 0; small values mix little, 0 leaves everything as it is.
        own_half: let the own example have the larger share, as MixMatch does, so that a mixture stays near it.
        mode: draw one share a "batch", one each "example", or one for each "pair", see `beta_weights`.

    Source: Zhang et al., "mixup" (2018); Berthelot et al., "MixMatch" (2019), eq. 8-11.
    """

    def __init__(self, alpha: float = 0.2, own_half: bool = False, mode: Mode = "batch"):
        super().__init__(alpha, mode)
        self.own_half = own_half

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Floating point inputs `[batch, ...]`, mixed in pairs."""
        partner, weight = self.draw(inputs, generator, partner)
        weight = torch.maximum(weight, 1 - weight) if self.own_half else weight
        return Mixed(mix_partners(inputs, partner, weight), partner, weight, weight)


class CMixup(Drawing):
    """Weighted sums of two examples with near labels, of the same batch; for numbers as labels.

    The method `c-mixup` draws partners among all training rows; that needs no larger batch.

    Args:
        bandwidth: > 0, in units of the labels; small ones prefer near labels, inf any. See `label_density_pairs`.
        alpha: of the Beta distribution of shares, >= 0.
        mode: draw one share a "batch", or one each "example"; see `Mixup`.

    Source: Yao et al., "C-Mixup" (2022), the variant for large data.
    """

    def __init__(self, bandwidth: float, alpha: float = 2.0, mode: Mode = "batch"):
        super().__init__(alpha, mode)
        self.bandwidth = bandwidth

    def __call__(
        self,
        inputs: Tensor,
        labels: Tensor,
        generator: torch.Generator | None = None,
        partner: Tensor | None = None,
    ) -> Mixed:
        """Floating point inputs `[batch, ...]`, mixed by labels `[batch]` or `[batch, k]`, finite."""
        if partner is None:
            partner = label_density_pairs(labels, torch.arange(len(labels)), self.bandwidth, generator)
        partner, weight = self.draw(inputs, generator, partner)
        return Mixed(mix_partners(inputs, partner, weight), partner, weight, weight)


class ManifoldMixup(Drawing):
    """Mixup of what leaves a layer, which is drawn for each batch.

    `mixed.through(model)` runs the model; the inputs of what this gives are mixed only if the inputs were drawn.

    Args:
        layers: modules of the model, each with a single tensor `[batch, ...]` as output.
        alpha: of the Beta distribution of shares, >= 0.
        inputs: whether the inputs may be drawn too.
        mode: see `Mixup`.

    Source: Verma et al., "Manifold Mixup" (2019).
    """

    def __init__(self, layers: Sequence[nn.Module], alpha: float = 2.0, inputs: bool = True, mode: Mode = "batch"):
        super().__init__(alpha, mode)
        self.sites = [*([None] if inputs else []), *layers]
        if not self.sites:
            raise ValueError("manifold mixup needs a layer to mix at; name one, or let it mix inputs")

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Inputs `[batch, ...]`, mixed or to be mixed inside the model."""
        site = self.sites[_choose([1 / len(self.sites)] * len(self.sites), generator)]
        partner, weight = self.draw(inputs, generator, partner)
        mixed = mix_partners(inputs, partner, weight) if site is None else inputs
        return Mixed(mixed, partner, weight, weight, site=site)


class SelfMix:
    """Mixes only crops of the same picture with each other, so that the label of a mixture hardly varies.

    Args:
        crops: how many there are of each picture, >= 1. A batch holds the first crop of every picture, then the second
            of every one, and so on.
        mixer: what mixes them, `Mixup(0.8)` by default.

    Raises `ValueError` for a batch that does not hold so many crops of each picture.

    Source: Shen, "FerKD: Surgical Label Adaptation for Efficient Distillation" (2023).
    """

    def __init__(self, crops: int, mixer: Mixer | None = None):
        self.crops = crops
        self.mixer = mixer or Mixup(0.8)

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Inputs `[batch, ...]`, mixed in pairs within pictures; a `partner` that is given is taken as it is."""
        if len(inputs) % self.crops:
            raise ValueError(f"a batch of {len(inputs)} does not hold {self.crops} crops of each picture")
        pictures = torch.arange(len(inputs)) % max(1, len(inputs) // self.crops)
        return self.mixer(inputs, generator, group_partners(pictures, generator) if partner is None else partner)


class OneOf:
    """Mixes each batch by one of several mixers, drawn at random, or not at all.

    Args:
        mixers: what to choose from.
        probabilities: of each mixer, by default equal; what is missing from a sum of 1 is the probability that a batch
            stays as it is.

    Raises `ValueError` for probabilities that are below 0, sum to more than 1, or are not one a mixer.
    """

    def __init__(self, mixers: Sequence[Mixer], probabilities: Sequence[float] | None = None):
        self.mixers = list(mixers)
        equal = [1 / max(1, len(self.mixers))] * len(self.mixers)
        self.probabilities = equal if probabilities is None else list(probabilities)
        if len(self.probabilities) != len(self.mixers):
            raise ValueError(f"{len(self.mixers)} mixers need as many probabilities; got {len(self.probabilities)}")
        if min(self.probabilities, default=0) < 0 or sum(self.probabilities) > 1 + 1e-9:
            raise ValueError(f"probabilities must be at least 0 and sum to at most 1; got {self.probabilities}")

    def __call__(
        self, inputs: Tensor, generator: torch.Generator | None = None, partner: Tensor | None = None
    ) -> Mixed:
        """Inputs `[batch, ...]`, mixed by one of the mixers."""
        chosen = _choose(self.probabilities, generator)
        return self.mixers[chosen](inputs, generator, partner) if chosen < len(self.mixers) else unmixed(inputs)


def unmixed(inputs: Tensor) -> Mixed:
    """Inputs `[batch, ...]` that stay as they are, each its own partner."""
    weight = torch.ones(len(inputs), device=inputs.device)
    weight = weight.to(inputs.dtype) if inputs.is_floating_point() else weight
    return Mixed(inputs, torch.arange(len(inputs), device=inputs.device), weight, weight)


def _choose(probabilities: Sequence[float], generator: torch.Generator | None) -> int:
    """A number drawn with these probabilities; their count, with what is missing from a sum of 1."""
    device = None if generator is None else generator.device
    chance = torch.rand((), generator=generator, dtype=torch.float64, device=device).item()
    passed = torch.tensor(probabilities, dtype=torch.float64).cumsum(0)
    if len(passed) and abs(passed[-1].item() - 1) < 1e-9:
        passed[-1] = 1  # rounding leaves nothing over
    return int((passed <= chance).sum())
