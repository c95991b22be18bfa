"""The DSelect-k gate."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from labelwise.functional import Reduction, mix_selectors, reach_penalty, selector, selector_entropy
from labelwise.gates._base import Gate, GateOutput
from labelwise.gates._permutation import ExpertPermutation
from labelwise.gates._schedules import LinearRamp, Schedule, at

_EARLY, _LATE = 10, 1000  # steps within which no digit should have settled, and after which each should have moved
_USED = 1e-5  # weights below do not count as use


class DSelectK(Gate):
    """Chooses at most k experts, learned by plain gradient descent.

    Each of k selectors spells the number of an expert in binary digits that slide smoothly from 0 to 1 and can settle
    at either end for good; the gate is a weighted average of the selectors. It starts undecided, with weight on every
    expert, and becomes sparse as the digits settle; the entropy term hastens that, and a `gamma` that falls to 0 makes
    sure of it. A digit that has settled gets no gradient any more, so keep weight decay away from gates: it would pull
    digits back into doubt. `health()` tells whether digits settled before they could learn.

    Parameters are `z_logits [k, m]` and `w_logits [k]` if static, else `z_proj` and `w_proj`, linear maps from
    `in_features` to `k * m` and `k`, where `m = ceil(log2(n_experts))`. `step` counts calls in training mode.

    Args:
        n_experts: any number from 1.
        k: upper limit on the experts chosen; any number from 1. Selectors may agree, so fewer can be chosen.
        in_features: None for a static gate, else the width of the inputs.
        gamma: width of the smooth step, > 0, constant or as a function of `step`, which is 1 at the first call in
            training mode. The learning rate should be small beside it: a logit that one step throws far beyond
            `gamma / 2` stays there. `LinearRamp(0.0, steps, start=1.0)` settles every digit by `steps`, whatever the
            loss; at 0 itself, digits are 1 where their logit is above 0, else 0.
        entropy: strength of the entropy term, constant or as a function of `step`. `LinearRamp(0.05, steps)` over the
            first third of training works well with `reduction="batchmean"`.
        reduction: of the penalties over a batch: "sum" as published, or "batchmean".
        permute: learn, for each selector, which expert a number stands for; see `ExpertPermutation`. The penalties are
            computed before. In eval mode, and after `permute_steps` steps, this only renames experts.
        permute_steps: steps over which permutations are learned, then fixed for good; >= 1.

    `forward` gives weights that sum to 1; to less than 1 if `n_experts` is not a power of two and selectors
    still lie partly on codes that no expert has, which the penalty drives out. The penalty (training mode only) is the
    entropy term plus, if `n_experts` is not a power of two, the reach term.

    Raises `ValueError` for arguments out of range, and for inputs of the wrong width.

    Source: Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of Experts with Applications to
    Multi-Task Learning" (2021); initialisation and penalties as in the official code.
    """

    step: Tensor

    def __init__(
        self,
        n_experts: int,
        k: int,
        in_features: int | None = None,
        gamma: Schedule = 1.0,
        entropy: Schedule = 0.0,
        reduction: Reduction = "sum",
        permute: bool = False,
        permute_steps: int = 1000,
    ):
        super().__init__(n_experts, in_features)
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        if not at(gamma, 0) > 0:
            raise ValueError(f"gamma must be above 0{' at step 0' if callable(gamma) else ''}; got {at(gamma, 0)}")
        if not callable(entropy) and not entropy >= 0:
            raise ValueError(f"entropy must be at least 0, or a function of the step; got {entropy}")
        if reduction not in ("sum", "batchmean"):
            raise ValueError(f"reduction must be 'sum' or 'batchmean'; got {reduction!r}")
        self.k = k
        self.gamma = gamma
        self.entropy = entropy
        self.reduction = reduction
        self.permutation = ExpertPermutation(k, n_experts, permute_steps) if permute else None
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        if in_features is None:
            self.z_logits = nn.Parameter(torch.empty(k, self._digits))
            self.w_logits = nn.Parameter(torch.empty(k))
        else:
            with warnings.catch_warnings():  # a single expert needs no digits; torch warns of the empty matrix
                warnings.filterwarnings("ignore", "Initializing zero-element tensors")
                self.z_proj = nn.Linear(in_features, k * self._digits)
            self.w_proj = nn.Linear(in_features, k)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw undecided parameters anew, uniformly: digits within `gamma / 100` of zero, shares within 0.05."""
        bound = at(self.gamma, 0) / 100
        for parameter in self._z_parameters:
            nn.init.uniform_(parameter, -bound, bound)
        for parameter in [self.w_logits] if self.in_features is None else self.w_proj.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)
        if self.permutation is not None:
            self.permutation.reset_parameters()

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`, penalty, and selectors `[k, n]` or `[batch, k, n]`."""
        return self._together([self], inputs)[0]

    @torch.no_grad()
    def health(self, inputs: Tensor | None = None) -> list[str]:
        """What is wrong with the gate, and the remedy: a sentence for each fault, none if all is well.

        Finds numbers that are not finite; selectors that settled before they could learn, or on numbers that no expert
        has; digits that never moved; gates that stay soft although their schedules are over. Ask before training, after
        the first few steps, and at the end: a selector settled by accident looks like one that has learned, later on.
        To begin anew, `reset_parameters()` and make a new optimiser, or fit again.

        Args:
            inputs: examples to ask a gate per example about, `[batch, in_features]`; not needed for a static gate.
                Nothing can be said of no examples.

        Raises `ValueError` for inputs of the wrong width.
        """
        step = int(self.step)
        gamma = at(self.gamma, step)
        z_logits, w_logits = (logits[0] for logits in self._logits([self], inputs))
        if self.in_features is None:
            z_logits, w_logits = z_logits.unsqueeze(1), w_logits.unsqueeze(0)  # [k, batch, m], [batch, k]
        if not len(w_logits):
            return []
        if not (z_logits.isfinite().all() and w_logits.isfinite().all()):
            return ["logits are not finite: begin anew with a lower learning rate"]
        selectors = selector(z_logits, self.n_experts, gamma)
        faults = []
        settled = (z_logits.abs() >= gamma / 2).all(-1).all(-1)
        if self.n_experts > 1 and step <= _EARLY and settled.any():
            faults.append(
                f"selectors {_indices(settled)} have settled after {step} steps in training mode, get no gradient and "
                f"can learn nothing: begin anew with a learning rate well below gamma, now {gamma:g}"
            )
        lost = (selectors.sum(-1) < _USED).double().mean(-1)
        if lost.any():
            faults.append(
                f"selectors {_indices(lost > 0)} lie on numbers that none of the {self.n_experts} experts has, for "
                f"{lost.max().item():.0%} of examples, and get no gradient there: begin anew with a learning rate well "
                f"below gamma, now {gamma:g}, and with the penalty in the loss"
            )
        bound = at(self.gamma, 0) / 100
        if self.n_experts > 1 and step >= _LATE and all((p.abs() <= bound).all() for p in self._z_parameters):
            faults.append(
                f"no digit has left the range it was drawn from in {step} steps in training mode: see that the "
                "optimiser has the gate's parameters and that the penalty is in the loss; raise the learning rate or "
                "entropy"
            )
        spans = [schedule.steps for schedule in (self.gamma, self.entropy) if isinstance(schedule, LinearRamp)]
        used = int((mix_selectors(selectors.movedim(0, -2), w_logits) > _USED).sum(-1).max())
        if spans and used > self.k and step > _EARLY and step >= 2 * max(spans):
            faults.append(
                f"up to {used} experts are in use, more than k = {self.k}, though the schedules are over: train for "
                "longer, raise entropy or lower gamma; only a gamma that falls to 0 makes sure"
            )
        return faults

    @property
    def _digits(self) -> int:
        return (self.n_experts - 1).bit_length()

    @property
    def _z_parameters(self) -> list[nn.Parameter]:
        return [self.z_logits] if self.in_features is None else list(self.z_proj.parameters())

    @property
    def _likeness(self) -> tuple[object, ...]:
        """Gates that agree in this can be computed together."""
        gamma = self._gamma_ahead()
        return type(self), self.n_experts, self.in_features, self.k, gamma, self.reduction, self.training

    def _gamma_ahead(self) -> float:
        """`gamma` for the next call."""
        gamma = at(self.gamma, int(self.step) + self.training) if callable(self.gamma) else self.gamma
        if not gamma >= 0:
            raise ValueError(
                f"gamma must be at least 0 at every step; got {gamma} at step {int(self.step) + self.training}"
            )
        return gamma

    @classmethod
    def _together(cls, gates: Sequence["DSelectK"], inputs: Tensor | None) -> list[GateOutput]:
        first = gates[0]
        gamma = first._gamma_ahead()
        z_logits, w_logits = cls._logits(gates, inputs)
        selectors = selector(z_logits, first.n_experts, gamma)
        penalties = cls._penalties(gates, selectors)
        selectors = selectors.movedim(1, -2)  # [gates, ..., k, n]
        if any(gate.permutation for gate in gates):
            selectors = torch.stack([gate._permute(own) for gate, own in zip(gates, selectors, strict=True)])
        weights = mix_selectors(selectors, w_logits)
        return [GateOutput(*said) for said in zip(weights, penalties, selectors, strict=True)]

    @staticmethod
    def _logits(gates: Sequence["DSelectK"], inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of digits, `[gates, k, ..., m]`, and of selectors, `[gates, ..., k]`, where `...` is the batch or nothing."""
        first = gates[0]
        if first.in_features is None:
            return torch.stack([gate.z_logits for gate in gates]), torch.stack([gate.w_logits for gate in gates])
        maps = [gate.z_proj for gate in gates] + [gate.w_proj for gate in gates]
        size = len(gates) * first.k
        # The batch comes last in memory: what follows then runs over long rows.
        z_logits, w_logits = first._project(inputs, *maps).T.contiguous().split([size * first._digits, size])
        z_logits = z_logits.unflatten(0, (len(gates), first.k, first._digits)).movedim(2, -1)
        return z_logits, w_logits.unflatten(0, (len(gates), first.k)).movedim(1, -1)

    @staticmethod
    def _penalties(gates: Sequence["DSelectK"], selectors: Tensor) -> Tensor:
        """Penalties of gates `[gates]` from their selectors `[gates, k, ..., n]`."""
        first = gates[0]
        penalties = selectors.new_zeros(len(gates))
        if not first.training:
            return penalties
        strengths = [gate._count() for gate in gates]
        if any(strengths):
            entropies = selector_entropy(selectors, "none")
            penalties = penalties + selectors.new_tensor(strengths) * _per_gate(entropies, first.reduction)
        if first.n_experts < 2**first._digits:
            penalties = penalties + _per_gate(reach_penalty(selectors, "none"), first.reduction)
        return penalties

    def _count(self) -> float:
        """Count a call in training mode; gives the strength of the entropy term at it."""
        self.step += 1
        return at(self.entropy, int(self.step)) if callable(self.entropy) else self.entropy

    def _permute(self, selectors: Tensor) -> Tensor:
        return selectors if self.permutation is None else self.permutation(selectors, int(self.step))

    def extra_repr(self) -> str:
        """What `print` shows of the gate."""
        return f"{super().extra_repr()}, k={self.k}, gamma={self.gamma}, entropy={self.entropy}"


def _per_gate(values: Tensor, reduction: Reduction) -> Tensor:
    """Reduce values of selectors, `[gates, k, ...]`, to `[gates]`."""
    examples = values.shape[2:].numel() if reduction == "batchmean" else 1
    return values.flatten(1).sum(-1) / max(1, examples)


def _indices(chosen: Tensor) -> list[int]:
    return chosen.nonzero().flatten().tolist()
