"""What methods share that learn from mixtures in place of examples."""

from collections.abc import Sequence

import torch
from torch import Tensor

from labelwise.methods.batch import Batch
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, TaskBatch
from labelwise.mixing import CutMix, Mixed, Mixer, Mixup

MIXERS = ("mixup", "cutmix")


class MixedMethod(NoisyMethod):
    """Trains on the mixtures that `mixer` makes of each batch; a method says how in `mixture_loss`.

    As no example is seen alone, noted of it are loss and margin of its label in the mixture of which it is the larger
    part.
    """

    bench = "mixing-classes"

    mixer: Mixer

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of `mixture_loss`."""
        mixed = self.mixer(batch.inputs)
        return self.mixtures_loss(self.parts(batch, mixed.through(self)), mixed)

    def mixtures_loss(self, parts: Sequence[TaskBatch], mixed: Mixed) -> Tensor:
        """Sum over tasks of `mixture_loss`; what labels cost and their margins are noted."""
        for part in parts:
            self.note_mixed(part, mixed)
        return torch.stack([self.mixture_loss(part, mixed) for part in parts]).sum()

    def mixture_loss(self, part: TaskBatch, mixed: Mixed) -> Tensor:
        """What is minimised for one task, a scalar: the mean loss of both labels of each mixture."""
        return self.mixed_loss(part, mixed)


def mixer_of(name: str, alpha: float) -> Mixer:
    """Mixup or CutMix by name. Raises `ValueError` for another name and for alpha below 0."""
    check_range("alpha", alpha, least=0)
    if name not in MIXERS:
        raise ValueError(f"mixer must be one of {', '.join(MIXERS)}; got {name!r}")
    return Mixup(alpha) if name == "mixup" else CutMix(alpha)
