"""Gates that try experts at random while they learn."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import top_k_softmax
from labelwise.gates._base import GateOutput
from labelwise.gates._logits import LogitGate
from labelwise.gates._schedules import Schedule, at


class NoisyTopK(LogitGate):
    """Top-k over logits with learned noise, which lets other experts have a try, and a penalty on uneven use.

    In training mode, logit i gets normal noise of standard deviation softplus(noise logit i); the experts of the k
    largest sums share the weight by softmax. In eval mode there is no noise. The penalty (training mode, gates per
    example) is `balance` times the squared coefficients of variation, over experts, of the weight that they get in the
    batch (importance) and of the number of examples expected to choose them (load).

    Args:
        n_experts: any number from 1.
        k: experts chosen, from 1 to n_experts.
        in_features: None for a static gate, else the width of the inputs.
        balance: strength of the penalty, >= 0.

    All parameters start at 0, as published. Raises `ValueError` for arguments out of range.

    Source: Shazeer et al., "Outrageously Large Neural Networks" (2017), eqs. 3-11.
    """

    def __init__(self, n_experts: int, k: int, in_features: int | None = None, balance: float = 0.1):
        super().__init__(n_experts, in_features)
        if not 1 <= k <= n_experts:
            raise ValueError(f"k must be from 1 to n_experts = {n_experts}; got {k}")
        if not balance >= 0:
            raise ValueError(f"balance must be at least 0; got {balance}")
        self.k = k
        self.balance = balance
        if in_features is None:
            self.noise_logits = nn.Parameter(torch.empty(n_experts))
        else:
            self.noise_proj = nn.Linear(in_features, n_experts)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all parameters to 0, so that at first noise alone decides."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`, exactly k of them above 0."""
        clean = self._logits(inputs)
        if not self.training:
            weights = top_k_softmax(clean, self.k)
            return GateOutput(weights, weights.new_zeros(()))
        noise_logits = self.noise_logits if self.in_features is None else self._project(inputs, self.noise_proj)
        spread = F.softplus(noise_logits.to(clean.dtype))
        noisy = clean + spread * torch.randn_like(clean)
        weights = top_k_softmax(noisy, self.k)
        penalty = weights.new_zeros(())
        if self.balance and self.in_features is not None and self.k < self.n_experts:
            # With its noise drawn anew, an expert would be chosen if it beat the k-th largest of the others.
            last, next_one = noisy.topk(self.k + 1, -1).values[..., -2:].split(1, -1)
            rivals = torch.where(noisy >= last, next_one, last)
            load = torch.special.ndtr((clean - rivals) / spread)
            penalty = self.balance * (_unevenness(weights) + _unevenness(load))
        return GateOutput(weights, penalty)

    def extra_repr(self) -> str:
        """What `print` shows of the gate."""
        return f"{super().extra_repr()}, k={self.k}, balance={self.balance}"


class GumbelSoftmax(LogitGate):
    """Samples one expert, in a softened form while it learns: softmax((logits + Gumbel noise) / temperature).

    In eval mode the expert of the largest logit has all the weight. No penalty. `step` counts calls in training mode.

    Args:
        n_experts: any number from 1.
        in_features: None for a static gate, else the width of the inputs.
        temperature: > 0, constant or as a function of `step`, which is 1 at the first call in training mode; small
            values give nearly hard choices and large gradients. `LinearRamp(0.1, steps, start=1.0)` anneals it.

    Raises `ValueError` if a temperature is not above 0.

    Source: Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (2017), eq. 2.
    """

    step: Tensor

    def __init__(
        self,
        n_experts: int,
        in_features: int | None = None,
        temperature: Schedule = 1.0,
    ):
        super().__init__(n_experts, in_features)
        self.temperature = temperature
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        if not callable(temperature):
            _check_temperature(temperature)

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`."""
        logits = self._logits(inputs)
        if not self.training:
            weights = F.one_hot(logits.argmax(-1), self.n_experts).to(logits.dtype)
            return GateOutput(weights, weights.new_zeros(()))
        self.step += 1
        temperature = at(self.temperature, int(self.step)) if callable(self.temperature) else self.temperature
        _check_temperature(temperature)
        # The logarithm of an exponential variable is a negative Gumbel variable; a draw of exactly 0 would give nan.
        noise = -torch.empty_like(logits).exponential_().clamp(min=torch.finfo(logits.dtype).tiny).log()
        weights = torch.softmax((logits + noise) / temperature, -1)
        return GateOutput(weights, weights.new_zeros(()))


def _unevenness(amounts: Tensor) -> Tensor:
    """Squared coefficient of variation, over experts, of the sums over examples of `amounts` `[batch, n]`."""
    sums = amounts.flatten(0, -2).sum(0)
    return sums.var(correction=0) / (sums.mean().square() + 1e-10)


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
