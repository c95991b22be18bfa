"""Who is mixed with whom, and in what shares."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Mode = Literal["batch", "example", "pair"]
MODES = ("batch", "example", "pair")


def random_partners(n: int, generator: torch.Generator | None = None) -> Tensor:
    """A random permutation, int64 `[n]`; some rows may be their own partners."""
    return torch.randperm(n, generator=generator, device=_device(generator))


def reversed_partners(n: int) -> Tensor:
    """The first with the last, the second with the last but one, int64 `[n]`; the middle of an odd number with itself.

    Two rows are each other's partners.
    """
    return torch.arange(n).flip(0)


def rolled_partners(n: int, shift: int = 1) -> Tensor:
    """Each row with the one `shift` before it, int64 `[n]`."""
    return torch.arange(n).roll(shift)


def other_partners(n: int, generator: torch.Generator | None = None) -> Tensor:
    """A random permutation in which no row is its own partner, if there are two, int64 `[n]`: one large circle."""
    order = random_partners(n, generator)
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def group_partners(groups: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A random permutation within each group, int64 `[n]`; `groups` int64 `[n]`, classes for instance."""
    shuffled = random_partners(len(groups), generator).to(groups.device)
    drawn = shuffled[groups[shuffled].argsort(stable=True)]
    return torch.empty_like(drawn).scatter_(0, groups.argsort(stable=True), drawn)


def different_partners(groups: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each row one of another group at random, int64 `[n]`, itself if there is none; no permutation.

    `groups` int64 `[n]`, classes for instance.
    """
    order = groups.argsort(stable=True)
    ordered = groups[order]
    first, end = torch.searchsorted(ordered, groups), torch.searchsorted(ordered, groups, right=True)
    others = len(groups) - (end - first)
    chances = torch.rand(len(groups), generator=generator, device=_device(generator), dtype=torch.float64)
    drawn = (chances.to(groups.device) * others).long()
    drawn += torch.where(drawn >= first, end - first, 0)  # past the own group
    return torch.where(others > 0, order[drawn.clamp(max=len(groups) - 1)], torch.arange(len(groups)).to(groups.device))


def beta_weights(
    alpha: float,
    n: int,
    generator: torch.Generator | None = None,
    mode: Mode = "batch",
    partner: Tensor | None = None,
    beta: float | None = None,
) -> Tensor:
    """Shares of the own example, float64 `[n]`, from Beta(alpha, alpha).

    Args:
        alpha: >= 0; small values mix little, 0 leaves everything as it is.
        n: how many.
        generator: where random numbers come from; torch's global ones without it.
        mode: "batch", one share for all; "example", one each; or "pair", one for each two that are each other's
            partners.
        partner: int64 `[n]`, for mode "pair".
        beta: the second parameter, if it is not alpha.

    Raises `ValueError` for alpha below 0, an unknown mode, and pairs that are not mutual.
    """
    check_alpha(alpha)
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
    # torch draws no Beta from a generator that is handed in.
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=_device(generator)))
    if alpha == 0:
        return torch.ones(n, dtype=torch.float64)
    random, beta = np.random.default_rng(seed), alpha if beta is None else beta
    if mode == "batch":
        return torch.full((n,), random.beta(alpha, beta), dtype=torch.float64)
    weights = torch.from_numpy(random.beta(alpha, beta, n))
    if mode == "example":
        return weights
    partner = reversed_partners(n) if partner is None else partner.cpu()
    rows = torch.arange(n)
    if not torch.equal(partner[partner], rows):
        raise ValueError("mode 'pair' needs rows that are each other's partners; pair with `reversed_partners`")
    return weights[torch.minimum(rows, partner)]


def check_alpha(alpha: float) -> None:
    """Raise `ValueError` if this is no parameter of shares."""
    if not alpha >= 0:
        raise ValueError(f"alpha must be at least 0; got {alpha}")


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
