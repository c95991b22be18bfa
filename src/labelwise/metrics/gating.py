"""Which experts gates use, how much, and with whom they share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # reports read scores without torch, which takes seconds to import
    from torch import Tensor

_USED = 1e-5  # weights up to this do not count as use


def experts_used(weights: Tensor, threshold: float = _USED) -> Tensor:
    """How many experts each example uses: int64 `[...]`, from gate weights `[..., n]`, those above `threshold`."""
    return (weights > threshold).sum(-1)


def expert_usage(weights: Tensor, threshold: float = _USED) -> Tensor:
    """Share of examples that use each expert: `[n]` in [0, 1], from gate weights `[..., n]` above `threshold`.

    A static gate is a single example. Sums to the mean of `experts_used`.
    """
    return _examples((weights > threshold).to(weights.dtype)).mean(0)


def expert_load(weights: Tensor) -> Tensor:
    """Mean weight that each expert gets: `[n]`, from gate weights `[..., n]`; sums to 1 if the weights do."""
    return _examples(weights).mean(0)


def gate_entropy(weights: Tensor) -> Tensor:
    """Entropy of gate weights `[..., n]`: `[...]` in nats, 0 for a single expert, log(n) for equal shares."""
    return -weights.xlogy(weights).sum(-1)


def expert_overlap(weights: Tensor, threshold: float = _USED) -> Tensor:
    """How much tasks share experts: the Jaccard index of those that each two use, mean over examples.

    Args:
        weights: of a gate a task, `[tasks, n]` or `[tasks, batch, n]`.
        threshold: weights above this count as use.

    Returns:
        `[tasks, tasks]` in [0, 1], symmetric; 1 for tasks that use the same experts (or none), 0 for strangers.

    Raises:
        ValueError: weights of another rank.
    """
    if weights.ndim not in (2, 3):
        raise ValueError(f"weights must be [tasks, n] or [tasks, batch, n]; got {list(weights.shape)}")
    used = (weights > threshold).to(weights.dtype).reshape(len(weights), -1, weights.shape[-1]).transpose(0, 1)
    shared = used @ used.mT
    sizes = used.sum(-1)
    either = sizes[:, :, None] + sizes[:, None, :] - shared
    return (shared / either).masked_fill(either == 0, 1).mean(0)


def expert_recovery(weights: Tensor, groups: Tensor, threshold: float = _USED) -> dict[str, float | None]:
    """Whether tasks that belong together came to share experts, where the truth is known.

    Args:
        weights: as in `expert_overlap`.
        groups: the true group of each task, int64 `[tasks]`.
        threshold: weights above this count as use.

    Returns:
        `{"within": ..., "across": ...}`: mean overlap of two different tasks of the same group, and of different
        groups; None where there is no such pair. Several experts can serve one group, so "within" need not come near 1.

    Raises:
        ValueError: weights of another rank, or not one group a task.
    """
    overlap = expert_overlap(weights, threshold)
    if groups.shape != (len(overlap),):
        raise ValueError(f"groups must be one a task, [{len(overlap)}]; got {list(groups.shape)}")
    same = groups[:, None] == groups
    pairs = {"within": overlap[same.triu(1)], "across": overlap[(~same).triu(1)]}
    return {name: values.mean().item() if len(values) else None for name, values in pairs.items()}


def _examples(weights: Tensor) -> Tensor:
    return weights.reshape(-1, weights.shape[-1])
