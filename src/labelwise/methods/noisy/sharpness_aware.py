"""Look for flat valleys: minimise the largest loss near the weights, which wrong labels learned by heart make steep."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared


class SharpnessAware(NoisyMethod):
    """Cross-entropy by sharpness-aware minimisation: the slope is taken a little uphill of where the weights are.

    Costs about two steps a step.

    Args:
        radius: length of the way uphill, over all weights together, > 0.
    """

    paper = "Foret et al., Sharpness-Aware Minimization, ICLR 2021, arXiv 2010.01412"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(self, backbone: nn.Module, tasks: Sequence[Task], *, radius: float = 0.04, **shared: Unpack[Shared]):
        super().__init__(backbone, tasks, **shared)
        check_range("radius", radius, above=0)
        self.radius = radius

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """The loss uphill; its slope is that which the weights should follow."""
        loss = self.total(self.parts(batch, self(batch.inputs)))
        weights = {name: value for name, value in self.named_parameters() if value.requires_grad}
        slopes = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        length = torch.stack([slope.norm() for slope in slopes]).norm().clamp(min=1e-12)
        uphill = {
            name: value + self.radius / length * slope
            for (name, value), slope in zip(weights.items(), slopes, strict=True)
        }
        parts = self.parts(batch, torch.func.functional_call(self, uphill, (batch.inputs,)))
        return torch.stack([self.task_loss(part) for part in parts]).sum()
