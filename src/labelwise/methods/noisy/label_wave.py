"""Stop when predictions of the training rows change least, before wrong labels are learned; needs no clean labels."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch

_WINDOW = 3  # epochs that the share of changes is averaged over


class LabelWave(NoisyMethod):
    """Cross-entropy that keeps the weights of the epoch in which the fewest predictions of training rows changed.

    The share of predictions that differ from the epoch before falls while patterns are learned, and rises when wrong
    labels begin to be. Its mean over three epochs decides in place of the validation loss, also if there are no
    validation rows.

    Args:
        epochs_without: epochs in which that mean does not fall before training stops, >= 1.
    """

    paper = "Yuan, Feng, Liu, Early Stopping Against Label Noise Without Validation Data, ICLR 2024, arXiv 2502.07551"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self, backbone: nn.Module, tasks: Sequence[Task], *, epochs_without: int = 5, **shared: Unpack[Shared]
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("epochs_without", epochs_without, least=1)
        self.patience = epochs_without
        self._predicted: dict[str, Tensor] = {}  # of this epoch, int64 [rows], -1 where not seen

    def note(self, part: TaskBatch) -> None:
        """Note the predicted classes, too."""
        super().note(part)
        if part.task not in self._predicted:
            rows = len(self.given[part.task]) if self.given else 0
            self._predicted[part.task] = torch.full((rows,), -1, device=part.logits.device)
        if len(self._predicted[part.task]):
            self._predicted[part.task][part.index] = part.logits.detach().argmax(-1)

    def on_train_epoch_end(self) -> None:
        """Count the predictions that changed."""
        super().on_train_epoch_end()
        now = {task: labels.cpu() for task, labels in self._predicted.items()}
        before = self.memory.get("predicted")
        if before is not None:
            shares = [(now[task] != before[task])[now[task] >= 0].double().mean() for task in now]
            self.memory.setdefault("changes", []).append(torch.stack(shares).mean().item())
        self.memory["predicted"], self._predicted = now, {}

    def criterion(self) -> float:
        """The mean share of changed predictions of the last three epochs; infinite in the first epoch."""
        changes = self.memory.get("changes", [])[-_WINDOW:]
        return sum(changes) / len(changes) if changes else math.inf

    def epoch_facts(self) -> dict[str, Any]:
        """`changed`: the share of predictions that differ from the epoch before."""
        changes = self.memory.get("changes")
        return {"changed": changes[-1]} if changes else {}
