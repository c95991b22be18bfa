"""A learned permutation of experts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import nearest_permutation, sinkhorn

_LAST_TEMPERATURE = 0.1  # far below, matrices need hundreds of Sinkhorn iterations to become doubly stochastic


class ExpertPermutation(nn.Module):
    """Decides which expert each number stands for, for each of k selectors, and learns which decision serves best.

    Selectors spell numbers in binary, so that an expert is one digit away from a few others only; which ones, an
    arbitrary numbering decides. While it learns, each selector is multiplied by a nearly doubly stochastic matrix: the
    Sinkhorn normalisation of `logits / temperature`, which slides evenly into the permutation nearest to the logits,
    while the temperature falls geometrically from 1 to 0.1. From step `steps` in training mode on, that permutation is
    fixed for good; in eval mode it serves before, too.

    Parameters: `logits [k, n, n]`, first drawn from the standard normal distribution, so that the start is decided
    enough for selectors to matter. The buffer `order [k, n]` is the fixed permutation, the expert of each number, or -1
    before. Raises `ValueError` if steps < 1.

    Source: Mena et al., "Learning Latent Permutations with Gumbel-Sinkhorn Networks" (2018), for the operators; Ibrahim
    et al., "COMET: Learning Cardinality Constrained Mixture of Experts with Trees and Local Search" (2023), for
    permuting the experts of a gate. The annealing is ours.
    """

    order: Tensor

    def __init__(self, k: int, n_experts: int, steps: int):
        super().__init__()
        if steps < 1:
            raise ValueError(f"permute_steps must be at least 1; got {steps}")
        self.steps = steps
        self.logits = nn.Parameter(torch.empty(k, n_experts, n_experts))
        self.register_buffer("order", torch.empty(k, n_experts, dtype=torch.int64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the logits anew; nothing is fixed."""
        nn.init.normal_(self.logits)
        self.order.fill_(-1)

    def forward(self, selectors: Tensor, step: int) -> Tensor:
        """Weights over experts from weights over numbers, `[..., k, n]` both; their sums stay as they are.

        `step`: steps in training mode so far, this one included.
        """
        fixed = bool(self.order[0, 0] >= 0)
        if self.training and not fixed and step < self.steps:
            done = step / self.steps
            hard = F.one_hot(nearest_permutation(self.logits), self.logits.shape[-1])
            matrix = ((1 - done) * sinkhorn(self.logits / _LAST_TEMPERATURE**done) + done * hard).to(selectors.dtype)
            with torch.autocast(selectors.device.type, enabled=False):
                return torch.einsum("...kn,knm->...km", selectors, matrix)
        order = self.order if fixed else nearest_permutation(self.logits)
        renamed = selectors.gather(-1, order.argsort(-1).expand_as(selectors))
        if not self.training:
            return renamed
        self.order.copy_(order)
        return renamed + 0 * self.logits.sum()  # data-parallel training waits for a gradient of each parameter
