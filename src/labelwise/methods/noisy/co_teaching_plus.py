"""Co-teaching among the examples on which the two networks disagree, so that they do not become one."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import masked_cross_entropy
from labelwise.labels import Task
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.noisy.co_teaching import CoTeaching
from labelwise.methods.noisy.two import PairShared


class CoTeachingPlus(CoTeaching):
    """Co-teaching, after warming up only among the examples that the two networks predict to be of different classes.

    Where they agree on a whole batch, nothing is learned from it.

    Args:
        forget: share of these examples that is left out in the end, in [0, 1).
        warm_up: share of training over which that rises from 0, and in which all examples count, in [0, 1].
        as_released: learn from a whole batch by cross-entropy where the networks agree on it, as the code behind the
            figures published with Noisy Ostracods does.
    """

    paper = (
        "Yu et al., How does Disagreement Help Generalization against Label Corruption?, ICML 2019, arXiv 1901.04215"
    )

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        forget: float = 0.05,
        warm_up: float = 0.1,
        as_released: bool = False,
        **shared: Unpack[PairShared],
    ):
        super().__init__(backbone, tasks, forget=forget, warm_up=warm_up, **shared)
        self.as_released = as_released

    def pair_loss(self, first: TaskBatch, second: TaskBatch) -> Tensor:
        """Sum of the networks' mean cross-entropies, each over what the other one chose among disputed examples."""
        if self.current_epoch < self.epochs_of(self.warm_up):
            return super().pair_loss(first, second)
        disputed = (first.logits.argmax(-1) != second.logits.argmax(-1)) & (first.labels >= 0)
        loss = self.taught(first, second, disputed)
        if not self.as_released:
            return loss
        everything = torch.stack(
            [self.mean(part, masked_cross_entropy(part.logits, part.labels)) for part in (first, second)]
        )
        return torch.where(disputed.any(), loss, everything.sum())
