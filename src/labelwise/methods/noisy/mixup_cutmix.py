"""Learn from mixtures of two examples, so that no single wrong label is learned by heart."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.noisy.base import NoisyMethod, Shared
from labelwise.mixing import CutMix, Mixer, Mixup


class MixupCutMix(NoisyMethod):
    """Mixes each batch by mixup or, if it holds pictures, as often by CutMix.

    As no example is seen alone, noted of it are loss and margin of its label in the mixture of which it is the larger
    part.

    Args:
        mixup_alpha: of the Beta distribution of mixup's shares, >= 0; 0 leaves examples alone.
        cutmix_alpha: of that of CutMix, >= 0.
    """

    paper = "Zhang et al., mixup, ICLR 2018, arXiv 1710.09412; Yun et al., CutMix, ICCV 2019, arXiv 1905.04899"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        self.mixup = Mixup(mixup_alpha)
        self.cutmix = CutMix(cutmix_alpha)

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean mixed cross-entropy."""
        pictures = batch.inputs.ndim == 4
        mixer: Mixer = self.cutmix if pictures and torch.rand(()) < 0.5 else self.mixup
        mixed = mixer(batch.inputs)
        parts = self.parts(batch, self(mixed.inputs))
        for part in parts:
            self.note_mixed(part, mixed)
        return torch.stack([self.mixed_loss(part, mixed) for part in parts]).sum()
