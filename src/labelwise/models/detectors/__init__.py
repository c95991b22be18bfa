"""Detectors behind one interface."""

from labelwise.models.detectors.base import Detector
from labelwise.models.detectors.compact import CompactDetector
from labelwise.models.detectors.hugging_face import TransformersDetector
from labelwise.models.detectors.named import (
    COMPACT,
    PRETRAINED,
    check_detector,
    named_detector,
    rebuilt_detector,
    usual_learning_rate,
    usual_side,
)
from labelwise.models.detectors.torchvision import TORCHVISION, TorchvisionDetector

__all__ = [
    "COMPACT",
    "PRETRAINED",
    "TORCHVISION",
    "CompactDetector",
    "Detector",
    "TorchvisionDetector",
    "TransformersDetector",
    "check_detector",
    "named_detector",
    "rebuilt_detector",
    "usual_learning_rate",
    "usual_side",
]
