"""Two networks, each learning from the examples of small loss to the other one."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import forget_rate, masked_cross_entropy, small_losses
from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import TaskBatch, trimmed_heldout_loss
from labelwise.methods.noisy.two import PairShared, TwoNetworks


class CoTeaching(TwoNetworks):
    """Each network chooses the examples of a batch with the smallest losses, and the other one learns from them.

    Networks with different weights err on different wrong labels, so that one does not build on its own errors. Costs
    two networks. `selected`, as noted of each example, is the share of the two that learn from it.

    Args:
        forget: share of each batch that is left out in the end, about the share of wrong labels, in [0, 1).
        warm_up: share of training over which that rises from 0, in [0, 1].
    """

    paper = "Han et al., Co-teaching, NeurIPS 2018, arXiv 1804.06872"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        forget: float = 0.05,
        warm_up: float = 0.1,
        **shared: Unpack[PairShared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("forget", forget, least=0, below=1)
        check_range("warm_up", warm_up, least=0, most=1)
        self.forget = forget
        self.warm_up = warm_up

    def heldout_loss(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Held-out labels may be wrong as well: as large a share of them is left out."""
        return trimmed_heldout_loss(logits, targets, self.forget)

    def pair_loss(self, first: TaskBatch, second: TaskBatch) -> Tensor:
        """Sum of the networks' mean cross-entropies, each over what the other one chose."""
        return self.taught(first, second, first.labels >= 0)

    def taught(self, first: TaskBatch, second: TaskBatch, among: Tensor) -> Tensor:
        """The same, choosing among some labelled examples, bool [batch]."""
        forget = forget_rate(self.current_epoch, self.forget, self.epochs_of(self.warm_up))
        losses = [masked_cross_entropy(part.logits, part.labels) for part in (first, second)]
        chosen = [small_losses(each, forget, among) for each in losses]
        self.note_selected(first, torch.stack(chosen).float().mean(0))
        return self.mean(first, losses[0], chosen[1]) + self.mean(second, losses[1], chosen[0])
