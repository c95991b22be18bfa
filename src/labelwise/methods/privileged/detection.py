"""Training a detector, alone or as the student of one that sees the right boxes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from labelwise.functional import boxes_to_mask, gap_cosine_distance, map_cosine_distance
from labelwise.labels.boxes import Boxes
from labelwise.methods.method import check_range
from labelwise.models import feature_tap, with_extra_input_channels
from labelwise.models.detectors import Detector
from labelwise.progress import progress

D = TypeVar("D", bound=Detector)
Feature = Literal["pooled", "map"]
_DISTANCES = {"pooled": gap_cosine_distance, "map": map_cosine_distance}
_AT_ONCE = 32  # pictures, in inference


class Scenes(NamedTuple):
    """Pictures of one size, uint8 [n, channels, height, width], and the boxes of each."""

    images: Tensor
    boxes: Sequence[Boxes]

    def select(self, rows: np.ndarray) -> "Scenes":
        """Some of them, in this order."""
        return Scenes(self.images[torch.from_numpy(rows)], [self.boxes[row] for row in rows])


@dataclass(frozen=True)
class DetectorPlan:
    """How long to train a detector, and in what steps.

    Args:
        epochs: passes over the pictures, >= 1.
        batch_size: pictures a step, >= 1.
        learning_rate: step size of AdamW at the start, > 0; it falls to 0 along half a cosine.
    """

    epochs: int = 12
    batch_size: int = 8
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, least=1)
        check_range("batch_size", self.batch_size, least=1)
        check_range("learning_rate", self.learning_rate, above=0)


def masks(boxes: Sequence[Boxes], size: tuple[int, int], n_classes: int, outline: int = 7) -> Tensor:
    """The boxes of each picture as a channel in [0, 1], float32 [n, 1, height, width]; see `boxes_to_mask`."""
    drawn = [
        boxes_to_mask(torch.from_numpy(one.corners), torch.from_numpy(one.labels), size, n_classes, outline=outline)
        for one in boxes
    ]
    return torch.stack(drawn).float() / 255


def flipped(scenes: Scenes, generator: np.random.Generator) -> Scenes:
    """Each picture, with its boxes, mirrored or not, and upside down or not, by two throws of a coin."""
    height, width = scenes.images.shape[2:]
    mirror, turn = generator.random((2, len(scenes.boxes))) < 0.5
    images = torch.where(torch.from_numpy(mirror)[:, None, None, None], scenes.images.flip(3), scenes.images)
    images = torch.where(torch.from_numpy(turn)[:, None, None, None], images.flip(2), images)
    boxes = [one.mirrored(width) if m else one for one, m in zip(scenes.boxes, mirror, strict=True)]
    return Scenes(images, [one.upside_down(height) if t else one for one, t in zip(boxes, turn, strict=True)])


class Oracle(NamedTuple):
    """A detector with one more channel, which shows it the right boxes.

    `n_classes` and `outline` (pixels) say how these are drawn.
    """

    detector: Detector
    n_classes: int
    outline: int = 7

    def inputs(self, images: Tensor, boxes: Sequence[Boxes]) -> Tensor:
        """What it sees: pictures [n, channels, height, width] in [0, 1] and, as a last channel, the boxes."""
        drawn = masks(boxes, (images.shape[2], images.shape[3]), self.n_classes, self.outline)
        return torch.cat([images, drawn.to(images)], 1)


def train_detector(
    detector: D,
    scenes: Scenes,
    plan: DetectorPlan,
    seed: int = 0,
    *,
    teacher: Oracle | None = None,
    alpha: float = 0.5,
    feature: Feature = "pooled",
    quiet: bool = True,
) -> list[float]:
    """Train a detector in place on pictures flipped at random; give the mean loss of each epoch.

    With a `teacher`, which stays as it is, the loss is (1 - alpha) detection + alpha distance of features at
    `detector.tap`: of their averages, "pooled", as in the source, or position by position, "map". With alpha 0 it is
    the training without a teacher, bit for bit. Order and flips are drawn from `seed`. Leaves the detector in eval
    mode.

    Raises `ValueError` for an alpha out of [0, 1], an unknown feature, or no picture.

    Source: Bartolo et al., "Learning Using Privileged Information for Litter Detection" (2025).
    """
    check_range("alpha", alpha, least=0, most=1)
    if feature not in _DISTANCES:
        raise ValueError(f"feature must be one of {', '.join(_DISTANCES)}; got {feature!r}")
    if teacher is None:
        return _train(detector, detector.loss, scenes, plan, seed, quiet, "detector")
    oracle = teacher
    oracle.detector.eval()

    def loss(images: Tensor, boxes: Sequence[Boxes]) -> Tensor:
        with feature_tap(detector, detector.tap) as own:
            detection = detector.loss(images, boxes)
        with feature_tap(oracle.detector, oracle.detector.tap) as shown, torch.no_grad():
            oracle.detector(oracle.inputs(images, boxes))
        pair = (detector.feature_map(each.features) for each in (own, shown))
        distance = _DISTANCES[feature](*pair).mean()
        return (1 - alpha) * detection + alpha * distance

    return _train(detector, loss, scenes, plan, seed, quiet, "student")


def train_teacher(
    detector: Detector,
    scenes: Scenes,
    plan: DetectorPlan,
    n_classes: int,
    seed: int = 0,
    outline: int = 7,
    quiet: bool = True,
) -> Oracle:
    """Train a copy of a detector that sees the right boxes as a further channel; see `train_detector`.

    It starts from the detector's weights, with weights of zero for the new channel.
    """
    teacher = Oracle(with_extra_input_channels(detector, 1, path=detector.first), n_classes, outline)

    def loss(images: Tensor, boxes: Sequence[Boxes]) -> Tensor:
        return teacher.detector.loss(teacher.inputs(images, boxes), boxes)

    _train(teacher.detector, loss, scenes, plan, seed, quiet, "teacher")
    return teacher


def detect(detector: Detector, inputs: Tensor) -> list[Boxes]:
    """The boxes found in each picture of `inputs`, float [n, channels, height, width] in [0, 1], with scores.

    For a teacher, `inputs` are its `Oracle.inputs`: what it finds then is no result, since nobody has the right boxes
    in use.
    """
    detector.eval()
    return [found for part in inputs.split(_AT_ONCE) for found in detector.predict(part)]


def _train(
    detector: Detector,
    loss: Callable[[Tensor, Sequence[Boxes]], Tensor],
    scenes: Scenes,
    plan: DetectorPlan,
    seed: int,
    quiet: bool,
    title: str,
) -> list[float]:
    """Minimise `loss` of pictures in [0, 1] and their boxes over the weights of the detector."""
    n = len(scenes.boxes)
    if not n:
        raise ValueError("there is no picture to learn from")
    steps = -(-n // plan.batch_size)
    optimizer = torch.optim.AdamW(detector.parameters(), plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * plan.epochs)
    generator = np.random.default_rng(seed)
    history = []
    detector.train()
    with progress(title, plan.epochs * steps, quiet) as advance:
        for epoch in range(plan.epochs):
            losses = []
            for rows in np.array_split(generator.permutation(n), steps):
                images, boxes = flipped(scenes.select(rows), generator)
                value = loss(images.float() / 255, boxes)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
                losses.append(value.item())
                advance()
            history.append(float(np.mean(losses)))
            if not math.isfinite(history[-1]):
                raise ValueError(
                    f"training diverged: the loss of epoch {epoch + 1} is not a finite number; try a smaller "
                    f"learning_rate than {plan.learning_rate:g}"
                )
    detector.eval()
    return history
