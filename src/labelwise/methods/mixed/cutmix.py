"""Learn from pictures with a patch of another picture, with labels in the shares of area."""

from collections.abc import Sequence
from typing import Unpack

from torch import nn

from labelwise.labels import Task
from labelwise.methods.mixed.base import MixedMethod, mixer_of
from labelwise.methods.noisy.base import Shared


class CutMixMethod(MixedMethod):
    """Mixes each batch by CutMix; takes pictures alone, inputs [batch, channels, height, width].

    Numbers are not learned: a share of the area is no share of a number.

    Args:
        alpha: of the Beta distribution of shares, >= 0; 0 leaves pictures alone.
    """

    needs = "classes, sets of classes or distributions; missing ones count nothing in a mixture"
    kinds = ("single", "multi", "soft")
    paper = "Yun et al., CutMix, ICCV 2019, arXiv 1905.04899"
    card = "mixing-basics"

    def __init__(self, backbone: nn.Module, tasks: Sequence[Task], *, alpha: float = 1.0, **shared: Unpack[Shared]):
        super().__init__(backbone, tasks, **shared)
        self.mixer = mixer_of("cutmix", alpha)
