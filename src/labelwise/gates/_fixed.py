"""A gate that learns nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from labelwise.gates._base import Gate, GateOutput


class Fixed(Gate):
    """Uses experts with given weights, the same for every example: equal shares, or one expert assigned to a task.

    Args:
        weights: `[n]`, at least 0, with sum 1.

    Raises `ValueError` for any other weights.
    """

    weights: Tensor

    def __init__(self, weights: Tensor | Sequence[float]):
        weights = torch.as_tensor(weights, dtype=torch.get_default_dtype())
        if weights.ndim != 1 or not (weights >= 0).all() or not (weights.sum() - 1).abs() < 1e-4:
            raise ValueError(f"weights must be numbers >= 0 with sum 1, one an expert; got {weights.tolist()}")
        super().__init__(len(weights))
        self.register_buffer("weights", weights)

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        """The given weights `[n]`."""
        return GateOutput(self.weights, self.weights.new_zeros(()))
