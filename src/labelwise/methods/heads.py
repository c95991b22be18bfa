"""Linear layers that answer for the tasks, from features that they share."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.kinds import KINDS


def make_heads(features: int, tasks: Sequence[Task]) -> nn.ModuleList:
    """A linear layer a task."""
    return nn.ModuleList(nn.Linear(features, KINDS[task.kind].outputs(task)) for task in tasks)


def apply_heads(heads: Iterable[nn.Module], tasks: Sequence[Task], features: Tensor) -> dict[str, Tensor]:
    """Outputs of each task, such as logits [batch, classes], from features [batch, d]."""
    return {task.name: head(features) for task, head in zip(tasks, heads, strict=True)}
