"""Learn from cut pictures with labels in the shares that a vision transformer attends to."""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.heads import apply_heads
from labelwise.methods.mixed.attentive import AttentiveMethod
from labelwise.methods.mixed.base import mixer_of
from labelwise.methods.noisy.base import Shared
from labelwise.mixing import TransMix


class TransMixMethod(AttentiveMethod):
    """CutMix in which a label counts by the class token's attention on its part of the picture.

    Args:
        alpha: of the Beta distribution of shares, >= 0; 0 leaves pictures alone.
        ratio: how much the attention counts beside the area, in [0, 1]; 0 is CutMix.
    """

    kinds = ("single", "multi", "soft")
    paper = "Chen et al., TransMix: Attend to Mix for Vision Transformers, CVPR 2022, arXiv 2111.09833"
    card = "mixing-basics"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        alpha: float = 1.0,
        ratio: float = 0.5,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        self.mixer = mixer_of("cutmix", alpha)
        self.shares = TransMix(ratio)

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean loss of both labels of each mixture."""
        mixed = self.mixer(batch.inputs)
        seen = self.attend(mixed.inputs)
        mixed = self.shares(mixed, seen.attention[:, 0, 1:])
        return self.mixtures_loss(self.parts(batch, apply_heads(self.heads, self.tasks, seen.features)), mixed)
