"""Running experts only where a weight asks for them, and adding up what they say."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from labelwise.experts._parallel import ParallelExperts
from labelwise.experts._run import LocalBank, run, run_all, run_each

Bank = LocalBank | ParallelExperts

# Above this share of (example, expert) pairs, running every expert on every example costs less than sorting rows out.
DENSE_SHARE = 0.75


def combine(experts: Bank, inputs: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Weighted sums of the experts' outputs, one for each gate, without work that zero weights make useless.

    An expert runs if a static gate gives it weight, or on the rows for which a gate does, once for all gates.
    Others run neither forward nor backward. The gradients of the gates' parameters are nevertheless those of the dense
    sum, because a gate whose weight is exactly zero is flat there. An exported graph runs every expert on every row, as
    it cannot depend on values; `torch.compile` leaves this part to run as it does without.

    Args:
        experts: n modules, from `[rows, ...]` to `[rows, ...]`, with outputs of equal shape.
        inputs: `[batch, ...]`.
        weights: of each gate, `[n]` or `[batch, n]`.

    Returns:
        `[batch, ...]` for each gate, in the precision of the experts' outputs.
    """
    static = all(weight.ndim == 1 for weight in weights) and not isinstance(experts, ParallelExperts)
    stacked = torch.stack([weight if static else weight.expand(inputs.shape[0], -1) for weight in weights])
    if isinstance(experts, ParallelExperts):
        return _combine_by_row(experts, inputs, stacked)
    if torch.compiler.is_exporting():
        return mix(run_all(experts, inputs), stacked)
    return _combine_static(experts, inputs, stacked) if static else _combine_by_row(experts, inputs, stacked)


# What runs depends on values. A compiler would guess them, and compile anew whenever they change.
@torch.compiler.disable
def _combine_static(experts: LocalBank, inputs: Tensor, weights: Tensor) -> list[Tensor]:
    # Without any weight one expert still runs, to say what shape the zeros have.
    chosen = cast(list[int], weights.detach().any(0).nonzero().flatten().tolist()) or [0]
    return mix(run(experts, inputs, chosen), _columns(weights, chosen))


@torch.compiler.disable
def _combine_by_row(experts: Bank, inputs: Tensor, weights: Tensor) -> list[Tensor]:
    used = weights.detach() != 0
    needed = used.any(0)
    counts = cast(list[int], needed.sum(0).tolist())
    # Pairs (expert, row) in the order of experts, so that each expert's rows lie together.
    of_expert, row = needed.T.nonzero().unbind(1)
    if isinstance(experts, ParallelExperts):
        outputs = experts(inputs.index_select(0, row), counts)
    else:
        chosen = [expert for expert, count in enumerate(counts) if count] or [0]
        if not any(counts) or sum(counts) > DENSE_SHARE * len(needed) * len(chosen):
            return mix(run(experts, inputs, chosen), _columns(weights, chosen))
        outputs = run_each(experts, inputs.index_select(0, row), of_expert, counts)
    mixed = []
    for weight, use in zip(weights, used, strict=True):
        said, at, by = outputs, row, of_expert
        if len(weights) > 1:  # only the pairs that this gate uses
            pairs = use[row, of_expert].nonzero().flatten()
            said, at, by = outputs.index_select(0, pairs), row[pairs], of_expert[pairs]
        # The gradient of one flat index is faster than that of two.
        share = weight.flatten().index_select(0, at * len(experts) + by)
        share = share.to(said.dtype).view(-1, *[1] * (said.ndim - 1))
        mixed.append(said.new_zeros(len(inputs), *said.shape[1:]).index_add_(0, at, share * said))
    return mixed


def mix(outputs: Tensor, weights: Tensor) -> list[Tensor]:
    """Weighted sums of outputs `[n, batch, ...]`, `[batch, ...]` for each gate of `weights`.

    `weights`: `[gates, n]` or `[gates, batch, n]`.
    """
    if weights.ndim == 2:
        mixed = weights.to(outputs.dtype) @ outputs.flatten(1)
        return list(mixed.view(len(weights), *outputs.shape[1:]).unbind())
    flat = outputs.reshape(*outputs.shape[:2], outputs.shape[2:].numel())
    mixed = torch.einsum("tbn,nbd->tbd", weights.to(outputs.dtype), flat)
    return list(mixed.reshape(len(weights), *outputs.shape[1:]).unbind())


def _columns(weights: Tensor, chosen: list[int]) -> Tensor:
    return weights if len(chosen) == weights.shape[-1] else weights[..., chosen]
