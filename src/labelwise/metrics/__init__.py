"""How well predicted probabilities agree with labels: scores with intervals, calibration."""

from labelwise.metrics.classification import classification_scores, reliability

__all__ = ["classification_scores", "reliability"]
