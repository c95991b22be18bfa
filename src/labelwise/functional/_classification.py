"""Losses and margins of classification."""

import torch
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


def label_margins(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the logit of the label is above the largest other one.

    Args:
        logits: `[batch, classes]`, at least two classes.
        labels: int64 `[batch]` in [0, classes), -1 where missing.

    Returns:
        `[batch]`; nan where the label is missing.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking" (2020), eq. 1.
    """
    column = labels.clamp(min=0)[:, None]
    own = logits.gather(-1, column)
    margins = own - logits.scatter(-1, column, -torch.inf).amax(-1, keepdim=True)
    return margins.squeeze(-1).masked_fill(labels < 0, torch.nan)
