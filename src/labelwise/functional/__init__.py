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

__all__ = [
    "Reduction",
    "binary_codes",
    "masked_cross_entropy",
    "mix_selectors",
    "nearest_permutation",
    "reach_penalty",
    "selector",
    "selector_entropy",
    "sinkhorn",
    "smooth_step",
    "temperature",
    "top_k_softmax",
]
