"""What methods share that mix pictures by what a vision transformer attends to."""

from collections.abc import Sequence
from typing import Any, Unpack

from torch import Tensor, nn

from labelwise.labels import Task
from labelwise.methods.mixed.base import MixedMethod
from labelwise.methods.noisy.base import Shared
from labelwise.models import Attended, Attending, vit_for


class AttentiveMethod(MixedMethod):
    """Needs a backbone that attends, see `labelwise.models.Attending`; `fit` makes a small vision transformer."""

    needs = "pictures; missing labels are left out of the loss"
    bench = "mixing-vit"

    def __init__(self, backbone: nn.Module, tasks: Sequence[Task], **shared: Unpack[Shared]):
        if not isinstance(backbone, Attending):
            raise ValueError(
                f"this method mixes pictures by attention, which {type(backbone).__name__} does not give; take "
                "labelwise.models.SmallViT, give the backbone `grid` and `attend` as labelwise.models.Attending says, "
                "or use method cutmix"
            )
        super().__init__(backbone, tasks, **shared)

    @staticmethod
    def default_backbone(shape: Sequence[Any], width: int = 128, dropout: float = 0.0) -> nn.Module:
        """A small vision transformer; see `vit_for`."""
        return vit_for(shape, width, dropout)

    def attend(self, inputs: Tensor) -> Attended:
        """What the backbone makes of pictures."""
        assert isinstance(self.backbone, Attending)
        return self.backbone.attend(inputs)
