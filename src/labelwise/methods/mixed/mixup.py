"""Learn from weighted sums of two examples, with labels in the same shares."""

from collections.abc import Sequence
from typing import Unpack

from torch import nn

from labelwise.labels import Task
from labelwise.methods.mixed.base import MixedMethod, mixer_of
from labelwise.methods.noisy.base import Shared
from labelwise.mixing import ManifoldMixup


class MixupMethod(MixedMethod):
    """Mixes each batch by mixup; takes any numeric inputs.

    Accuracy on few examples rises; predictions are under-confident without the calibration that `fit` ends with. In
    Python `layers`, modules of the backbone, make this manifold mixup: each batch is mixed at the inputs or at one of
    them, drawn at random.

    Args:
        alpha: of the Beta distribution of shares, >= 0; 0 leaves examples alone.
    """

    needs = "any kind of labels; missing ones count nothing in a mixture"
    kinds = ("single", "multi", "soft", "real")
    paper = "Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, arXiv 1710.09412"
    card = "mixing-basics"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        alpha: float = 0.2,
        layers: Sequence[nn.Module] = (),
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        self.mixer = ManifoldMixup(layers, alpha) if layers else mixer_of("mixup", alpha)
