"""Detectors behind one interface."""

from labelwise.models.detectors.base import Detector
from labelwise.models.detectors.compact import CompactDetector
from labelwise.models.detectors.hugging_face import TransformersDetector

__all__ = ["CompactDetector", "Detector", "TransformersDetector"]
