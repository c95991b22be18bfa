"""Detectors of the package `transformers`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labelwise.labels.boxes import Boxes
from labelwise.models.detectors.base import Detector

_CENTRE = (0.485, 0.456, 0.406)  # of ImageNet, by channel
_SPREAD = (0.229, 0.224, 0.225)
_MOST = 100  # boxes found in a picture


class _Family(NamedTuple):
    """Where to tap a model of a family, whether one logit stands for "nothing here", and whether it was made for
    pictures normalised as those of ImageNet are."""

    tap: str
    nothing: bool
    normalised: bool


_STAGE = "model.model.backbone.model.encoder.stages.3"
_FAMILIES = {
    "detr": _Family(_STAGE, True, True),
    "conditional_detr": _Family(_STAGE, False, True),
    "deformable_detr": _Family(_STAGE, False, True),
    "rt_detr_v2": _Family(_STAGE, False, False),
    "d_fine": _Family(_STAGE, False, False),
    "yolos": _Family("model.vit.encoder", True, True),
}


class TransformersDetector(Detector):
    """A detector of `transformers`: DETR, Conditional DETR, Deformable DETR, RT-DETR v2, D-FINE or YOLOS.

    Needs the extra `vision`.

    Args:
        model: a `...ForObjectDetection` model, such as `AutoModelForObjectDetection.from_pretrained` gives, with a
            backbone of `transformers` itself.

    Raises `ValueError` for a model of another family.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        kind = str(getattr(getattr(model, "config", None), "model_type", type(model).__name__))
        if kind not in _FAMILIES:
            raise ValueError(f"a detector must be one of {', '.join(_FAMILIES)}; got {kind}")
        self.model = model
        self.family = _FAMILIES[kind]
        self.tap = self.family.tap
        self.first = next(name for name, one in self.named_modules() if isinstance(one, nn.Conv2d))

    def settings(self) -> dict[str, Any]:
        """The configuration of the model, as plain JSON."""
        found: dict[str, Any] = json.loads(self.model.config.to_json_string(use_diff=False))  # type: ignore[union-attr,operator]
        return found

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "TransformersDetector":
        """An untrained detector of these settings; it needs no network."""
        from transformers import AutoConfig, AutoModelForObjectDetection

        config = AutoConfig.for_model(**settings)
        return cls(AutoModelForObjectDetection.from_config(config))

    def forward(self, images: Tensor) -> Any:
        """The model's own output: `logits` and `pred_boxes`, among others."""
        return self.model(pixel_values=self._normalised(images))

    def feature_map(self, tapped: Tensor) -> Tensor:
        """Features `[batch, d, h, w]`; of YOLOS those of the patches, `[batch, d, patches]`."""
        if tapped.ndim == 4:
            return tapped
        queries: int = self.model.config.num_detection_tokens  # type: ignore[union-attr,assignment]
        return tapped[:, 1:-queries].transpose(1, 2)

    def loss(self, images: Tensor, targets: Sequence[Boxes]) -> Tensor:
        """The model's own loss."""
        height, width = images.shape[2:]
        labels = []
        for one in targets:
            shares = one.scaled(1 / width, 1 / height).corners
            boxes = torch.from_numpy(shares).to(images)
            labels.append(
                {
                    "class_labels": torch.from_numpy(one.labels).to(images.device),
                    "boxes": torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1),
                }
            )
        loss: Tensor = self.model(pixel_values=self._normalised(images), labels=labels).loss
        return loss

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Boxes]:
        """At most 100 boxes a picture."""
        output = self(images)
        logits = output.logits
        chances = logits.softmax(-1)[..., :-1] if self.family.nothing else logits.sigmoid()
        scores, places = chances.flatten(1).topk(min(_MOST, chances[0].numel()))
        queries, labels = places // chances.shape[2], places % chances.shape[2]
        height, width = images.shape[2:]
        size = torch.tensor([width, height, width, height], device=images.device)
        centre, span = output.pred_boxes.split(2, -1)
        corners = (torch.cat([centre - span / 2, centre + span / 2], -1).clamp(0, 1) * size).gather(
            1, queries[..., None].expand(-1, -1, 4)
        )
        found = zip(corners.cpu().numpy(), labels.cpu().numpy(), scores.cpu().numpy(), strict=True)
        return [Boxes(*each) for each in found]

    def _normalised(self, images: Tensor) -> Tensor:
        if not self.family.normalised:
            return images
        further = images.shape[1] - 3  # channels that only a teacher has stay as they are
        centre, spread = ((*three, *(value,) * further) for three, value in ((_CENTRE, 0.0), (_SPREAD, 1.0)))
        shape = (-1, 1, 1)
        return (images - images.new_tensor(centre).view(shape)) / images.new_tensor(spread).view(shape)
