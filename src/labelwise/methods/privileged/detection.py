"""Training a detector, alone or as the student of one that sees the right boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from labelwise.functional import boxes_to_mask, gap_cosine_distance, map_cosine_distance
from labelwise.labels.boxes import Boxes
from labelwise.methods.batch import Batch
from labelwise.methods.learner import Learner
from labelwise.methods.method import check_range
from labelwise.methods.training import Plan, seeded, train
from labelwise.models import feature_tap, with_extra_input_channels
from labelwise.models.detectors import Detector

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
        patience: passes without a lower loss on validation pictures, where there are any, before training stops;
            0 never stops early.
    """

    epochs: int = 12
    batch_size: int = 8
    learning_rate: float = 2e-3
    patience: int = 8

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, least=1)
        check_range("batch_size", self.batch_size, least=1)
        check_range("learning_rate", self.learning_rate, above=0)
        check_range("patience", self.patience, least=0)


def masks(boxes: Sequence[Boxes], size: tuple[int, int], n_classes: int, outline: int = 7) -> Tensor:
    """The boxes of each picture as a channel in [0, 1], float32 [n, 1, height, width]; see `boxes_to_mask`."""
    drawn = [
        boxes_to_mask(torch.from_numpy(one.corners), torch.from_numpy(one.labels), size, n_classes, outline=outline)
        for one in boxes
    ]
    return torch.stack(drawn).float() / 255


def flipped(scenes: Scenes) -> Scenes:
    """Each picture, with its boxes, mirrored or not, and upside down or not, by two throws of a coin.

    Draws from torch's global random numbers.
    """
    height, width = scenes.images.shape[2:]
    mirror, turn = torch.rand(2, len(scenes.boxes)) < 0.5
    where = mirror[:, None, None, None].to(scenes.images.device)
    images = torch.where(where, scenes.images.flip(3), scenes.images)
    where = turn[:, None, None, None].to(scenes.images.device)
    images = torch.where(where, images.flip(2), images)
    boxes = [one.mirrored(width) if m else one for one, m in zip(scenes.boxes, mirror.tolist(), strict=True)]
    return Scenes(images, [one.upside_down(height) if t else one for one, t in zip(boxes, turn.tolist(), strict=True)])


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
    detector: Detector,
    scenes: Scenes,
    plan: DetectorPlan,
    seed: int = 0,
    *,
    teacher: Oracle | None = None,
    alpha: float = 0.5,
    feature: Feature = "pooled",
    validation: Scenes | None = None,
    checkpoint: Path | None = None,
    quiet: bool = True,
) -> list[dict[str, Any]]:
    """Train a detector in place on pictures flipped at random; give the history, as `methods.train` does.

    With a `teacher`, which stays as it is, the loss is (1 - alpha) detection + alpha distance of features at
    `detector.tap`: of their averages, "pooled", as in the source, or position by position, "map". With alpha 0 it is
    the training without a teacher, bit for bit. With `validation` pictures the weights of their lowest detection loss
    are kept. Order and flips are drawn from `seed`; with `checkpoint`, a file, a training that was stopped goes on.
    Leaves the detector in eval mode.

    Raises `ValueError` for an alpha out of [0, 1], an unknown feature, or no picture.

    Source: Bartolo et al., "Learning Using Privileged Information for Litter Detection" (2025).
    """
    check_range("alpha", alpha, least=0, most=1)
    if feature not in _DISTANCES:
        raise ValueError(f"feature must be one of {', '.join(_DISTANCES)}; got {feature!r}")
    plain = detector.loss
    if teacher is None:
        return _train(_Training(detector, scenes, plan, plain, plain, validation), seed, checkpoint, quiet, "detector")
    oracle = teacher
    oracle.detector.eval()

    def loss(images: Tensor, boxes: Sequence[Boxes]) -> Tensor:
        oracle.detector.to(images.device)
        with feature_tap(detector, detector.tap) as own:
            detection = detector.loss(images, boxes)
        with feature_tap(oracle.detector, oracle.detector.tap) as shown, torch.no_grad():
            oracle.detector(oracle.inputs(images, boxes))
        pair = (detector.feature_map(each.features) for each in (own, shown))
        distance = _DISTANCES[feature](*pair).mean()
        return (1 - alpha) * detection + alpha * distance

    title = f"student, alpha {alpha:g}"
    return _train(_Training(detector, scenes, plan, loss, plain, validation), seed, checkpoint, quiet, title)


def train_teacher(
    detector: Detector,
    scenes: Scenes,
    plan: DetectorPlan,
    n_classes: int,
    seed: int = 0,
    outline: int = 7,
    *,
    validation: Scenes | None = None,
    checkpoint: Path | None = None,
    quiet: bool = True,
) -> Oracle:
    """Train a copy of a detector that sees the right boxes as a further channel; see `train_detector`.

    It starts from the detector's weights, with weights of zero for the new channel.
    """
    teacher = untrained_teacher(detector, n_classes, outline)
    train_oracle(teacher, scenes, plan, seed, validation=validation, checkpoint=checkpoint, quiet=quiet)
    return teacher


def untrained_teacher(detector: Detector, n_classes: int, outline: int = 7) -> Oracle:
    """A copy of a detector that sees the right boxes as a further channel, which it does not yet heed."""
    return Oracle(with_extra_input_channels(detector, 1, path=detector.first), n_classes, outline)


def train_oracle(
    teacher: Oracle,
    scenes: Scenes,
    plan: DetectorPlan,
    seed: int = 0,
    *,
    validation: Scenes | None = None,
    checkpoint: Path | None = None,
    quiet: bool = True,
) -> list[dict[str, Any]]:
    """Train a teacher in place, by its detection loss alone; give the history, see `train_detector`."""

    def loss(images: Tensor, boxes: Sequence[Boxes]) -> Tensor:
        return teacher.detector.loss(teacher.inputs(images, boxes), boxes)

    learner = _Training(teacher.detector, scenes, plan, loss, loss, validation)
    return _train(learner, seed, checkpoint, quiet, "teacher")


@torch.no_grad()
def detect(detector: Detector, inputs: Tensor) -> list[Boxes]:
    """The boxes found in each picture of `inputs` [n, channels, height, width], uint8 or in [0, 1], with scores.

    For a teacher, `inputs` are its `Oracle.inputs`: what it finds then is no result, since nobody has the right boxes
    in use.
    """
    device = next(detector.parameters()).device
    detector.eval()
    return [found for part in inputs.split(_AT_ONCE) for found in detector.predict(_shares(part.to(device)))]


def _shares(images: Tensor) -> Tensor:
    """Pictures in [0, 1]."""
    return images if images.is_floating_point() else images.float() / 255


class _Training(Learner):
    """Minimises `loss` of pictures in [0, 1] and their boxes; the weights of the lowest `heldout` loss are the best."""

    def __init__(
        self,
        detector: Detector,
        scenes: Scenes,
        plan: DetectorPlan,
        loss: Callable[[Tensor, Sequence[Boxes]], Tensor],
        heldout: Callable[[Tensor, Sequence[Boxes]], Tensor],
        validation: Scenes | None,
    ):
        super().__init__()
        self.detector = detector.train()
        self.scenes = scenes
        self.plan = plan
        self.learning_rate = plan.learning_rate
        self.loss = loss
        self.heldout = heldout
        self.validation = validation if validation is not None and len(validation.boxes) else None
        self.validation_loss: float | None = None

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        images, boxes = flipped(Scenes(batch.inputs, [self.scenes.boxes[row] for row in batch.index.tolist()]))
        return self.loss(_shares(images), boxes)

    def criterion(self) -> float | None:
        if self.validation is not None:
            self.eval()
            self.validation_loss = self._validate(self.validation)
        return self.validation_loss

    def epoch_facts(self) -> dict[str, Any]:
        return {} if self.validation_loss is None else {"validation_loss": self.validation_loss}

    @torch.no_grad()
    def _validate(self, validation: Scenes) -> float:
        """The mean loss of a picture."""
        total, n = 0.0, len(validation.boxes)
        for rows in np.array_split(np.arange(n), -(-n // self.plan.batch_size)):
            images, boxes = validation.select(rows)
            total += len(rows) * self.heldout(_shares(images.to(self.device)), boxes).item()
        return total / n

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.detector.parameters(), self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _train(learner: _Training, seed: int, checkpoint: Path | None, quiet: bool, title: str) -> list[dict[str, Any]]:
    n = len(learner.scenes.boxes)
    if not n:
        raise ValueError("there is no picture to learn from")
    plan = Plan(epochs=learner.plan.epochs, batch_size=learner.plan.batch_size, patience=learner.plan.patience)
    with seeded(seed):
        return train(
            learner, learner.scenes.images, {}, np.arange(n), np.arange(0), plan, seed, checkpoint, quiet, title
        )
