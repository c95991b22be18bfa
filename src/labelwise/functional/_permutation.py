"""Permutations, soft and hard."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def sinkhorn(logits: Tensor, iterations: int = 20) -> Tensor:
    """Turn square matrices of logits into nearly doubly stochastic ones: entries >= 0, each row and column with sum 1.

    Normalises rows and columns of `exp(logits)` in turn, in logarithms. Rows come last, so they sum to 1 to rounding;
    columns do in the limit of many iterations. `sinkhorn(logits / temperature)` tends to `nearest_permutation(logits)`
    as the temperature falls; the lower it is, the more iterations columns need.

    Args:
        logits: `[..., n, n]`.
        iterations: at least 1.

    Returns:
        `[..., n, n]`, in float32 or wider.

    Source: Mena et al., "Learning Latent Permutations with Gumbel-Sinkhorn Networks" (2018), eqs. 1-3 and theorem 1.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    for _ in range(iterations):
        logits = torch.log_softmax(torch.log_softmax(logits, -2), -1)
    return logits.exp()


def nearest_permutation(logits: Tensor) -> Tensor:
    """The permutation of the largest total logit: int64 `[..., n]`, the column that each row of `[..., n, n]` gets.

    No gradient; computed on the CPU by linear assignment. Raises `ValueError` if a logit is not finite.

    Source: Mena et al. (2018), the matching operator, eq. 4.
    """
    if not logits.isfinite().all():
        raise ValueError("logits of a permutation must be finite; training may have diverged: lower the learning rate")
    matrices = logits.detach().double().cpu().reshape(-1, *logits.shape[-2:]).numpy()
    columns = [torch.from_numpy(linear_sum_assignment(matrix, maximize=True)[1]) for matrix in matrices]
    return torch.stack(columns).reshape(logits.shape[:-1]).to(logits.device)
