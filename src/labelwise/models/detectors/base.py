"""What every detector is."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from labelwise.labels.boxes import Boxes


class Detector(nn.Module):
    """Finds boxes in pictures: float `[batch, channels, height, width]` in [0, 1].

    `tap` is the name of the module whose output a student compares with its teacher's, see `feature_map`; `first` that
    of the layer that sees the picture.
    """

    tap: str
    first: str

    def feature_map(self, tapped: Tensor) -> Tensor:
        """What a student compares with its teacher, `[batch, d, ...]`, out of what the module at `tap` gave."""
        return tapped

    def settings(self) -> dict[str, Any] | None:
        """What `rebuilt_detector` needs to make it anew, as plain JSON; None of the compact one."""
        return None

    def loss(self, images: Tensor, targets: Sequence[Boxes]) -> Tensor:
        """What is minimised, a scalar, given the boxes of each picture."""
        raise NotImplementedError

    def predict(self, images: Tensor) -> list[Boxes]:
        """The boxes found in each picture, with scores, the surest first; call it in eval mode."""
        raise NotImplementedError
