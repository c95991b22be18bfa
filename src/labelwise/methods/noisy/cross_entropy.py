"""Plain training: one head a task on a shared backbone, cross-entropy; what other methods are compared with."""

from collections.abc import Sequence

from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import Method, joint_loss


class CrossEntropy(Method):
    """Learns every task by cross-entropy, from one backbone with a linear head a task.

    Takes all labels as true. With several tasks the backbone is shared between them (a shared bottom); fit one task at
    a time for networks of their own.

    Args:
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0.
    """

    bench = "frog-calls"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__(
            backbone, tasks, input_shape=input_shape, learning_rate=learning_rate, weight_decay=weight_decay
        )
        self.heads = nn.ModuleList(nn.Linear(self.features, len(task.classes)) for task in self.tasks)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task."""
        features = self.backbone(inputs)
        return {task.name: head(features) for task, head in zip(self.tasks, self.heads, strict=True)}

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean cross-entropy of the labelled examples."""
        return joint_loss(self(batch.inputs), batch.targets)
