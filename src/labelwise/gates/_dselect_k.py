"""The DSelect-k gate."""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from labelwise.functional import (
    Reduction,
    binary_codes,
    mix_selectors,
    reach_penalty,
    selector,
    selector_entropy,
)
from labelwise.gates._base import Gate, GateOutput


class DSelectK(Gate):
    """Chooses at most k experts, learned by plain gradient descent.

    Each of k selectors spells the number of an expert in binary digits that slide smoothly from 0 to 1 and can settle
    at either end for good; the gate is a weighted average of the selectors. It starts undecided, with weight on every
    expert, and becomes sparse as the digits settle; the entropy term hastens that. A digit that has settled gets no
    gradient any more, so keep weight decay away from gates: it would pull digits back into doubt.

    Parameters are `z_logits [k, m]` and `w_logits [k]` if static, else `z_proj` and `w_proj`, linear maps from
    `in_features` to `k * m` and `k`, where `m = ceil(log2(n_experts))`. `step` counts calls in training mode.

    Args:
        n_experts: any number from 1.
        k: upper limit on the experts chosen; any number from 1. Selectors may agree, so fewer can be chosen.
        in_features: None for a static gate, else the width of the inputs.
        gamma: width of the smooth step, > 0. The learning rate should be small beside it: a logit that one step throws
            far beyond `gamma / 2` stays there.
        entropy: strength of the entropy term, constant or as a function of `step`, which is 1 at the first call in
            training mode. `LinearRamp(0.05, steps)` over the first third of training works well with
            `reduction="batchmean"`.
        reduction: of the penalties over a batch: "sum" as published, or "batchmean".

    `forward` gives weights that sum to 1; to less than 1 if `n_experts` is not a power of two and selectors
    still lie partly on codes that no expert has, which the penalty drives out. The penalty (training mode only) is the
    entropy term plus, if `n_experts` is not a power of two, the reach term.

    Raises `ValueError` for arguments out of range, and for inputs of the wrong width.

    Source: Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to
    Multi-Task Learning" (2021); initialisation and penalties as in the official code.
    """

    codes: Tensor
    step: Tensor

    def __init__(
        self,
        n_experts: int,
        k: int,
        in_features: int | None = None,
        gamma: float = 1.0,
        entropy: float | Callable[[int], float] = 0.0,
        reduction: Reduction = "sum",
    ):
        super().__init__(n_experts, in_features)
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        if not gamma > 0:
            raise ValueError(f"gamma must be above 0; got {gamma}")
        if not callable(entropy) and not entropy >= 0:
            raise ValueError(f"entropy must be at least 0, or a function of the step; got {entropy}")
        if reduction not in ("sum", "batchmean"):
            raise ValueError(f"reduction must be 'sum' or 'batchmean'; got {reduction!r}")
        self.k = k
        self.gamma = gamma
        self.entropy = entropy
        self.reduction = reduction
        codes = binary_codes(n_experts)
        digits = codes.shape[1]
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        if in_features is None:
            self.z_logits = nn.Parameter(torch.empty(k, digits))
            self.w_logits = nn.Parameter(torch.empty(k))
        else:
            with warnings.catch_warnings():  # a single expert needs no digits; torch warns of the empty matrix
                warnings.filterwarnings("ignore", "Initializing zero-element tensors")
                self.z_proj = nn.Linear(in_features, k * digits)
            self.w_proj = nn.Linear(in_features, k)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw undecided parameters anew, uniformly: digits within `gamma / 100` of zero, shares within 0.05."""
        static = self.in_features is None
        for parameter in [self.z_logits] if static else self.z_proj.parameters():
            nn.init.uniform_(parameter, -self.gamma / 100, self.gamma / 100)
        for parameter in [self.w_logits] if static else self.w_proj.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`, penalty, and selectors `[k, n]` or `[batch, k, n]`."""
        return self._together([self], inputs)[0]

    @property
    def _likeness(self) -> tuple[object, ...]:
        return type(self), self.n_experts, self.in_features, self.k, self.gamma, self.reduction, self.training

    @classmethod
    def _together(cls, gates: Sequence["DSelectK"], inputs: Tensor | None) -> list[GateOutput]:
        # Gates lie on the axis before that of selectors: [..., gates, k, m].
        first = gates[0]
        if first.in_features is None:
            z_logits = torch.stack([gate.z_logits for gate in gates])
            w_logits = torch.stack([gate.w_logits for gate in gates])
        else:
            maps = [gate.z_proj for gate in gates] + [gate.w_proj for gate in gates]
            digits = first.codes.shape[1]
            size = len(gates) * first.k
            z_logits, w_logits = first._project(inputs, *maps).split([size * digits, size], -1)
            z_logits = z_logits.unflatten(-1, (len(gates), first.k, digits))
            w_logits = w_logits.unflatten(-1, (len(gates), first.k))
        selectors = selector(z_logits, first.codes, first.gamma)
        weights = mix_selectors(selectors, w_logits)
        penalties = cls._penalties(gates, selectors)
        said = zip(weights.unbind(-2), penalties.unbind(), selectors.unbind(-3), strict=True)
        return [GateOutput(*each) for each in said]

    @staticmethod
    def _penalties(gates: Sequence["DSelectK"], selectors: Tensor) -> Tensor:
        first = gates[0]
        penalties = selectors.new_zeros(len(gates))
        if not first.training:
            return penalties
        strengths = [gate._count() for gate in gates]
        if any(strengths):
            entropies = selector_entropy(selectors, "none")
            penalties = penalties + selectors.new_tensor(strengths) * _per_gate(entropies, first.reduction)
        if first.n_experts < 2 ** first.codes.shape[1]:
            penalties = penalties + _per_gate(reach_penalty(selectors, "none"), first.reduction)
        return penalties

    def _count(self) -> float:
        """Count a call in training mode; gives the strength of the entropy term at it."""
        self.step += 1
        return float(self.entropy(int(self.step))) if callable(self.entropy) else self.entropy

    def extra_repr(self) -> str:
        """What `print` shows of the gate."""
        return f"{super().extra_repr()}, k={self.k}, gamma={self.gamma}, entropy={self.entropy}"


def _per_gate(values: Tensor, reduction: Reduction) -> Tensor:
    """Reduce values of selectors, `[..., gates, k]`, to `[gates]`."""
    rows = values.sum(-1).reshape(-1, values.shape[-2])
    return rows.sum(0) / (max(1, len(rows)) if reduction == "batchmean" else 1)
