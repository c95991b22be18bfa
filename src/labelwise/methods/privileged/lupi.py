"""Learn from a teacher that also sees what is known in training alone (learning using privileged information).

The teacher is the same network with more inputs. It is trained first, on the labels, and then frozen; the student sees
the usual inputs and minimises (1 - alpha) loss(labels) + alpha loss(teacher's softened probabilities). Where it is used
it is the network it would have been without a teacher, of the same size.

Source: Lopez-Paz et al., "Unifying Distillation and Privileged Information" (2016), the student's loss of its
"generalized distillation"; Bartolo et al., "Learning Using Privileged Information for Litter Detection" (2025), the
teacher, which sees the usual inputs too.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.functional import soft_cross_entropy
from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch
from labelwise.methods.training import Plan, answers, seeded, train
from labelwise.metrics import classification_scores
from labelwise.models import with_extra_input_channels


class Lupi(NoisyMethod):
    """A student of a teacher who sees more; see `teach`. Without a teacher, or with alpha 0, plain cross-entropy.

    Args:
        alpha: share of the teacher in the loss, in [0, 1]; 0 learns from the labels alone, 1 from the teacher alone.
        temperature: how much the teacher's probabilities are softened, > 0; 1 leaves them as they are.
    """

    needs = "one class a task, and columns that are known in training alone (--privileged); or boxes (--task boxes)"
    paper = (
        "Lopez-Paz et al., Unifying Distillation and Privileged Information (ICLR 2016); Bartolo et al. (EUVIP 2025)"
    )
    card = "lupi-litter"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        alpha: float = 0.5,
        temperature: float = 2.0,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("alpha", alpha, least=0, most=1)
        check_range("temperature", temperature, above=0)
        self.alpha = alpha
        self.temperature = temperature
        self.advice: dict[str, Tensor] = {}  # the teacher's logits by task, [rows, classes]; no part of the weights
        self.taught: dict[str, Any] = {}

    def task_loss(self, part: TaskBatch) -> Tensor:
        """Cross-entropy with the labels and, of labelled and unlabelled examples alike, with the teacher."""
        own = super().task_loss(part)
        if part.task not in self.advice:
            return own
        advice = self._adjusted(part.task, self.advice[part.task].to(part.logits.device)[part.index])
        taught = soft_cross_entropy(part.logits, torch.softmax(advice / self.temperature, -1)).mean()
        return (1 - self.alpha) * own + self.alpha * taught

    def facts(self) -> dict[str, Any]:
        """`teacher`: how well it does on held-out rows whose privileged inputs it is shown, which nobody has in use."""
        return {"teacher": self.taught} if self.taught else {}


def teach(
    student: Lupi,
    inputs: Tensor,
    privileged: Tensor,
    targets: Mapping[str, Tensor],
    rows: Mapping[str, np.ndarray],
    plan: Plan,
    seed: int = 0,
    checkpoint: Path | None = None,
    quiet: bool = False,
) -> Lupi:
    """Train a teacher on `inputs` `[n, channels, ...]` and `privileged` `[n, more, ...]`; let it advise the student.

    The teacher starts from the student's weights, with weights of zero for what only it sees, so that both answer alike
    at first. `rows` has row numbers by part, "train", "validation" and maybe "test". Gives the teacher; the student's
    weights, and torch's random numbers, are as before. `checkpoint` and others are as in `train`.
    """
    teacher = copy.deepcopy(student)
    teacher.backbone = with_extra_input_channels(student.backbone, privileged.shape[1])
    everything = torch.cat([inputs, privileged], 1)
    with seeded(seed):
        train(
            teacher,
            everything,
            targets,
            rows["train"],
            rows["validation"],
            plan,
            seed,
            checkpoint,
            quiet,
            title="teacher",
        )
    logits = answers(teacher, everything, np.arange(len(everything)))
    student.advice = logits
    student.taught = {
        "tasks": {
            name: {
                part: classification_scores(targets[name][rows[part]].numpy(), chances[rows[part]].numpy())
                for part in ("validation", "test")
                if len(rows.get(part, ()))
            }
            for name, chances in teacher.probabilities(logits).items()
        },
        "note": "an oracle: it saw the privileged columns of these rows, which nobody has where the model is used",
    }
    return teacher
