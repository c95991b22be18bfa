"""Networks that share experts under gates."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from labelwise.experts._dispatch import combine
from labelwise.experts._mlp import MLPExperts
from labelwise.experts._tasks import ByTask
from labelwise.gates import Gate, GateOutput, ask


class MixtureOutput(NamedTuple):
    """What a multi-task mixture says.

    `outputs`: of each task's head. `penalty`: scalar to add to the loss, the sum over gates. `gates`: what each
    task's gate said.
    """

    outputs: dict[str, Tensor]
    penalty: Tensor
    gates: dict[str, GateOutput]


class Mixture(nn.Module):
    """Experts under one gate: the average of their outputs, by the gate's weights.

    Experts without weight do not run; with a gate per example, each runs only on the rows that it has weight for. So
    layers that look across a batch, such as batch normalisation, see those rows alone.

    Args:
        experts: modules with outputs of equal shape, or `MLPExperts`.
        gate: any gate for that number of experts.

    Raises `ValueError` if gate and experts differ in number, or experts in the shape of their outputs.
    """

    def __init__(self, experts: MLPExperts | Iterable[nn.Module], gate: Gate):
        super().__init__()
        self.experts = _bank(experts)
        self.gate = gate
        _check_number(gate, len(self.experts))

    def forward(self, inputs: Tensor, gate_inputs: Tensor | None = None) -> tuple[Tensor, GateOutput]:
        """The mixed output `[batch, ...]`, and what the gate said; add its `penalty` to the loss.

        `inputs`: `[batch, ...]`. `gate_inputs`: what a gate per example sees, `[batch, in_features]`; else `inputs`.
        """
        said = self.gate(inputs if gate_inputs is None else gate_inputs)
        return combine(self.experts, inputs, [said.weights])[0], said


class MultiTaskMixture(nn.Module):
    """Experts shared by tasks: each task has a gate, which mixes the experts, and a head, which answers from the mix.

    Each expert runs once for all tasks, and only where a task gives it weight; see `Mixture`.

    Args:
        experts: modules with outputs of equal shape, or `MLPExperts`.
        gates: a gate a task, by the task's name; static ones and others may stand side by side.
        heads: a module a task, under the same names.

    Raises `ValueError` if gates and heads name different tasks, if there is no task, or if gate and experts differ
    in number.
    """

    def __init__(
        self,
        experts: MLPExperts | Iterable[nn.Module],
        gates: Mapping[str, Gate],
        heads: Mapping[str, nn.Module],
    ):
        super().__init__()
        if not gates or set(gates) != set(heads):
            raise ValueError(f"gates and heads must name the same tasks; got {sorted(gates)} and {sorted(heads)}")
        self.experts = _bank(experts)
        self.gates = ByTask(gates)
        self.heads = ByTask(heads)
        for task, gate in self.gates.items():
            _check_number(gate, len(self.experts), f" of task {task!r}")

    def forward(self, inputs: Tensor, gate_inputs: Tensor | None = None) -> MixtureOutput:
        """Each task's output, the gates' penalty, and what the gates said.

        `inputs`: `[batch, ...]`. `gate_inputs`: what gates per example see, `[batch, in_features]`; else `inputs`.
        """
        said = ask(dict(self.gates.items()), inputs if gate_inputs is None else gate_inputs)
        mixed = combine(self.experts, inputs, [gate.weights for gate in said.values()])
        outputs = {task: self.heads[task](features) for task, features in zip(said, mixed, strict=True)}
        return MixtureOutput(outputs, torch.stack([gate.penalty for gate in said.values()]).sum(), said)

    @torch.no_grad()
    def selected(self, gate_inputs: Tensor | None = None, threshold: float = 1e-5) -> pd.DataFrame:
        """Which experts each task uses: a row for each, with its mean weight and the share of examples that use it.

        Args:
            gate_inputs: examples to ask gates per example about; not needed if all gates are static.
            threshold: weights above this count as use.

        Returns:
            Columns `task`, `expert`, `weight`, `share` (1 for a static gate); by task, the largest weight first.
        """
        training = self.training
        self.eval()
        try:
            said = ask(dict(self.gates.items()), gate_inputs)
        finally:
            self.train(training)
        found = []
        for task, gate in said.items():
            weights = gate.weights.reshape(-1, gate.weights.shape[-1])
            means, shares = weights.double().mean(0), (weights > threshold).double().mean(0)
            order = means.argsort(descending=True, stable=True).tolist()
            found += [(task, expert, means[expert].item(), shares[expert].item()) for expert in order if shares[expert]]
        return pd.DataFrame(found, columns=["task", "expert", "weight", "share"])


def _bank(experts: MLPExperts | Iterable[nn.Module]) -> MLPExperts | nn.ModuleList:
    return experts if isinstance(experts, MLPExperts | nn.ModuleList) else nn.ModuleList(experts)


def _check_number(gate: Gate, number: int, whose: str = "") -> None:
    if gate.n_experts != number:
        raise ValueError(f"the gate{whose} is for {gate.n_experts} experts; there are {number}")
