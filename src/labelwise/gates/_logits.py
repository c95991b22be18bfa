"""Gates with one logit an expert."""

import torch
from torch import Tensor, nn

from labelwise.functional import top_k_softmax
from labelwise.gates._base import Gate, GateOutput


class LogitGate(Gate):
    """A gate that learns one logit an expert: `logits [n]` if static, else a linear map `proj`.

    Both start uniform within 0.05 of zero. What the logits mean is for the derived classes to say.
    """

    def __init__(self, n_experts: int, in_features: int | None = None):
        super().__init__(n_experts, in_features)
        if in_features is None:
            self.logits = nn.Parameter(torch.empty(n_experts))
        else:
            self.proj = nn.Linear(in_features, n_experts)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)

    def _logits(self, inputs: Tensor | None) -> Tensor:
        logits = self.logits if self.in_features is None else self._project(inputs, self.proj)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


class Softmax(LogitGate):
    """Uses every expert, with weights softmax(logits): the gate of MMoE. No penalty.

    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts" (2018).
    """

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`, all above 0."""
        weights = torch.softmax(self._logits(inputs), -1)
        return GateOutput(weights, weights.new_zeros(()))


class TopK(LogitGate):
    """Uses the k experts of the largest logits, with the softmax over those as weights. No penalty.

    The choice jumps when two logits change places, and an expert that is not chosen gets no gradient.
    Raises `ValueError` unless 1 <= k <= n_experts.

    Source: Shazeer et al., "Outrageously Large Neural Networks" (2017), eqs. 3 and 5, without noise.
    """

    def __init__(self, n_experts: int, k: int, in_features: int | None = None):
        super().__init__(n_experts, in_features)
        if not 1 <= k <= n_experts:
            raise ValueError(f"k must be from 1 to n_experts = {n_experts}; got {k}")
        self.k = k

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights `[n]` or `[batch, n]`, exactly k of them above 0."""
        weights = top_k_softmax(self._logits(inputs), self.k)
        return GateOutput(weights, weights.new_zeros(()))

    def extra_repr(self) -> str:
        """What `print` shows of the gate."""
        return f"{super().extra_repr()}, k={self.k}"
