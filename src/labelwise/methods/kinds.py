"""What learning must know of each kind of task: outputs, loss, answers, scores."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.functional import masked_cross_entropy, soft_cross_entropy
from labelwise.labels import Task
from labelwise.metrics import classification_scores, distribution_scores, regression_scores, set_scores


class TaskKind:
    """How tasks of one kind are learned.

    Labels come as `LabelTable.labels` gives them, targets as batches bring them: class indices int64 `[n]`, -1 where
    missing; sets and distributions float32 `[n, classes]` and numbers float32 `[n]`, all nan where missing.
    """

    def outputs(self, task: Task) -> int:
        """How many outputs a head has."""
        return len(task.classes)

    def targets(self, labels: Tensor) -> Tensor:
        """Labels as targets."""
        return labels

    def known(self, labels: Any) -> Any:
        """Which labels or targets are not missing, bool `[n]`; of arrays and tensors alike."""
        return labels >= 0

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each example, `[n]`; 0, and without gradient, where the target is missing."""
        raise NotImplementedError

    def answers(self, outputs: Tensor, temperature: float) -> Tensor:
        """What outputs `[n, outputs]` say: probabilities `[n, classes]`, or numbers `[n]`."""
        raise NotImplementedError

    def scores(self, labels: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
        """Scores of answers against labels."""
        raise NotImplementedError

    def chosen(self, task: Task, answers: np.ndarray, lost: np.ndarray | None = None) -> pa.Array:
        """The answers as one label a row; null where `lost`, bool `[n]`, says so."""
        return pa.array(task.classes, pa.string()).take(pa.array(answers.argmax(1), mask=lost))

    def fault(self, labels: np.ndarray) -> str | None:
        """Why there is nothing to learn from these labels; None if there is."""
        raise NotImplementedError


class _Single(TaskKind):
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return masked_cross_entropy(outputs, targets)

    def answers(self, outputs: Tensor, temperature: float) -> Tensor:
        return torch.softmax(outputs / temperature, -1)

    def scores(self, labels: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
        return classification_scores(labels, answers)

    def fault(self, labels: np.ndarray) -> str | None:
        seen = len(np.unique(labels[labels >= 0]))
        return None if seen > 1 else f"hold {seen} classes; learning needs 2"


class _Multi(TaskKind):
    def targets(self, labels: Tensor) -> Tensor:
        return labels.float().masked_fill(labels < 0, torch.nan)

    def known(self, labels: Any) -> Any:
        return (labels >= 0).all(-1)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        known = self.known(targets)
        losses = F.binary_cross_entropy_with_logits(outputs, targets.nan_to_num(), reduction="none").mean(-1)
        return losses * known

    def answers(self, outputs: Tensor, temperature: float) -> Tensor:
        return torch.sigmoid(outputs)

    def scores(self, labels: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
        return set_scores(labels, answers)

    def chosen(self, task: Task, answers: np.ndarray, lost: np.ndarray | None = None) -> pa.Array:
        held = answers >= 0.5
        names = pa.array(task.classes, pa.string()).take(pa.array(np.nonzero(held)[1]))
        offsets = np.concatenate([[0], held.sum(1).cumsum()]).astype(np.int32)
        mask = None if lost is None else pa.array(lost)
        return pa.ListArray.from_arrays(pa.array(offsets), names, mask=mask)

    def fault(self, labels: np.ndarray) -> str | None:
        sets = labels[self.known(labels)]
        differs = len(sets) > 0 and (sets != sets[0]).any()
        return None if differs else "are all the same set, or missing; learning needs two that differ"


class _Soft(TaskKind):
    def targets(self, labels: Tensor) -> Tensor:
        return labels.float()

    def known(self, labels: Any) -> Any:
        return (labels >= 0).all(-1)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return soft_cross_entropy(outputs, targets.nan_to_num()) * self.known(targets)

    def answers(self, outputs: Tensor, temperature: float) -> Tensor:
        return torch.softmax(outputs, -1)

    def scores(self, labels: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
        return distribution_scores(labels, answers)

    def fault(self, labels: np.ndarray) -> str | None:
        return None if self.known(labels).any() else "are all missing"


class _Real(TaskKind):
    def outputs(self, task: Task) -> int:
        return 1

    def known(self, labels: Any) -> Any:
        return labels == labels  # nan is not itself

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.squeeze(-1) - targets.nan_to_num()).square() * self.known(targets)

    def answers(self, outputs: Tensor, temperature: float) -> Tensor:
        return outputs.squeeze(-1)

    def scores(self, labels: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
        return regression_scores(labels, answers)

    def chosen(self, task: Task, answers: np.ndarray, lost: np.ndarray | None = None) -> pa.Array:
        return pa.array(answers, pa.float64(), mask=lost)

    def fault(self, labels: np.ndarray) -> str | None:
        seen = len(np.unique(labels[self.known(labels)]))
        return None if seen > 1 else f"hold {seen} different numbers; learning needs 2"


KINDS: Mapping[str, TaskKind] = MappingProxyType(
    {"single": _Single(), "multi": _Multi(), "soft": _Soft(), "real": _Real()}
)
"""How each kind of task is learned that a method may learn; a method says which in `Method.kinds`."""
