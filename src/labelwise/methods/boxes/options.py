"""What can be set when a detector is fitted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from labelwise.labels.nearest import nearest
from labelwise.methods.method import check_range
from labelwise.methods.privileged.detection import DetectorPlan
from labelwise.methods.registry import complete, describe
from labelwise.models.detectors import COMPACT, usual_learning_rate, usual_side

METHODS = ("detection", "lupi")
"""A detector by its own loss alone, and the student of one that sees the boxes."""

FEATURES = ("pooled", "map")
_EPOCHS = 24
_STEPS = 800  # with fewer a small detector has not learned all it can


@dataclass(frozen=True)
class Training:
    """How a detector is fitted.

    Args:
        epochs: most passes over the training pictures; 0 chooses 24 or, where pictures are few, as many as 800 steps
            take.
        batch_size: pictures a step, >= 1.
        learning_rate: step size of AdamW at the start, > 0; 0 chooses 0.002 for the compact detector, 0.001 for
            untrained ones of torchvision and 0.0001 for pretrained ones.
        patience: passes without a lower loss on the validation pictures before training stops; 0 never stops early.
        side: pixels of the longer side that pictures are resized to, a multiple of 32; 0 chooses 320 for the compact
            detector and the SSDs of torchvision, and 640 for others.
    """

    epochs: int = 0
    batch_size: int = 8
    learning_rate: float = 0.0
    patience: int = 8
    side: int = 0

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, least=0)
        check_range("batch_size", self.batch_size, least=1)
        check_range("learning_rate", self.learning_rate, least=0)
        check_range("side", self.side, least=0)
        if self.side % 32:
            raise ValueError(f"side must be a multiple of 32 pixels; got {self.side}")
        self.plan(COMPACT, 1)

    def plan(self, detector: str, pictures: int) -> DetectorPlan:
        """The plan for a detector of this name, and so many training pictures."""
        rate = self.learning_rate or usual_learning_rate(detector)
        steps_a_pass = max(1, math.ceil(pictures / self.batch_size))
        epochs = self.epochs or max(_EPOCHS, math.ceil(_STEPS / steps_a_pass))
        return DetectorPlan(epochs, self.batch_size, rate, self.patience)

    def pixels(self, detector: str) -> int:
        """Pixels of the longer side for a detector of this name."""
        return self.side or usual_side(detector)


@dataclass(frozen=True)
class Teaching:
    """How a student learns from a teacher that sees the boxes.

    Args:
        alpha: share of the teacher in the loss, in [0, 1]; left out, it is chosen on the validation pictures.
        feature: what is compared with the teacher: "pooled", averages of features, or "map", features at each position.
        outline: thickness in pixels of the line around the boxes that the teacher sees, >= 0.
    """

    alpha: float | None = None
    feature: str = "pooled"
    outline: int = 7

    def __post_init__(self) -> None:
        if self.alpha is not None:
            check_range("alpha", self.alpha, least=0, most=1)
        check_range("outline", self.outline, least=0)
        if self.feature not in FEATURES:
            raise ValueError(f"feature must be one of {', '.join(FEATURES)}; got {self.feature!r}")


def box_options(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options completed with defaults: those of `Training` and, for `lupi`, of `Teaching`.

    Raises `ValueError` for an unknown method or option, with the nearest name, and for values out of range.
    """
    if method not in METHODS:
        raise ValueError(
            f"there is no method {method!r} for boxes{nearest(method, METHODS)} (methods: {', '.join(METHODS)})"
        )
    known = (describe(Teaching) if method == "lupi" else {}) | describe(Training)
    found = complete(options, known, f"method {method!r} for boxes")
    training_of(found), teaching_of(found)
    return found


def training_of(options: Mapping[str, Any]) -> Training:
    """The part of completed options that all methods have."""
    return Training(**{each.name: options[each.name] for each in fields(Training)})


def teaching_of(options: Mapping[str, Any]) -> Teaching | None:
    """The part of completed options about the teacher; None where there is none."""
    names = [each.name for each in fields(Teaching)]
    return Teaching(**{name: options[name] for name in names}) if "alpha" in options else None
