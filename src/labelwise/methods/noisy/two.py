"""What methods share in which two networks teach each other."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.heads import apply_heads, make_heads
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch
from labelwise.methods.noisy.second import fresh_copy


class PairShared(Shared, total=False):
    """The arguments that all methods with two networks take."""

    second_backbone: nn.Module | None


class TwoNetworks(NoisyMethod):
    """Two networks with weights of their own, which answer together: by the mean of their logits.

    A subclass says in `pair_loss` what both minimise for one task. The second network's backbone is a copy of the first
    with weights drawn anew, or `second_backbone`, which must give as many features.
    """

    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        second_backbone: nn.Module | None = None,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        self.second_backbone = second_backbone or fresh_copy(backbone)
        self.second_heads = make_heads(self.features, self.tasks)

    def answers_of(self, network: int, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task by the first (0) or the second (1) network alone."""
        backbone, heads = [(self.backbone, self.heads), (self.second_backbone, self.second_heads)][network]
        return apply_heads(heads, self.tasks, backbone(inputs))

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Mean logits [batch, classes] of each task."""
        first, second = self.answers_of(0, inputs), self.answers_of(1, inputs)
        return {task: (first[task] + second[task]) / 2 for task in first}

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of `pair_loss`."""
        first, second = (self.parts(batch, self.answers_of(network, batch.inputs)) for network in (0, 1))
        return torch.stack([self._noted_loss(*pair) for pair in zip(first, second, strict=True)]).sum()

    def pair_loss(self, first: TaskBatch, second: TaskBatch) -> Tensor:
        """What both networks minimise for one task, a scalar; they say `first` and `second` of the same batch."""
        raise NotImplementedError

    def note_both(self, first: TaskBatch, second: TaskBatch) -> None:
        """Note loss and margin of each label, as the networks together see it."""
        self.note(first._replace(logits=(first.logits.detach() + second.logits.detach()) / 2))

    def _noted_loss(self, first: TaskBatch, second: TaskBatch) -> Tensor:
        self.note_both(first, second)
        return self.pair_loss(first, second)
