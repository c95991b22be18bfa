"""Weigh each example by how much likelier its label is as the true class than as the given one."""

from torch import Tensor

from labelwise.functional import reweighted_loss
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.noisy.correction import TransitionMethod


class ImportanceReweighting(TransitionMethod):
    """Cross-entropy times p(true = y) / p(given = y), as the network and the transition tell them."""

    paper = "Liu and Tao, Classification with Noisy Labels by Importance Reweighting, TPAMI 2016, arXiv 1411.7718"

    def corrected_losses(self, part: TaskBatch, matrix: Tensor) -> Tensor:
        """p_y / (p T)_y, a constant, times the cross-entropy."""
        return reweighted_loss(part.logits, part.labels, matrix)
