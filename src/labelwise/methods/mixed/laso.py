"""Learn sets of labels, and what unions of two examples are like in features, for classes with few examples."""

from collections.abc import Sequence
from typing import Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import union
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.heads import apply_heads
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch
from labelwise.mixing import LaSO, reversed_partners


class Laso(NoisyMethod):
    """Trains networks for union, intersection and difference of label sets beside the classifier, and then uses them.

    `operations[i]`, a `labelwise.mixing.LaSO`, has those of task i: what they make of the features of two examples,
    which `represent` gives, should be told to have the set of labels that the operation makes. They learn nothing but
    that; the backbone learns from examples alone. After `warm_up` each head learns from unions as well.

    Args:
        strength: of the loss on unions, >= 0; 0 leaves them out.
        warm_up: share of training in which heads learn from examples alone, in [0, 1].
        layers: inner layers of the networks, >= 1.
    """

    needs = "a set of classes a task; rows without a set are left out"
    kinds = ("multi",)
    paper = "Alfassy et al., LaSO: Label-Set Operations Networks, CVPR 2019, arXiv 1902.09811"
    card = "laso"
    bench = "mixing-sets"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        strength: float = 1.0,
        warm_up: float = 0.5,
        layers: int = 1,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("strength", strength, least=0)
        check_range("warm_up", warm_up, least=0, most=1)
        check_range("layers", layers, least=1)
        self.strength = strength
        self.warm_up = warm_up
        self.operations = nn.ModuleList(LaSO(self.features, layers) for _ in self.tasks)

    def represent(self, inputs: Tensor) -> Tensor:
        """Features [batch, d], at least 0, that the operations take and the heads judge."""
        return F.relu(self.backbone(inputs))

    def classify(self, features: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task, of features or of what operations made of them."""
        return apply_heads(self.heads, self.tasks, features)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task."""
        return self.classify(self.represent(inputs))

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the loss on examples, that of the operations and, in time, that on unions."""
        features = self.represent(batch.inputs)
        parts = self.parts(batch, self.classify(features))
        loss = self.total(parts)
        for number, part in enumerate(parts):
            if part.known.sum() > 1:
                loss = loss + self._operations_loss(number, part, features.detach())
        return loss

    def _operations_loss(self, number: int, part: TaskBatch, features: Tensor) -> Tensor:
        """What the operations of one task cost, and then the unions, a scalar."""
        head, operations = cast(nn.Linear, self.heads[number]), cast(LaSO, self.operations[number])
        features, sets = features[part.known], part.labels[part.known]
        partner = reversed_partners(len(sets)).to(sets.device)

        def judge(made: Tensor) -> Tensor:
            return F.linear(made, head.weight.detach(), head.bias.detach())

        loss = torch.stack(list(operations.losses(judge, features, sets, partner).values())).sum()
        if self.strength and self.current_epoch >= self.epochs_of(self.warm_up):
            with torch.no_grad():
                made = operations.union(features, features[partner])
            told = F.binary_cross_entropy_with_logits(head(made), union(sets, sets[partner]))
            loss = loss + self.strength * told
        return loss
