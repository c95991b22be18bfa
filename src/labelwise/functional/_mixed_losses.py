"""Targets and losses of examples that were mixed in pairs."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.functional._classification import masked_cross_entropy
from labelwise.functional._mixing import mix_partners

DecoupledTerms = Literal["both", "more", "less"]


def mixed_targets(labels: Tensor, partner: Tensor, weight: Tensor, classes: int | None = None) -> Tensor:
    """The labels of mixtures: `weight` of the own label and `1 - weight` of the partner's.

    Args:
        labels: class indices int64 `[batch]`, -1 where missing, with `classes`; or numbers, distributions or 0/1 sets,
            floating point `[batch]` or `[batch, ...]`. Sets are added in shares, too, for a binary cross-entropy; for
            targets of 0 and 1 take the `union` of both.
        partner: int64 `[batch]`.
        weight: `[batch]` in [0, 1], the share of the own label.
        classes: how many there are, for class indices. A missing label adds nothing.

    Returns:
        `[batch, classes]` for class indices, in the dtype of `weight`; else as `labels`.

    Raises `ValueError` for whole numbers without `classes`.

    Source: Zhang et al., "mixup" (2018), eq. 2.
    """
    if classes is not None:
        labels = F.one_hot(labels.clamp(min=0), classes).to(weight.dtype) * (labels >= 0)[:, None]
    elif not labels.is_floating_point():
        raise ValueError("class indices cannot be mixed by themselves; give `classes`, or labels in floating point")
    return mix_partners(labels, partner, weight)


def mixed_cross_entropy(logits: Tensor, labels: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the own label and of the partner's, in their shares, `[batch]` in nats.

    That is also the cross-entropy against the mixed target, value and gradient. Missing labels count 0.

    Args:
        logits: `[batch, classes]`.
        labels: int64 `[batch]`, -1 where missing.
        partner: int64 `[batch]`.
        weight: `[batch]` in [0, 1], the share of the own label.

    Source: Zhang et al., "mixup" (2018).
    """
    own, other = masked_cross_entropy(logits, labels), masked_cross_entropy(logits, labels[partner])
    return weight * own + (1 - weight) * other


def decoupled_mixup_loss(
    logits: Tensor,
    labels: Tensor,
    others: Tensor,
    weight: Tensor,
    strength: float = 0.1,
    terms: DecoupledTerms = "both",
    exponent: float = 1.0,
    threshold: float = 1.0,
) -> Tensor:
    """Cross-entropy of mixtures, and for each of its two classes one in which the other class does not compete.

    The second part asks for confidence in both classes whatever their shares are. It is left out where both classes are
    the same, or one has no share.

    Args:
        logits: `[batch, classes]`, at least two classes.
        labels: own classes, int64 `[batch]`.
        others: classes of the partners, int64 `[batch]`.
        weight: `[batch]` in [0, 1], the share of the own class.
        strength: of the second part, >= 0.
        terms: take the second part for "both" classes, or only for that of "more" or "less" share.
        exponent: t >= 0: in the second part a class of share s counts min(1, s / threshold) ** t.
        threshold: share in (0, 1] from which a class counts in full.

    Returns:
        `[batch]`, in nats.

    Raises `ValueError` for unknown `terms`.

    Source: Liu et al., "Harnessing Hard Mixed Samples with Decoupled Regularizer" (2023), eq. 5-7; unlike its code, the
    shares go with the classes a and b and not with the order of class indices.
    """
    if terms not in ("both", "more", "less"):
        raise ValueError(f"terms must be both, more or less; got {terms!r}")
    mixed = weight * F.cross_entropy(logits, labels, reduction="none")
    mixed = mixed + (1 - weight) * F.cross_entropy(logits, others, reduction="none")
    shares = torch.stack([weight, 1 - weight])
    counts = (shares / threshold).clamp(max=1) ** exponent
    counts = counts * ((labels != others) & (weight > 0) & (weight < 1))
    more = torch.stack([weight >= 0.5, weight < 0.5])
    if terms != "both":
        counts = counts * (more if terms == "more" else ~more)
    own, other = _without(logits, labels, others), _without(logits, others, labels)
    return mixed - strength * (counts[0] * own + counts[1] * other)


def decoupled_mixup_targets(
    labels: Tensor, others: Tensor, weight: Tensor, classes: int, exponent: float = 1.0, threshold: float = 0.8
) -> Tensor:
    """Targets of mixtures for a binary cross-entropy a class, in which two classes may sum to more than 1.

    Takes and means what `decoupled_mixup_loss` does; gives `[batch, classes]` in [0, 1].

    Source: Liu et al., "Harnessing Hard Mixed Samples with Decoupled Regularizer" (2023), eq. 8.
    """
    shares = (torch.stack([weight, 1 - weight]) / threshold).clamp(max=1) ** exponent
    shares = shares * (torch.stack([weight, 1 - weight]) > 0)
    own, other = (F.one_hot(each, classes).to(weight.dtype) for each in (labels, others))
    return (shares[0, :, None] * own + shares[1, :, None] * other).clamp(max=1)


def mixup_ranking_loss(
    logits: Tensor, mixed_logits: Tensor, same: Tensor, margin: float = 2.0, as_released: bool = False
) -> Tensor:
    """How much a mixture's largest logit fails to stay `margin` below that of the example itself, `[batch]`.

    Args:
        logits: of the examples, `[batch, classes]`.
        mixed_logits: of their mixtures, `[batch, classes]`.
        same: bool `[batch]`, where both classes of a mixture are the same; those cost nothing, as they are no less
            certain.
        margin: in logits, >= 0.
        as_released: as the authors' code does, scale all costs by the share of mixtures of two classes instead of
            leaving out the others.

    Source: Noh et al., "RankMixup" (2023), eq. 4.
    """
    costs = F.relu(mixed_logits.amax(-1) - logits.amax(-1) + margin)
    counted = (~same).to(costs.dtype)
    return costs * (counted.mean() if as_released else counted)


def mixup_ndcg_loss(logits: Tensor, mixed_logits: Tensor, mixed_targets: Tensor) -> Tensor:
    """How far confidences in mixtures of an example are from their largest shares, by rank, `[batch]` in [0, 1).

    The confidences in the example and in its mixtures, sorted by share, give a discounted gain; the shares themselves
    would give the ideal one. The loss is 1 minus the ratio of the smaller to the larger.

    Args:
        logits: of the examples, `[batch, classes]`.
        mixed_logits: of m mixtures of each, `[m, batch, classes]`.
        mixed_targets: their targets, `[m, batch, classes]`; no gradient flows into them.

    Of mixtures with equal shares the first counts as the larger.

    Source: Noh et al., "RankMixup" (2023), eq. 7-10.
    """
    shares, order = mixed_targets.detach().amax(-1).sort(dim=0, descending=True, stable=True)
    mixed = mixed_logits.softmax(-1).amax(-1).gather(0, order)
    confidences = torch.cat([logits.softmax(-1).amax(-1)[None], mixed])
    ideals = torch.cat([torch.ones_like(shares[:1]), shares])
    discounts = torch.tensor([math.log2(place + 2) for place in range(len(confidences))]).to(confidences)[:, None]
    gain, ideal = (confidences / discounts).sum(0), (ideals / discounts).sum(0)
    return 1 - torch.minimum(gain, ideal) / torch.maximum(gain, ideal)


def _without(logits: Tensor, labels: Tensor, dropped: Tensor) -> Tensor:
    """Log-probability of each label among the classes but one, `[batch]`; among all where that one is the label."""
    drop = F.one_hot(dropped, logits.shape[-1]).bool() & (labels != dropped)[:, None]
    return -F.cross_entropy(logits.masked_fill(drop, -torch.inf), labels, reduction="none")
