"""Train on the labels that confident learning keeps."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.audit import find_label_issues
from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch
from labelwise.methods.noisy.out_of_sample import out_of_sample


class ConfidentLearning(NoisyMethod):
    """Cross-entropy without the labels that the audit's confident learning finds wrong.

    Before training, each task's labels are predicted out of sample by logistic regression on the inputs, and pruned by
    noise rate. Fit an audited run for models of its own and for corrected instead of left out labels.

    Args:
        folds: for predicting out of sample, >= 2.
        keep: labels of each class that stay at least, >= 1, so that rare classes are not lost.
    """

    paper = "Northcutt, Jiang, Chuang, Confident Learning, JAIR 2021, arXiv 1911.00068"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        folds: int = 10,
        keep: int = 1,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("folds", folds, least=2)
        check_range("keep", keep, least=1)
        self.folds = folds
        self.keep = keep

    def on_train_start(self) -> None:
        """Find the labels to leave out."""
        super().on_train_start()
        if "kept" not in self.memory:
            self.memory["kept"] = {task.name: self._kept(task) for task in self.tasks}

    def task_loss(self, part: TaskBatch) -> Tensor:
        """Mean cross-entropy of the labels kept."""
        if "kept" in self.memory:
            kept = self.memory["kept"][part.task][part.index.cpu()].to(part.labels.device)
            self.note_selected(part, kept)
            part = part._replace(labels=part.labels.where(kept, -1))
        return super().task_loss(part)

    def facts(self) -> dict[str, Any]:
        """`left_out`: how many labels of each task were left out."""
        kept = self.memory.get("kept", {})
        return {"left_out": {task: int((~kept[task] & (self.given[task] >= 0)).sum()) for task in kept}}

    def _kept(self, task: Task) -> Tensor:
        given = self.given[task.name]
        rows, probabilities = out_of_sample(self, task, self.folds)
        flagged = find_label_issues(given[rows].numpy(), probabilities, min_per_class=self.keep)
        kept = given >= 0
        kept[rows[torch.from_numpy(np.flatnonzero(flagged))]] = False
        return kept
