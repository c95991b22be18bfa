"""Losses and targets where labels are distributions over classes."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(logits: Tensor, targets: Tensor, subtract_entropy: bool = False) -> Tensor:
    """Cross-entropy of each example against a distribution over classes.

    Args:
        logits: `[batch, classes]`.
        targets: `[batch, classes]`, at least 0, each row with sum 1. No gradient flows into them.
        subtract_entropy: give the Kullback-Leibler divergence of the prediction from the target instead. Its gradient
            is the same; its least value is 0.

    Returns:
        `[batch]`, in nats.
    """
    targets = targets.detach()
    losses = -(targets * F.log_softmax(logits, -1)).sum(-1)
    return losses + torch.xlogy(targets, targets).sum(-1) if subtract_entropy else losses


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Make distributions more certain: `p^(1 / temperature)`, scaled to sum 1 again.

    Args:
        probabilities: `[..., classes]`, at least 0, some of each row above.
        temperature: above 0; 1 changes nothing, towards 0 all goes to the largest. `ValueError` if it is not.

    Source: Berthelot et al., "MixMatch" (2019), eq. 7.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    return torch.softmax(probabilities.log() / temperature, -1)


def negative_entropy(logits: Tensor) -> Tensor:
    """How certain each prediction is, sum_k p_k log p_k in nats, `[batch]`: from -log(classes) to 0.

    Source: Pereyra et al., "Regularizing Neural Networks by Penalizing Confident Output Distributions" (2017).
    """
    logs = F.log_softmax(logits, -1)
    return (logs.exp() * logs).sum(-1)


def prior_divergence(logits: Tensor, prior: Tensor) -> Tensor:
    """The divergence of the mean prediction of a batch from `prior`, sum_k pi_k log(pi_k / mean p_k), a scalar >= 0.

    Args:
        logits: `[batch, classes]`, batch >= 1.
        prior: `[classes]`, sum 1.

    Source: Tanaka et al., "Joint Optimization Framework for Learning with Noisy Labels" (2018), eq. 9.
    """
    mean = torch.logsumexp(F.log_softmax(logits, -1), 0) - math.log(len(logits))
    return (torch.xlogy(prior, prior) - prior * mean).sum()


def parts_loss(probabilities: Tensor, parts: Tensor, candidates: Tensor) -> Tensor:
    """Binary cross-entropy between the classes seen in parts of an example and those expected from its prediction.

    Expected of class j is the probability (p U)_j, cut off at 1.

    Args:
        probabilities: p `[batch, classes]` of the whole example.
        parts: U `[batch, classes, classes]` in [0, 1]: whether an example of class i shows class j in a part.
        candidates: bool or 0/1 `[batch, classes]`, the classes seen.

    Returns:
        `[batch]`, the mean over classes, in nats.

    Source: Zhao et al., "Estimating Noisy Class Posterior with Part-level Labels for Noisy Label Learning" (2024).
    """
    expected = (probabilities[:, None] @ parts)[:, 0].clamp(0, 1)
    return F.binary_cross_entropy(expected, candidates.to(expected.dtype), reduction="none").mean(-1)


def log_confidence_target(
    logits: Tensor, targets: Tensor, step: int, warm_up: int = 200, strength: float = 0.5
) -> Tensor:
    """Mix weak labels with the model's own hardened prediction, so that it may come to trust itself more than them.

    The target is (1 - a) y + a h, with a = strength min(1, step / warm_up). The prediction h is hardened so that its
    classes occur as often as in the labels of the batch. With two classes: class 0 where its probability is at least
    the quantile of the batch at the mean of y for class 1. With more: the largest probability after each class was
    scaled by its share of the labels over its share of the predictions. A batch of one example has no such shares;
    there h is the likeliest class.

    Args:
        logits: `[batch, classes]`. No gradient flows through them.
        targets: y, `[batch, classes]`, at least 0, each row with sum 1.
        step: steps done so far, at least 0.
        warm_up: steps until a is largest, at least 1.
        strength: the largest a, in [0, 1].

    Returns:
        `[batch, classes]`, each row with sum 1, for `soft_cross_entropy`.

    Source: Burns et al., "Weak-to-Strong Generalization" (2023), appendix A.4; in the form of Mallen and Belrose,
    "Balancing Label Quantity and Quality for Scalable Elicitation" (2024), with two classes.
    """
    a = strength * min(1.0, step / warm_up)
    own = F.one_hot(_hardened(logits.detach().softmax(-1), targets.detach()), logits.shape[-1])
    return (1 - a) * targets.detach() + a * own.to(targets.dtype)


def _hardened(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The class of each example, int64 [batch], with shares of classes near those of the targets."""
    if len(probabilities) == 1:
        return probabilities.argmax(-1)
    prior = targets.mean(0)
    if probabilities.shape[-1] == 2:
        first = probabilities[:, 0]
        return (first < torch.quantile(first, prior[1].clamp(0, 1).to(first.dtype))).long()
    return (probabilities * (prior / probabilities.mean(0).clamp_min(1e-30))).argmax(-1)
