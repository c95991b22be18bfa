"""Detectors behind one interface."""

from labelwise.models.detectors.base import Detector
from labelwise.models.detectors.compact import CompactDetector

__all__ = ["CompactDetector", "Detector"]
