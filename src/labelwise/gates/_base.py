"""What every gate is."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GateOutput(NamedTuple):
    """What a gate says.

    `weights`: share of each expert, `[n]` (static) or `[batch, n]`, exact zeros where an expert is not chosen.
    `penalty`: scalar to add to the loss; 0 in eval mode. `selectors`: `[k, n]` or `[batch, k, n]` for gates that are
    made of selectors, else None.
    """

    weights: Tensor
    penalty: Tensor
    selectors: Tensor | None = None


class Gate(nn.Module):
    """Decides how much each of `n_experts` experts answers; knows nothing of the experts.

    With `in_features=None` the gate is static: one set of weights for all examples, and `forward` needs no inputs.
    Otherwise it chooses for each example, from inputs `[batch, in_features]`.

    Raises `ValueError` if there is no expert.
    """

    def __init__(self, n_experts: int, in_features: int | None = None):
        super().__init__()
        if n_experts < 1:
            raise ValueError(f"n_experts must be at least 1; got {n_experts}")
        self.n_experts = n_experts
        self.in_features = in_features

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """Weights of the experts. Static gates ignore `inputs`."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """What `print` shows of the gate."""
        return f"n_experts={self.n_experts}, in_features={self.in_features}"

    def _project(self, inputs: Tensor | None, *linears: nn.Linear) -> Tensor:
        """Outputs of linear maps side by side, from one matrix product."""
        if inputs is None or inputs.ndim != 2 or inputs.shape[1] != self.in_features:
            got = "none" if inputs is None else list(inputs.shape)
            raise ValueError(
                f"this gate chooses for each example, from inputs [batch, {self.in_features}]; got {got}. "
                "Give such inputs, or make the gate static with in_features=None"
            )
        # In half precision, small differences between logits would be lost, and choices with them.
        with torch.autocast(inputs.device.type, enabled=False):
            weight, bias = torch.cat([map.weight for map in linears]), torch.cat([map.bias for map in linears])
            return F.linear(inputs.to(weight.dtype), weight, bias)
