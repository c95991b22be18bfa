"""Operations on sets of labels, hard or soft."""

import torch
from torch import Tensor


def union(first: Tensor, second: Tensor) -> Tensor:
    """Labels in at least one of two sets; of probabilities 1 - (1 - p)(1 - q), as if they were independent.

    Args:
        first: bool, or in [0, 1], `[..., classes]`.
        second: likewise.
    """
    return first | second if first.dtype == second.dtype == torch.bool else first + second - first * second


def intersection(first: Tensor, second: Tensor) -> Tensor:
    """Labels in both of two sets; of probabilities p q. Takes the same as `union`."""
    return first & second if first.dtype == second.dtype == torch.bool else first * second


def difference(first: Tensor, second: Tensor) -> Tensor:
    """Labels in the first of two sets and not in the second; of probabilities p (1 - q). Takes the same as `union`."""
    return first & ~second if first.dtype == second.dtype == torch.bool else first * (1 - second)
