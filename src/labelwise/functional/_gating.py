"""The maths of DSelect-k: smooth-step, binary codes, single-expert selectors and what keeps them honest."""

from typing import Any, Literal

import torch
from torch import Tensor

Reduction = Literal["none", "sum", "batchmean"]

# Kept inside the logarithm and under the fraction, so that an empty selector gives a finite penalty.
EPSILON = 1e-6


def smooth_step(t: Tensor, gamma: float = 1.0) -> Tensor:
    """Rise from exactly 0 to exactly 1 over an interval of width `gamma` around 0, with a continuous slope.

    `-2 (t/gamma)^3 + 3/2 (t/gamma) + 1/2` within `gamma / 2` of zero; 0 below, 1 above, where the slope is exactly 0.

    Args:
        t: logits of any shape.
        gamma: width of the rise, >= 0. At 0, the limit: 1 where t > 0, else 0, with no slope anywhere.

    Returns:
        Same shape, in [0, 1], in float32 or wider: half precision cannot hold the cube of a small `gamma`.

    Source: Hazimeh et al., "The Tree Ensemble Layer" (2020), the smooth-step function, which DSelect-k (2021) uses.
    """
    t = t.to(torch.promote_types(t.dtype, torch.float32))
    if gamma == 0:
        return t.sign().relu()  # not a comparison: the result stays in the graph, with a gradient of zero
    # Clamped before the division, so that rounding cannot leave a slope beyond the ends.
    rise = t.clamp(-gamma / 2, gamma / 2) / gamma + 0.5
    # The same cubic, shifted by a half: in this form rounding never leaves [0, 1].
    return rise * rise * (3 - 2 * rise)


def binary_codes(n: int, device: torch.device | str | None = None) -> Tensor:
    """Write the numbers 0 to n - 1 in binary, most significant bit first: bool `[n, m]` with `m = ceil(log2(n))`.

    A single number needs no bits: `m = 0`. Raises `ValueError` if n < 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    bits = torch.arange((n - 1).bit_length() - 1, -1, -1, device=device)
    return (torch.arange(n, device=device)[:, None] >> bits & 1).bool()


def selector(z_logits: Tensor, n_experts: int, gamma: float = 1.0) -> Tensor:
    """Turn the bits that each selector has settled on, wholly or partly, into weights over experts.

    Expert i gets the product over bits j of `z_j` where its code (see `binary_codes`) has a 1, and `1 - z_j` where it
    has a 0, with `z = smooth_step(z_logits, gamma)`. Settled bits (0 or 1) give exactly one expert.

    Args:
        z_logits: `[..., m]`, most significant bit first, with `m = ceil(log2(n_experts))`.
        n_experts: at least 1.
        gamma: width of the smooth step.

    Returns:
        `[..., n]` in [0, 1]. The last axis sums to 1 if `n = 2^m`; otherwise to at most 1, as codes without an expert
        have their share too. It is the first axis in memory, which is what makes this fast.

    Raises:
        ValueError: another number of bits than `n_experts` have.

    Source: Hazimeh et al., DSelect-k (2021), the single-expert selector.
    """
    if z_logits.shape[-1] != (n_experts - 1).bit_length():
        raise ValueError(
            f"{n_experts} experts are numbered with {(n_experts - 1).bit_length()} bits; "
            f"z_logits must have as many on the last axis, got {list(z_logits.shape)}"
        )
    digits = smooth_step(z_logits, gamma).movedim(-1, 0)
    shares = _products(digits) if digits.requires_grad else _products_in_place(digits)
    shares = shares if len(shares) == n_experts else shares[:n_experts]  # slicing costs a pass over the gradient
    return shares.movedim(0, -1)


def _products(digits: Tensor) -> Tensor:
    """Share of each number `[2^m, ...]` from its digits `[m, ...]`, most significant first.

    A tree: each digit parts the share of every number that the digits behind it spell. All products together thus cost
    about two passes over the result, where a product of m factors for each number takes m.
    """
    shares = digits.new_ones(1, *digits.shape[1:])
    for digit in reversed(digits.unbind()):
        ones = shares * digit
        shares = torch.cat([shares - ones, ones])
    return shares


def _products_in_place(digits: Tensor) -> Tensor:
    """The same to the last bit, without a copy at each digit, for where no gradient will ask what was there before."""
    shares = digits.new_ones(2 ** len(digits), *digits.shape[1:])
    for place, digit in enumerate(reversed(digits.unbind())):
        zeros, ones = shares[: 2**place], shares[2**place : 2 ** (place + 1)]
        torch.mul(zeros, digit, out=ones)
        zeros.sub_(ones)
    return shares


def mix_selectors(selectors: Tensor, w_logits: Tensor) -> Tensor:
    """Average selectors `[..., k, n]` with weights softmax(`w_logits` `[..., k]`): weights of experts `[..., n]`.

    Source: Hazimeh et al., DSelect-k (2021), the gate as a convex combination of selectors.
    """
    # Leading axes keep every operation on whole rows of memory. Not a matmul: autocast would compute one in half
    # precision.
    shares = torch.softmax(w_logits.movedim(-1, 0), 0, dtype=selectors.dtype)
    parts = selectors.movedim((-2, -1), (0, 1))
    mixed = shares[0] * parts[0]
    for share, part in zip(shares[1:], parts[1:], strict=True):
        mixed = torch.addcmul(mixed, share, part)  # k passes over the result, and no copy of all selectors
    return _FirstToLast.apply(mixed)


class _FirstToLast(torch.autograd.Function):
    """Moves the first axis to the end in memory too, and that of the gradient back, so that neither side strides."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor) -> Tensor:
        return values.movedim(0, -1).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.movedim(-1, 0).contiguous()


def top_k_softmax(logits: Tensor, k: int) -> Tensor:
    """Softmax over the k largest logits of the last axis; exactly 0 for the others.

    Args:
        logits: `[..., n]`.
        k: from 1 to n.

    Returns:
        `[..., n]`, with sum 1.

    Source: Shazeer et al., "Outrageously Large Neural Networks" (2017), eqs. 3 and 5.
    """
    largest, experts = logits.topk(k, -1)
    return torch.zeros_like(logits).scatter(-1, experts, torch.softmax(largest, -1))


def selector_entropy(selectors: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Entropy of selectors: 0 for each that has settled on one expert.

    `- sum_i r_i log(r_i + 1e-6)`, on the selectors themselves and not on their mixture.

    Args:
        selectors: `[..., k, n]`.
        reduction: "sum" over all leading axes, as in the official code; "batchmean" sums over selectors and takes the
            mean over the axes before, so that its strength does not depend on the batch; "none" gives `[..., k]`.

    Source: Hazimeh et al., DSelect-k (2021), entropy regularisation; the constant as in the official code.
    """
    return _reduce(-(selectors * torch.log(selectors + EPSILON)).sum(-1), reduction)


def reach_penalty(selectors: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Penalise weight on codes that no expert has, by `1 / sum_i r_i` for each selector, which is at least 1.

    Needed only if the number of experts is not a power of two. The sum is clamped at 1e-6 from below, so that a
    selector entirely on such codes costs 1e6 and gets no gradient, where the official code gives infinity and nan.

    Args:
        selectors: `[..., k, n]`.
        reduction: as in `selector_entropy`.

    Source: official code of DSelect-k (2021), regularisation of unreachable experts.
    """
    return _reduce(1 / selectors.sum(-1).clamp(min=EPSILON), reduction)


def _reduce(values: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "sum":
        return values.sum()
    if reduction == "batchmean":
        return values.sum() / max(1, values.shape[:-1].numel())
    if reduction == "none":
        return values
    raise ValueError(f"reduction must be 'none', 'sum' or 'batchmean'; got {reduction!r}")
