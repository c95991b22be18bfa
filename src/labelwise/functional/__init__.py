"""Pure maths on tensors: no state, results per example unless a `reduction` is asked for."""

from labelwise.functional._boxes import boxes_to_mask, generalized_iou
from labelwise.functional._calibration import temperature
from labelwise.functional._classification import label_margins, masked_cross_entropy
from labelwise.functional._feature_distances import gap_cosine_distance, map_cosine_distance
from labelwise.functional._gating import (
    Reduction,
    binary_codes,
    mix_selectors,
    reach_penalty,
    selector,
    selector_entropy,
    smooth_step,
    top_k_softmax,
)
from labelwise.functional._mixing import cut_box, five_crops, mix, random_shift
from labelwise.functional._permutation import nearest_permutation, sinkhorn
from labelwise.functional._pooling import box_weights, roi_mean, span_mean, span_weights
from labelwise.functional._small_losses import clean_probability, forget_rate, small_losses
from labelwise.functional._soft_labels import (
    log_confidence_target,
    negative_entropy,
    parts_loss,
    prior_divergence,
    sharpen,
    soft_cross_entropy,
)
from labelwise.functional._transition import backward_loss, forward_loss, importance_weights, reweighted_loss
from labelwise.functional._virtual_step import virtual_step

__all__ = [
    "Reduction",
    "backward_loss",
    "binary_codes",
    "box_weights",
    "boxes_to_mask",
    "clean_probability",
    "cut_box",
    "five_crops",
    "forget_rate",
    "forward_loss",
    "gap_cosine_distance",
    "generalized_iou",
    "importance_weights",
    "label_margins",
    "log_confidence_target",
    "map_cosine_distance",
    "masked_cross_entropy",
    "mix",
    "mix_selectors",
    "nearest_permutation",
    "negative_entropy",
    "parts_loss",
    "prior_divergence",
    "random_shift",
    "reach_penalty",
    "reweighted_loss",
    "roi_mean",
    "selector",
    "selector_entropy",
    "sharpen",
    "sinkhorn",
    "small_losses",
    "smooth_step",
    "soft_cross_entropy",
    "span_mean",
    "span_weights",
    "temperature",
    "top_k_softmax",
    "virtual_step",
]
