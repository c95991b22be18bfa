"""Losses of embeddings among each other, with mixtures as further positives and negatives."""

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_info_nce(first: Tensor, second: Tensor, targets: Tensor, temperature: float = 0.1) -> Tensor:
    """How badly each row of one view finds its rows of the other, and the other way round, `[batch]` in nats.

    Args:
        first: `[batch, d]`, scaled to unit length here.
        second: `[batch, d]`, likewise.
        targets: `[batch, batch]`, each row with sum 1: how much a row of `first` belongs to each of `second`. Back, row
            i of `second` should find row j of `first` as much as i of `first` belongs to j, so mean over the batch.
        temperature: > 0.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding" (2018), with soft targets.
    """
    similarity = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / temperature
    there = -(targets * F.log_softmax(similarity, -1)).sum(-1)
    back = -(targets.T * F.log_softmax(similarity.T, -1)).sum(-1)
    return (there + back) / 2


def m3_mixup_contrastive_loss(
    mixed: Tensor, plain: Tensor, partner: Tensor, weight: Tensor, temperature: float = 0.1
) -> Tensor:
    """Contrast mixtures of one modality with plain rows of another, `[batch]` in nats.

    A mixture belongs to its own row by its weight, and to its partner's by the rest. With weights of 1 that is the
    symmetric InfoNCE loss.

    Args:
        mixed: `[batch, d]`.
        plain: `[batch, d]`.
        partner: int64 `[batch]`.
        weight: `[batch]` in [0, 1], the share of the own example.
        temperature: > 0.

    Source: Kumar et al., "Harnessing Shared Relations via Multimodal Mixup Contrastive Learning" (2025), eq. 3-5; a row
    that is its own partner keeps all of its weight, which it loses in the authors' code.
    """
    targets = torch.diag(weight).scatter_add(1, partner[:, None], (1 - weight)[:, None])
    return soft_info_nce(mixed, plain, targets, temperature)


def soft_clip_loss(first: Tensor, second: Tensor, temperature: float = 0.125) -> Tensor:
    """Contrast two views, with the similarities inside the second as targets, `[batch]` in nats.

    Gradients flow through the targets as well.

    Args:
        first: `[batch, d]`, scaled to unit length here.
        second: `[batch, d]`, likewise.
        temperature: > 0.

    Source: Kumar et al., "Harnessing Shared Relations via Multimodal Mixup Contrastive Learning" (2025), eq. 8, after
    Gao et al., "SoftCLIP" (2024).
    """
    first, second = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
    targets = torch.softmax(second @ second.T / temperature, -1)
    similarity = first @ second.T / temperature
    there = -(targets * F.log_softmax(similarity, -1)).sum(-1)
    back = -(targets * F.log_softmax(similarity.T, -1)).sum(-1)
    return (there + back) / 2


def metrix_contrastive(similarity: Tensor, labels: Tensor, counted: Tensor, margin: float = 0.5) -> Tensor:
    """Contrastive loss of anchors against examples that may be positive in part, `[anchors]`.

    Args:
        similarity: s, `[anchors, n]`.
        labels: y, `[anchors, n]` in [0, 1]: how much an example is positive for an anchor; a mixture by its share.
        counted: bool `[anchors, n]`, which pairs there are.
        margin: similarity that a negative may have.

    The sum of -y s + (1 - y) max(0, s - margin).

    Source: Venkataramanan et al., "It Takes Two to Tango" (2022), table 1 and eq. 10.
    """
    costs = labels * -similarity + (1 - labels) * F.relu(similarity - margin)
    return (counted * costs).sum(-1)


def metrix_multi_similarity(
    similarity: Tensor,
    labels: Tensor,
    counted: Tensor,
    positive_scale: float = 18.0,
    negative_scale: float = 75.0,
    margin: float = 0.77,
) -> Tensor:
    """Multi-similarity loss with examples that may be positive in part, `[anchors]`.

    log(1 + sum y exp(-b (s - m))) / b + log(1 + sum (1 - y) exp(g (s - m))) / g, with b and g the scales of positives
    and negatives and m the margin. Takes the same as `metrix_contrastive`.

    Source: Wang et al., "Multi-Similarity Loss" (2019); Venkataramanan et al., "It Takes Two to Tango" (2022), table 1.
    """
    positive = _log_one_plus(-positive_scale * (similarity - margin), labels * counted) / positive_scale
    negative = _log_one_plus(negative_scale * (similarity - margin), (1 - labels) * counted) / negative_scale
    return positive + negative


def metrix_proxy_anchor(
    similarity: Tensor, labels: Tensor, counted: Tensor, scale: float = 32.0, margin: float = 0.1
) -> Tensor:
    """Proxy anchor loss, with proxies of classes as anchors and examples that may be positive in part, `[proxies]`.

    log(1 + sum y exp(-b (s - m))) + log(1 + sum (1 - y) exp(b (s + m))). Takes the same as `metrix_contrastive`, with
    similarities `[proxies, n]`.

    Source: Kim et al., "Proxy Anchor Loss" (2020); Venkataramanan et al., "It Takes Two to Tango" (2022), table 1.
    """
    positive = _log_one_plus(-scale * (similarity - margin), labels * counted)
    return positive + _log_one_plus(scale * (similarity + margin), (1 - labels) * counted)


def mixture_similarity(anchors: Tensor, examples: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
    """Cosine of each anchor with mixtures of two examples' embeddings, `[anchors, m]`, without making the mixtures.

    A mixture is `weight` of one example and `1 - weight` of another, as they are given: of unit length, to mix what
    embeddings end with; not, to mix before they are scaled.

    Args:
        anchors: `[anchors, d]`.
        examples: `[n, d]`.
        positive: int64 `[anchors, m]`, the row of the first example in each mixture.
        negative: int64 `[anchors, m]`, that of the second.
        weight: `[anchors, m]` in [0, 1].
    """
    products = anchors @ examples.T
    dot = torch.lerp(products.gather(1, negative), products.gather(1, positive), weight)
    between = (examples @ examples.T)[positive, negative]
    squares = examples.square().sum(1)
    square = weight**2 * squares[positive] + (1 - weight) ** 2 * squares[negative] + 2 * weight * (1 - weight) * between
    smallest = torch.finfo(dot.dtype).eps  # opposite examples can cancel
    return dot / (square.clamp(min=smallest).sqrt() * anchors.norm(dim=1, keepdim=True).clamp(min=smallest))


def supremix_loss(
    embeddings: Tensor,
    labels: Tensor,
    anchor_share: Tensor | None = None,
    temperature: float = 0.3,
    window: float | None = 5.0,
    weighted: bool = True,
) -> Tensor:
    """Supervised contrastive loss for numbers, with mixtures as hard positives and negatives, `[n]` in nats.

    An anchor i should be near examples of its own label, and near mixtures of a lower and a higher example, both within
    `window`, whose mixed label is its own. It should be far from all others, and from mixtures of itself with each
    example of another label. Mixtures are constants. All terms of the denominator are summed in one log-sum-exp.

    Args:
        embeddings: `[n, d]`, of unit length; several views of an example are several rows.
        labels: `[n]`.
        anchor_share: `[n, n]` in [0, 1], the share of anchor i in its mixture with k; without it there are none.
        temperature: > 0.
        window: differences of labels below which mixtures are positives, in units of labels; None for no such ones.
        weighted: let terms of the denominator count 1 + |difference of labels|.

    An anchor without positives costs 0. Time and memory grow with n^3 at worst, and not with d.

    Source: Wu et al., "Mixup Your Own Pairs" (2023).
    """
    n = len(labels)
    self = torch.eye(n, dtype=torch.bool, device=labels.device)
    distance = (labels[:, None] - labels[None, :]).abs().to(embeddings.dtype)
    similarity = embeddings @ embeddings.T / temperature
    constant = embeddings @ embeddings.detach().T / temperature  # a mixture's similarity is one of these, mixed
    own = constant.diagonal()[:, None]

    logits = [(similarity + torch.log1p(distance * weighted)).masked_fill(self, -torch.inf)]
    if anchor_share is not None:
        anchor_share = anchor_share.to(embeddings.dtype)
        mixtures = torch.lerp(constant, own.expand(n, n), anchor_share)
        weights = torch.log1p((1 - anchor_share) * distance * weighted)
        logits.append((mixtures + weights).masked_fill(distance == 0, -torch.inf))
    positives = ((distance == 0) & ~self).to(embeddings.dtype)
    count, attraction = positives.sum(1), (positives * similarity).sum(1)
    highest = torch.cat(logits, 1).detach().amax(1)
    if window is None:
        denominator = torch.logsumexp(torch.cat(logits, 1), 1)
    else:
        anchor, lower, higher, share = enclosing_pairs(labels, window)
        share = share.to(constant.dtype)
        between = share * constant[anchor, lower] + (1 - share) * constant[anchor, higher]
        highest = highest.scatter_reduce(0, anchor, between.detach(), "amax")
        finite = highest.clamp(min=torch.finfo(highest.dtype).min)
        total = torch.exp(torch.cat(logits, 1) - finite[:, None]).sum(1)
        total = total.index_add(0, anchor, torch.exp(between - finite[anchor]))
        # A lonely row has nothing to be near to or far from.
        denominator = finite + total.clamp(min=torch.finfo(total.dtype).tiny).log()
        count = count.index_add(0, anchor, torch.ones_like(between))
        attraction = attraction.index_add(0, anchor, between)
    losses = denominator - attraction / count.clamp(min=1)
    return torch.where(count > 0, losses, 0)


def enclosing_pairs(labels: Tensor, window: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each example every lower and higher one, both near, whose mixture has its label.

    Args:
        labels: `[n]`, finite.
        window: differences of labels below which examples are near, in units of labels.

    Returns:
        The rows of anchor, lower and higher example, int64 `[m]` each, and the share of the lower one, `[m]`. Time
        grows with n^3.

    Source: Wu et al., "Mixup Your Own Pairs" (2023).
    """
    rise = labels[None, :] - labels[:, None]  # from anchor i to k
    above, below = (rise > 0) & (rise < window), (rise < 0) & (rise > -window)
    anchor, lower, higher = (below[:, :, None] & above[:, None, :]).nonzero(as_tuple=True)
    return anchor, lower, higher, rise[anchor, higher] / (rise[anchor, higher] - rise[anchor, lower])


def _log_one_plus(exponents: Tensor, weights: Tensor) -> Tensor:
    """log(1 + sum_j weights_j exp(exponents_j)) along the last axis, safe for large exponents."""
    terms = exponents + weights.log()
    return torch.logsumexp(torch.cat([torch.zeros_like(terms[..., :1]), terms], -1), -1)
