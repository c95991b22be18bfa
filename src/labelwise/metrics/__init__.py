"""Scores: how well probabilities agree with labels and found boxes with given ones, and which experts gates use."""

from labelwise.metrics.classification import classification_scores, reliability
from labelwise.metrics.detection import coco_map
from labelwise.metrics.gating import (
    expert_load,
    expert_overlap,
    expert_recovery,
    expert_usage,
    experts_used,
    gate_entropy,
)

__all__ = [
    "classification_scores",
    "coco_map",
    "expert_load",
    "expert_overlap",
    "expert_recovery",
    "expert_usage",
    "experts_used",
    "gate_entropy",
    "reliability",
]
