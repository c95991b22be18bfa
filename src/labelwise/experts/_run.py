"""Running the experts of a bank."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from labelwise.experts._mlp import MLPExperts

LocalBank = nn.ModuleList | MLPExperts


def local_bank(experts: MLPExperts | Iterable[nn.Module]) -> LocalBank:
    """Experts of this process, as one module."""
    return experts if isinstance(experts, LocalBank) else nn.ModuleList(experts)


def run_all(experts: LocalBank, inputs: Tensor) -> Tensor:
    """Outputs `[n, batch, ...]` of all experts."""
    return run(experts, inputs, range(len(experts)))


def run(experts: LocalBank, inputs: Tensor, chosen: Sequence[int]) -> Tensor:
    """Outputs `[chosen, batch, ...]` of chosen experts."""
    if isinstance(experts, MLPExperts):
        return experts(inputs, None if len(chosen) == len(experts) else chosen)
    return torch.stack(_equal_shapes([(i, experts[i](inputs)) for i in chosen]))


def run_each(experts: LocalBank, rows: Tensor, of_expert: Tensor, counts: Sequence[int]) -> Tensor:
    """What each expert says of its own rows, `[rows, ...]`; experts without rows do not run.

    `rows` [rows, ...]: those of the first expert first; `of_expert` [rows] says whose each is, `counts` how many each
    has.
    """
    if isinstance(experts, MLPExperts):
        return experts.each(rows, of_expert, counts)
    parts = rows.split(list(counts))
    busy = [i for i, part in enumerate(parts) if len(part)] or [0]  # without any row, one says what shape nothing has
    return torch.cat(_equal_shapes([(i, experts[i](parts[i])) for i in busy]))


def _equal_shapes(outputs: list[tuple[int, Tensor]]) -> list[Tensor]:
    first, expected = outputs[0]
    for expert, output in outputs:
        if output.shape[1:] != expected.shape[1:]:
            raise ValueError(
                f"experts must give outputs of equal shape; an example gets {list(expected.shape[1:])} from "
                f"expert {first}, {list(output.shape[1:])} from expert {expert}"
            )
    return [output for _, output in outputs]
