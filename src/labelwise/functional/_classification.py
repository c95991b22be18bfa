"""Losses of classification."""

import torch.nn.functional as F
from torch import Tensor


def masked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each example; 0, and without gradient, where the label is missing.

    Args:
        logits: `[batch, classes]`.
        labels: int64 `[batch]` in [0, classes), -1 where missing.

    Returns:
        `[batch]`, in nats.
    """
    return F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
