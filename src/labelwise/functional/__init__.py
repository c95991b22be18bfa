"""Pure maths on tensors: no state, results per example unless a `reduction` is asked for."""

from labelwise.functional._calibration import temperature
from labelwise.functional._classification import masked_cross_entropy
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
from labelwise.functional._permutation import nearest_permutation, sinkhorn
from labelwise.functional._pooling import box_weights, roi_mean, span_mean, span_weights
from labelwise.functional._soft_labels import log_confidence_target, soft_cross_entropy

__all__ = [
    "Reduction",
    "binary_codes",
    "box_weights",
    "log_confidence_target",
    "masked_cross_entropy",
    "mix_selectors",
    "nearest_permutation",
    "reach_penalty",
    "roi_mean",
    "selector",
    "selector_entropy",
    "sinkhorn",
    "smooth_step",
    "soft_cross_entropy",
    "span_mean",
    "span_weights",
    "temperature",
    "top_k_softmax",
]
