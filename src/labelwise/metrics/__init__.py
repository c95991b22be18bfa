"""Scores: how well predictions agree with labels and found boxes with given ones, and which experts gates use."""

from labelwise.metrics.calibration import adaptive_calibration_error, classwise_calibration_error, risk_coverage_area
from labelwise.metrics.class_sets import distribution_scores, mean_average_precision, set_scores
from labelwise.metrics.classification import classification_scores, reliability
from labelwise.metrics.detection import coco_map, precision_recall
from labelwise.metrics.embeddings import (
    alignment,
    map_at_r,
    neighbour_overlap,
    recall_at,
    uniformity,
    utilization,
)
from labelwise.metrics.gating import (
    expert_load,
    expert_overlap,
    expert_recovery,
    expert_usage,
    experts_used,
    gate_entropy,
)
from labelwise.metrics.regression import regression_scores

__all__ = [
    "adaptive_calibration_error",
    "alignment",
    "classification_scores",
    "classwise_calibration_error",
    "coco_map",
    "distribution_scores",
    "expert_load",
    "expert_overlap",
    "expert_recovery",
    "expert_usage",
    "experts_used",
    "gate_entropy",
    "map_at_r",
    "mean_average_precision",
    "neighbour_overlap",
    "precision_recall",
    "recall_at",
    "regression_scores",
    "reliability",
    "risk_coverage_area",
    "set_scores",
    "uniformity",
    "utilization",
]
