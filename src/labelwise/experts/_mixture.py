"""Networks that share experts under gates."""

import copy
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import pandas as pd
import torch
from torch import Tensor, nn

from labelwise.experts._aggregation import make_balance
from labelwise.experts._balance import Balance
from labelwise.experts._dispatch import Bank, combine
from labelwise.experts._mlp import MLPExperts
from labelwise.experts._parallel import ParallelExperts
from labelwise.experts._run import local_bank
from labelwise.experts._tasks import ByTask
from labelwise.gates import Fixed, Gate, GateOutput, ask


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
        experts: modules with outputs of equal shape, `MLPExperts`, or `ParallelExperts`.
        gate: any gate for that number of experts.

    Raises `ValueError` if gate and experts differ in number, or experts in the shape of their outputs.
    """

    def __init__(self, experts: Bank | Iterable[nn.Module], gate: Gate):
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

    def prune(self, threshold: float = 1e-5) -> "Mixture":
        """A copy with the experts that the static gate uses, and no others; see `MultiTaskMixture.prune`."""
        experts, (gate,) = _pruned(self.experts, {"": self.gate}, threshold)
        return Mixture(experts, gate).train(self.training)


class MultiTaskMixture(nn.Module):
    """Experts shared by tasks: each task has a gate, which mixes the experts, and a head, which answers from the mix.

    Each expert runs once for all tasks, and only where a task gives it weight; see `Mixture`. As others get no
    gradient, `DistributedDataParallel` needs `find_unused_parameters=True`; not so with `MLPExperts`, whose stacked
    weights always get one.

    Args:
        experts: modules with outputs of equal shape, `MLPExperts`, or `ParallelExperts`.
        gates: a gate a task, by the task's name; static ones and others may stand side by side.
        heads: a module a task, under the same names.
        balance: how `joint_loss` makes one loss of the tasks' losses: "equal" (their sum), "uncertainty",
            "dynamic-weight-average", "gradnorm"; the name of a gradient aggregator (see `Aggregation`); given weights
            by task; or a `Balance`.

    Raises `ValueError` if gates and heads name different tasks, if there is no task, if gate and experts differ
    in number, or if there is no such balance.
    """

    def __init__(
        self,
        experts: Bank | Iterable[nn.Module],
        gates: Mapping[str, Gate],
        heads: Mapping[str, nn.Module],
        balance: str | Mapping[str, float] | Balance = "equal",
    ):
        super().__init__()
        if not gates or set(gates) != set(heads):
            raise ValueError(f"gates and heads must name the same tasks; got {sorted(gates)} and {sorted(heads)}")
        self.experts = _bank(experts)
        self.gates = ByTask(gates)
        self.heads = ByTask(heads)
        self.balance = make_balance(balance, self.gates)
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

    def joint_loss(self, losses: Mapping[str, Tensor], shared: Iterable[nn.Parameter] = ()) -> Tensor:
        """One loss of the tasks' losses, scalars by task, as `balance` says; add the penalty, and back-propagate.

        `shared`: parameters that tasks share besides the experts', such as those of a backbone below.
        """
        return self.balance(losses, [*shared, *self.experts.parameters()])

    def prune(self, threshold: float = 1e-5) -> "MultiTaskMixture":
        """A copy without the experts that no task uses, and with the gates of now made `Fixed`.

        Its outputs are those of this module in eval mode, but for weights up to `threshold`, which become 0. The others
        stay as they are, so that outputs are equal to rounding if the gates have settled; weights that summed to less
        than 1 still do. Without gates left to learn, the copy can be trained on, or exported.

        Raises `ValueError` if a gate chooses for each example: then every expert may be needed.
        """
        experts, gates = _pruned(self.experts, dict(self.gates.items()), threshold)
        heads = {task: copy.deepcopy(head) for task, head in self.heads.items()}
        balance = copy.deepcopy(self.balance)
        pruned = MultiTaskMixture(experts, dict(zip(self.gates, gates, strict=True)), heads, balance)
        return pruned.train(self.training)

    @torch.no_grad()
    def selected(self, gate_inputs: Tensor | None = None, threshold: float = 1e-5) -> pd.DataFrame:
        """Which experts each task uses: a row for each, with its mean weight and the share of examples that use it.

        Args:
            gate_inputs: examples to ask gates per example about; not needed if all gates are static.
            threshold: weights above this count as use.

        Returns:
            Columns `task`, `expert`, `weight`, `share` (1 for a static gate); by task, the largest weight first.
        """
        found = []
        for task, weights in _weights(dict(self.gates.items()), gate_inputs).items():
            weights = weights.reshape(-1, weights.shape[-1])
            means, shares = weights.double().mean(0), (weights > threshold).double().mean(0)
            order = means.argsort(descending=True, stable=True).tolist()
            found += [(task, expert, means[expert].item(), shares[expert].item()) for expert in order if shares[expert]]
        return pd.DataFrame(found, columns=["task", "expert", "weight", "share"])


def _bank(experts: Bank | Iterable[nn.Module]) -> Bank:
    return experts if isinstance(experts, ParallelExperts) else local_bank(experts)


def _weights(gates: Mapping[str, Gate], inputs: Tensor | None = None) -> dict[str, Tensor]:
    """What gates say in eval mode, without a trace in them."""
    quiet = {name: copy.deepcopy(gate).eval() for name, gate in gates.items()}
    with torch.no_grad():
        return {name: said.weights for name, said in ask(quiet, inputs).items()}


def _pruned(
    experts: Bank, gates: Mapping[str, Gate], threshold: float
) -> tuple[MLPExperts | nn.ModuleList, list[Gate]]:
    if isinstance(experts, ParallelExperts):
        raise ValueError("experts that live in several processes cannot be pruned; put them together in one first")
    for name, gate in gates.items():
        if gate.in_features is not None:
            whose = f" of task {name!r}" if name else ""
            raise ValueError(
                f"only mixtures with static gates can be pruned; the gate{whose} chooses for each example, from inputs "
                f"[batch, {gate.in_features}]"
            )
    weights = torch.stack([weight.where(weight > threshold, 0) for weight in _weights(gates).values()])
    chosen = cast(list[int], weights.any(0).nonzero().flatten().tolist()) or [0]
    fixed: list[Gate] = []
    for weight in weights[:, chosen]:
        gate = Fixed([1 / len(chosen)] * len(chosen))
        gate.weights = weight  # not given above, as they may sum to less than 1 and be in another precision
        fixed.append(gate)
    if isinstance(experts, MLPExperts):
        return experts.only(chosen), fixed
    return nn.ModuleList(copy.deepcopy(experts[i]) for i in chosen), fixed


def _check_number(gate: Gate, number: int, whose: str = "") -> None:
    if gate.n_experts != number:
        raise ValueError(f"the gate{whose} is for {gate.n_experts} experts; there are {number}")
