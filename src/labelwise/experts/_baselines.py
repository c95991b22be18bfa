"""What mixtures of experts are compared with: everything shared, nothing shared, and shares fixed beforehand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labelwise.experts._dispatch import mix
from labelwise.experts._mixture import MixtureOutput
from labelwise.experts._mlp import MLPExperts
from labelwise.experts._run import local_bank, run_all
from labelwise.experts._tasks import ByTask
from labelwise.gates import GateOutput, Softmax


class SharedBottom(nn.Module):
    """One network for all tasks, with a head for each: a mixture of a single expert.

    Args:
        bottom: `[batch, ...]` to features.
        heads: a module a task, by the task's name.

    Raises `ValueError` if there is no task.

    Source: Caruana, "Multitask Learning" (1997), hard parameter sharing.
    """

    def __init__(self, bottom: nn.Module, heads: Mapping[str, nn.Module]):
        super().__init__()
        _check_tasks(heads)
        self.bottom = bottom
        self.heads = ByTask(heads)

    def forward(self, inputs: Tensor, gate_inputs: Tensor | None = None) -> MixtureOutput:
        """Each task's output; no penalty and no gates. `gate_inputs` are ignored, so that mixtures can stand in."""
        features = self.bottom(inputs)
        return _output({task: head(features) for task, head in self.heads.items()})


class SingleTask(nn.Module):
    """A network of its own for each task: nothing is shared.

    Args:
        bottoms: `[batch, ...]` to features, a module a task, by the task's name.
        heads: a module a task, under the same names.

    Raises `ValueError` if the two name different tasks, or if there is no task.
    """

    def __init__(self, bottoms: Mapping[str, nn.Module], heads: Mapping[str, nn.Module]):
        super().__init__()
        _check_tasks(heads, "bottoms", bottoms)
        self.bottoms = ByTask(bottoms)
        self.heads = ByTask(heads)

    def forward(self, inputs: Tensor, gate_inputs: Tensor | None = None) -> MixtureOutput:
        """Each task's output; no penalty and no gates. `gate_inputs` are ignored, so that mixtures can stand in."""
        return _output({task: head(self.bottoms[task](inputs)) for task, head in self.heads.items()})


class Extraction(NamedTuple):
    """Experts of one level of `PLE`, with outputs of equal shape.

    `shared`: experts for all tasks. `specific`: experts for each task alone, by its name. `in_features`: width of
    what the level's gates see, which are inputs in the first level, and above it flattened outputs of the level below;
    None makes the gates static.
    """

    shared: MLPExperts | Iterable[nn.Module]
    specific: Mapping[str, MLPExperts | Iterable[nn.Module]]
    in_features: int | None = None


class PLE(nn.Module):
    """Progressive layered extraction: experts that all tasks share beside experts that belong to one task each.

    In each level, a softmax gate a task mixes the outputs of that task's experts and the shared ones. In all levels but
    the last, a further gate mixes the outputs of all experts, as the input of the next level's shared experts.
    One level is customized gate control (CGC).

    Args:
        levels: experts of each level, from the inputs up.
        heads: a module a task, by the task's name.

    Raises `ValueError` if there is no level, or if a level's specific experts and the heads name different tasks.

    Source: Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
    Recommendations" (RecSys 2020), sections 4.1 and 4.2; our gates have biases besides.
    """

    def __init__(self, levels: Sequence[Extraction], heads: Mapping[str, nn.Module]):
        super().__init__()
        if not levels:
            raise ValueError("levels must hold at least one Extraction; got none")
        for level in levels:
            _check_tasks(heads, "specific experts", level.specific)
        self.levels = nn.ModuleList(
            _Level(level, list(heads), last=number == len(levels)) for number, level in enumerate(levels, 1)
        )
        self.heads = ByTask(heads)

    def forward(self, inputs: Tensor, gate_inputs: Tensor | None = None) -> MixtureOutput:
        """Each task's output, no penalty, and what the gates of the last level said.

        Their weights are those of the task's own experts, then of the shared ones.

        `inputs`: `[batch, ...]`. `gate_inputs`: what gates of the first level see, `[batch, in_features]`; else
        `inputs`.
        """
        shared, specific = inputs, dict.fromkeys(self.heads, inputs)
        seen = gate_inputs
        for level in self.levels:
            shared, specific, said = level(shared, specific, seen)
            seen = None
        return _output({task: head(specific[task]) for task, head in self.heads.items()}, said)


class _Level(nn.Module):
    def __init__(self, level: Extraction, tasks: Sequence[str], last: bool):
        super().__init__()
        self.shared = local_bank(level.shared)
        self.specific = ByTask({task: local_bank(level.specific[task]) for task in tasks})
        numbers = {task: len(experts) for task, experts in self.specific.items()}
        common = len(self.shared)
        self.gates = ByTask({task: Softmax(numbers[task] + common, level.in_features) for task in tasks})
        self.shared_gate = None if last else Softmax(sum(numbers.values()) + common, level.in_features)

    def forward(
        self, shared: Tensor, specific: Mapping[str, Tensor], seen: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, GateOutput]]:
        common = run_all(self.shared, shared)
        own = {task: run_all(experts, specific[task]) for task, experts in self.specific.items()}
        said = {task: gate(specific[task].flatten(1) if seen is None else seen) for task, gate in self.gates.items()}
        mixed = {task: mix(torch.cat([own[task], common]), said[task].weights[None])[0] for task in own}
        if self.shared_gate is not None:
            weights = self.shared_gate(shared.flatten(1) if seen is None else seen).weights
            shared = mix(torch.cat([*own.values(), common]), weights[None])[0]
        return shared, mixed, said


def _check_tasks(
    heads: Mapping[str, nn.Module], what: str = "heads", others: Mapping[str, object] | None = None
) -> None:
    others = heads if others is None else others
    if not heads or set(heads) != set(others):
        raise ValueError(f"{what} and heads must name the same tasks; got {sorted(others)} and {sorted(heads)}")


def _output(outputs: dict[str, Tensor], gates: dict[str, GateOutput] | None = None) -> MixtureOutput:
    return MixtureOutput(outputs, next(iter(outputs.values())).new_zeros(()), gates or {})
