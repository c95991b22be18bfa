"""Leave the largest losses of each batch out, as their labels are probably wrong."""

from collections.abc import Mapping, Sequence
from typing import Unpack

from torch import Tensor, nn

from labelwise.functional import forget_rate, masked_cross_entropy, small_losses
from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch, trimmed_heldout_loss


class LossClip(NoisyMethod):
    """Cross-entropy over the examples of a batch with the smallest losses.

    Networks learn labels that fit a pattern before they learn by heart the ones that do not.

    Args:
        forget: share of each batch that is left out in the end, about the share of wrong labels, in [0, 1).
        warm_up: share of training over which that rises from 0, in [0, 1].
    """

    paper = "Hu et al., Noisy Ostracods, NeurIPS 2024, arXiv 2412.02313 (there: loss clip)"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        forget: float = 0.05,
        warm_up: float = 0.1,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("forget", forget, least=0, below=1)
        check_range("warm_up", warm_up, least=0, most=1)
        self.forget = forget
        self.warm_up = warm_up

    def heldout_loss(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Held-out labels may be wrong as well: as large a share of them is left out."""
        return trimmed_heldout_loss(logits, targets, self.forget)

    def forget_now(self) -> float:
        """The share to leave out in this epoch."""
        return forget_rate(self.current_epoch, self.forget, self.epochs_of(self.warm_up))

    def task_loss(self, part: TaskBatch) -> Tensor:
        """Mean cross-entropy of the examples of small loss."""
        losses = masked_cross_entropy(part.logits, part.labels)
        kept = small_losses(losses, self.forget_now(), part.labels >= 0)
        self.note_selected(part, kept)
        return self.mean(part, losses, kept)
