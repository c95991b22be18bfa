"""Pure maths on tensors: no state, results per example unless a `reduction` is asked for."""

from labelwise.functional._boxes import boxes_to_mask, generalized_iou
from labelwise.functional._calibration import temperature
from labelwise.functional._classification import label_margins, masked_cross_entropy
from labelwise.functional._contrastive import (
    enclosing_pairs,
    m3_mixup_contrastive_loss,
    metrix_contrastive,
    metrix_multi_similarity,
    metrix_proxy_anchor,
    mixture_similarity,
    soft_clip_loss,
    soft_info_nce,
    supremix_loss,
)
from labelwise.functional._density_pairs import label_density_pairs
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
from labelwise.functional._masks import (
    attention_share,
    contrast_saliency,
    extreme_window,
    fourier_field,
    largest_share,
    masked_mean,
    window_sums,
)
from labelwise.functional._mixed_losses import (
    DecoupledTerms,
    decoupled_mixup_loss,
    decoupled_mixup_targets,
    mixed_cross_entropy,
    mixed_targets,
    mixup_ndcg_loss,
    mixup_ranking_loss,
)
from labelwise.functional._mixing import (
    adaptive_label_weight,
    box_mask,
    cut_boxes,
    five_crops,
    mix,
    mix_partners,
    random_shift,
)
from labelwise.functional._permutation import nearest_permutation, sinkhorn
from labelwise.functional._pooling import box_weights, roi_mean, span_mean, span_weights
from labelwise.functional._sets import difference, intersection, union
from labelwise.functional._small_losses import clean_probability, forget_rate, small_losses, trimmed_mean
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
    "DecoupledTerms",
    "Reduction",
    "adaptive_label_weight",
    "attention_share",
    "backward_loss",
    "binary_codes",
    "box_mask",
    "box_weights",
    "boxes_to_mask",
    "clean_probability",
    "contrast_saliency",
    "cut_boxes",
    "decoupled_mixup_loss",
    "decoupled_mixup_targets",
    "difference",
    "enclosing_pairs",
    "extreme_window",
    "five_crops",
    "forget_rate",
    "forward_loss",
    "fourier_field",
    "gap_cosine_distance",
    "generalized_iou",
    "importance_weights",
    "intersection",
    "label_density_pairs",
    "label_margins",
    "largest_share",
    "log_confidence_target",
    "m3_mixup_contrastive_loss",
    "map_cosine_distance",
    "masked_cross_entropy",
    "masked_mean",
    "metrix_contrastive",
    "metrix_multi_similarity",
    "metrix_proxy_anchor",
    "mix",
    "mix_partners",
    "mix_selectors",
    "mixed_cross_entropy",
    "mixed_targets",
    "mixture_similarity",
    "mixup_ndcg_loss",
    "mixup_ranking_loss",
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
    "soft_clip_loss",
    "soft_cross_entropy",
    "soft_info_nce",
    "span_mean",
    "span_weights",
    "supremix_loss",
    "temperature",
    "top_k_softmax",
    "trimmed_mean",
    "union",
    "virtual_step",
    "window_sums",
]
