"""Detectors of the package `torchvision`."""

from collections.abc import Mapping, Sequence
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.labels.boxes import Boxes
from labelwise.labels.nearest import nearest
from labelwise.models.detectors.base import Detector

_MOST = 100  # boxes found in a picture
_THIN = 0.01  # pixels; boxes of a smaller side are none
_GROUPS = 8  # of channels that are normalised together; it divides the channels of all layers


class _Family(NamedTuple):
    """How torchvision names a detector, where to tap it, which layer sees the picture, and what its pretrained weights
    want added to the variances that they fix; None: what the layers themselves say."""

    builder: str
    tap: str
    first: str
    eps: float | None = None


_RESNET = ("model.backbone.body.layer4.2", "model.backbone.body.conv1")
_FAMILIES = {
    "faster-rcnn": _Family("fasterrcnn_resnet50_fpn", *_RESNET, eps=0.0),
    "fcos": _Family("fcos_resnet50_fpn", *_RESNET),
    "retinanet": _Family("retinanet_resnet50_fpn", *_RESNET, eps=0.0),
    # The convolution before the tap of SSD300 is named in the source; this ReLU overwrites what that gave.
    "ssd300": _Family("ssd300_vgg16", "model.backbone.features.22", "model.backbone.features.0"),
    "ssdlite320": _Family(
        "ssdlite320_mobilenet_v3_large", "model.backbone.features.1.3", "model.backbone.features.0.0.0"
    ),
}
TORCHVISION = tuple(_FAMILIES)
"""Short names of the detectors of torchvision."""


class TorchvisionDetector(Detector):
    """A detector of `torchvision`: Faster R-CNN, FCOS, RetinaNet (ResNet-50-FPN), SSD300 (VGG16) or SSDLite320.

    Needs the extra `torchvision`. The SSDs resize pictures to 300 and 320 pixels a side, the others take them as they
    are. All layers are trained, the first ones too.

    No layer looks at statistics of a batch: what torchvision normalises by them is normalised by those that came with
    pretrained weights (`frozen`), else by groups of channels within a picture. So a picture gives the same features
    whatever is beside it, in training and in eval mode: a student in training and its teacher in eval mode can be
    compared, small batches do no harm, and a validation loss leaves nothing behind.

    Args:
        name: one of `TORCHVISION`.
        n_classes: number of classes, without background.
        frozen: whether to normalise by fixed statistics; wrong for weights that are not pretrained.

    Raises `ValueError` for another name, and `ImportError` if torchvision is not installed or does not go with the
    torch that is.
    """

    def __init__(self, name: str, n_classes: int, frozen: bool = False):
        super().__init__()
        models = _models(name)
        self.name, self.frozen = name, frozen
        self.family = _FAMILIES[name]
        self.tap, self.first = self.family.tap, self.family.first
        model = models.get_model(self.family.builder, weights=None, weights_backbone=None, num_classes=n_classes + 1)
        self.model: Any = _normalised(model, frozen, self.family.eps)

    @classmethod
    def pretrained(cls, name: str, n_classes: int) -> "TorchvisionDetector":
        """A detector with the weights that torchvision learned from COCO, but for those that tell classes, drawn anew.

        They are fetched, or taken from the folder where torch keeps what it fetched. Raises `ValueError` if they cannot
        be had, with the remedy, and `ImportError` as the class does.
        """
        weights = _models(name).get_model_weights(_FAMILIES[name].builder).COCO_V1
        try:
            given = weights.get_state_dict(check_hash=True, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"the weights of detector {name!r} could not be loaded from {weights.url} ({reason}); fetch that file "
                f"where there is a network and put it into {torch.hub.get_dir()}/checkpoints, or take "
                f"{name}-untrained as the detector"
            ) from None
        detector = cls(name, n_classes, frozen=True)
        own = detector.model.state_dict()
        fitting = {each: value for each, value in given.items() if each in own and value.shape == own[each].shape}
        detector.model.load_state_dict(own | fitting)
        return detector

    def settings(self) -> dict[str, Any]:
        """What `from_settings` needs, as plain JSON."""
        return {"torchvision": self.name, "frozen": self.frozen}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], n_classes: int) -> "TorchvisionDetector":
        """An untrained detector of these settings; it needs no network."""
        return cls(settings["torchvision"], n_classes, settings["frozen"])

    def more_channels(self, n: int) -> None:
        """Take pictures with `n` further channels, each as spread as the three are."""
        transform = self.model.transform
        spread = sum(transform.image_std) / len(transform.image_std)
        transform.image_mean = [*transform.image_mean, *[0.0] * n]
        transform.image_std = [*transform.image_std, *[spread] * n]

    def forward(self, images: Tensor) -> Any:
        """The features that the boxes are found in, by level; a teacher need not find any."""
        pictures, _ = self.model.transform(self._pictures(images)[0])
        return self.model.backbone(pictures.tensors)

    def loss(self, images: Tensor, targets: Sequence[Boxes]) -> Tensor:
        """The sum of the model's own losses; in eval mode what is drawn at random in it is always the same."""
        pictures, x, y = self._pictures(images)
        given = [
            {
                "boxes": torch.from_numpy(one.scaled(x, y).corners).to(images),
                "labels": torch.from_numpy(one.labels).to(images.device) + 1,  # 0 is the background
            }
            for one in targets
        ]
        training = self.model.training
        with torch.random.fork_rng(range(torch.cuda.device_count()), enabled=not training):
            if not training:
                torch.manual_seed(0)
            self.model.train()  # else torchvision gives no losses; no layer works in another way for it
            try:
                losses = self.model(pictures, given)
            finally:
                self.model.train(training)
        return torch.stack(list(losses.values())).sum()

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Boxes]:
        """At most 100 boxes a picture, of those that the model itself thinks likely enough."""
        pictures, x, y = self._pictures(images)
        found = []
        for one in self.model(pictures):
            corners, labels, scores = one["boxes"], one["labels"] - 1, one["scores"]
            # Some models have an answer for the background that nothing teaches them not to give.
            good = (labels >= 0) & ((corners[:, 2:] - corners[:, :2]) > _THIN).all(1)
            kept = Boxes(*(each[good][:_MOST].cpu().numpy() for each in (corners, labels, scores)))
            found.append(kept.scaled(1 / x, 1 / y))
        return found

    def _pictures(self, images: Tensor) -> tuple[list[Tensor], float, float]:
        """The pictures one by one, of the size that the model works on, and the factors by which x and y were resized.

        The model's own resizing is left with nothing to do: its last bits depend on how many channels there are.
        """
        transform, (height, width) = self.model.transform, images.shape[2:]
        if transform.fixed_size is None:
            transform.min_size, transform.max_size = (min(height, width),), max(height, width)
            return list(images), 1.0, 1.0
        wide, high = transform.fixed_size
        resized = F.interpolate(images.flatten(0, 1)[:, None], (high, wide), mode="bilinear")
        return list(resized.view(*images.shape[:2], high, wide)), wide / width, high / height


def _models(name: str) -> Any:
    if name not in _FAMILIES:
        raise ValueError(f"name must be one of {', '.join(TORCHVISION)}; got {name!r}{nearest(name, TORCHVISION)}")
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: it was built for another torch
        raise ImportError(
            f"detector {name!r} needs an extra: pip install 'labelwise[torchvision]', from where torch "
            f"{torch.__version__} came ({error})"
        ) from None
    return models


def _normalised(module: nn.Module, frozen: bool, eps: float | None) -> nn.Module:
    """The module, with every layer that looks at statistics of a batch replaced."""
    from torchvision.ops import FrozenBatchNorm2d

    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            width = child.num_features
            fixed = FrozenBatchNorm2d(width, child.eps if eps is None else eps) if frozen else None
            setattr(module, name, fixed or nn.GroupNorm(_GROUPS, width))
        else:
            _normalised(child, frozen, eps)
    return module
