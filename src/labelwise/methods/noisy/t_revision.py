"""Importance reweighting that goes on learning the transition."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import importance_weights, masked_cross_entropy
from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.noisy.correction import Correcting, TransitionMethod


class TRevision(TransitionMethod):
    """Importance reweighting with the transition T + D, where D is learned together with the network.

    For transitions that were estimated without any row that surely is of a class. D starts at 0, and learns through the
    weights. To the network they are constants.

    Args:
        revision_rate: step size of D, relative to the learning rate, > 0; small, as D should stay so.
        through_network: let gradients flow through the weights into the network as well, as minimising the weighted
            loss over both means to the letter. The network then gives up labels that it finds improbable, since a
            weight of 0 costs nothing.
    """

    paper = (
        "Xia et al., Are Anchor Points Really Indispensable in Label-Noise Learning?, NeurIPS 2019, arXiv 1906.00189"
    )

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        revision_rate: float = 0.01,
        through_network: bool = False,
        **correcting: Unpack[Correcting],
    ):
        super().__init__(backbone, tasks, **correcting)
        check_range("revision_rate", revision_rate, above=0)
        self.revision_rate = revision_rate
        self.through_network = through_network
        self.revisions = nn.ParameterList(torch.zeros((len(task.classes),) * 2) for task in self.tasks)

    def matrix(self, task: str) -> Tensor:
        """T + D, [true, given]; rows need not sum to 1."""
        return super().matrix(task) + self.revisions[self.places[task]]

    def own_rates(self) -> dict[nn.Parameter, float]:
        """D takes small steps."""
        return dict.fromkeys(self.revisions, self.revision_rate * self.learning_rate)

    def corrected_losses(self, part: TaskBatch, matrix: Tensor) -> Tensor:
        """p_y / (p (T + D))_y times the cross-entropy, differentiable by D."""
        weighing = part.logits if self.through_network else part.logits.detach()
        return importance_weights(weighing, part.labels, matrix) * masked_cross_entropy(part.logits, part.labels)
