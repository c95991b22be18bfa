"""Many tasks, shared experts: a DSelect-k gate lets each task choose at most k of n expert networks."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.experts import MLPExperts, MultiTaskMixture
from labelwise.functional import Reduction
from labelwise.gates import DSelectK, LinearRamp
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.kinds import KINDS
from labelwise.methods.method import Method, check_range, joint_loss
from labelwise.metrics import expert_load, expert_overlap, expert_usage, experts_used, gate_entropy

# Mean over a batch of per-example gates, so that the strength of the entropy term does not grow with the batch.
_REDUCTION: Reduction = "batchmean"
_USED = 1e-5  # weights below do not count as use
_EARLY = 10  # steps after which a gate that has settled cannot have learned its choice


class DSelectKMethod(Method):
    """Learns tasks together: a backbone, n experts, and for each task a gate that chooses at most k of them.

    The loss is the sum over tasks of the cross-entropy of the labelled examples (of sets of classes a binary one, of
    numbers the squared error, standardised), plus the entropy of the gates, whose strength rises evenly from 0 over the
    first `entropy_ramp` of training, plus the reach penalty if the number of experts is not a power of two. Tasks that
    help each other come to share experts; others part. With one task it is a network that picks k of n branches.

    Args:
        n_experts: number of expert networks, >= 1.
        k: most experts that a task uses, >= 1.
        gamma: width of the gate's smooth step, > 0; large beside learning_rate, or gates settle by accident.
        per_example: let gates choose for each example instead of once for the whole task.
        expert_width: units in the hidden and the last layer of each expert, >= 1.
        entropy: strength of the gates' entropy term once it has risen, in nats a selector, >= 0; 0 leaves gates soft.
        entropy_ramp: share of training over which that strength rises from 0, in [0, 1].
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0; gates are exempt.

    Source: Hazimeh et al., "DSelect-k" (2021).
    """

    needs = "any kind of labels; missing ones are left out of the loss"
    kinds = ("single", "multi", "soft", "real")
    paper = (
        "Hazimeh et al., DSelect-k: Differentiable Selection in the Mixture of Experts, NeurIPS 2021, arXiv 2106.03760"
    )
    card = "dselect-k"
    bench = "frog-calls"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        n_experts: int = 8,
        k: int = 2,
        gamma: float = 1.0,
        per_example: bool = False,
        expert_width: int = 64,
        entropy: float = 0.05,
        entropy_ramp: float = 0.3,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__(
            backbone, tasks, input_shape=input_shape, learning_rate=learning_rate, weight_decay=weight_decay
        )
        check_range("expert_width", expert_width, least=1)
        check_range("entropy_ramp", entropy_ramp, least=0, most=1)
        self.entropy = entropy
        self.entropy_ramp = entropy_ramp
        width = self.features if per_example else None
        gates = {task.name: DSelectK(n_experts, k, width, gamma, entropy, _REDUCTION) for task in self.tasks}
        heads = {task.name: nn.Linear(expert_width, KINDS[task.kind].outputs(task)) for task in self.tasks}
        experts = MLPExperts(n_experts, self.features, expert_width, expert_width)
        self.mixture = MultiTaskMixture(experts, gates, heads)
        self._last_step: tuple[Tensor, dict[str, Tensor]] | None = None  # features, and weights by task

    def settled(self) -> bool:
        """Whether every static gate uses at most k experts, and the entropy term of gates per example has risen.

        Without an entropy term gates need not become sparse, and always count as settled.
        """
        return not self.entropy or all(map(_settled, self._gates()))

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task."""
        return self.mixture(self.backbone(inputs)).outputs

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean cross-entropy of the labelled examples, plus the gates' penalty."""
        features = self.backbone(batch.inputs)
        answer = self.mixture(features)
        self._last_step = features.detach(), {task: said.weights.detach() for task, said in answer.gates.items()}
        return joint_loss(answer.outputs, batch.targets, self.tasks) + answer.penalty

    def expert_weights(self, inputs: Tensor) -> dict[str, Tensor]:
        """Mean gate weight of each expert, [experts] by task, over these inputs."""
        return {task: expert_load(weights) for task, weights in self._weights(inputs).items()}

    def expert_overlap(self, inputs: Tensor) -> dict[str, Tensor]:
        """Share in [0, 1] of experts that each task has in common with each, [tasks] by task, over these inputs."""
        weights = self._weights(inputs)
        return dict(zip(weights, expert_overlap(torch.stack(list(weights.values()))), strict=True))

    def epoch_facts(self) -> dict[str, Any]:
        """`gates`: the `gate_statistics` of the epoch's last step; nothing before the first."""
        return {} if self._last_step is None else {"gates": gate_statistics(self._last_step[1])}

    def on_train_batch_end(self, *_: Any) -> None:
        """Warn of gates that settled before they could learn."""
        if int(self._gates()[0].step) == _EARLY:
            self._note_faults()

    def on_train_epoch_end(self) -> None:
        """Log the gates' statistics, as `gates/TASK/...`, if the Trainer has a logger."""
        if self.trainer.loggers:
            self.log_dict(_flat(self.epoch_facts()))

    def on_fit_end(self) -> None:
        """Warn of gates that ended in a bad state."""
        self._note_faults()

    def on_train_start(self) -> None:
        """Stretch the rise of the entropy term over its share of the steps to come."""
        super().on_train_start()
        steps = max(1, round(self.entropy_ramp * self.trainer.estimated_stepping_batches))
        for gate in self._gates():
            gate.entropy = LinearRamp(self.entropy, steps)

    def _weights(self, inputs: Tensor) -> dict[str, Tensor]:
        said = self.mixture(self.backbone(inputs)).gates
        return {task: gate.weights for task, gate in said.items()}

    def _note_faults(self) -> None:
        """Add what ails the gates to the notes, and warn of it, once."""
        features = None if self._last_step is None else self._last_step[0]
        for task, gate in self.mixture.gates.items():
            if not isinstance(gate, DSelectK) or (gate.in_features is not None and features is None):
                continue
            for fault in gate.health(features):
                note = f"gate of {task!r}: {fault}"
                if note not in self.notes:
                    self.notes.append(note)
                    warnings.warn(note, UserWarning, stacklevel=1)

    def _gates(self) -> list[DSelectK]:
        return [gate for gate in self.mixture.gates.modules() if isinstance(gate, DSelectK)]


def gate_statistics(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What gates do, as plain facts, from their weights `[n]` or `[batch, n]` by task.

    Each by task: `load`, the mean weight of each expert; `usage`, the share of examples that use each; `used`, how many
    experts an example uses; `entropy` of the weights in nats. And `overlap`, the mean share of experts that two tasks
    have in common; None for a single task.
    """
    facts: dict[str, Any] = {
        "load": {task: _rounded(expert_load(each)) for task, each in weights.items()},
        "usage": {task: _rounded(expert_usage(each)) for task, each in weights.items()},
        "used": {task: _rounded(experts_used(each).double().mean()) for task, each in weights.items()},
        "entropy": {task: _rounded(gate_entropy(each).mean()) for task, each in weights.items()},
        "overlap": None,
    }
    if len(weights) > 1:
        overlap = expert_overlap(torch.stack(list(weights.values())))
        pairs = torch.ones_like(overlap, dtype=torch.bool).triu(1)
        facts["overlap"] = _rounded(overlap[pairs].mean())
    return facts


def _rounded(values: Tensor) -> Any:
    """Numbers of a history, not longer than they can be read; what counts as use stays above 0."""
    return values.double().mul(1e5).round().div(1e5).tolist()


def _flat(facts: Any, name: str = "") -> dict[str, float]:
    """Numbers of nested facts by path: `gates/TASK/load/3`."""
    if facts is None:
        return {}
    if not isinstance(facts, (dict, list)):
        return {name: facts}
    items = facts.items() if isinstance(facts, dict) else enumerate(facts)
    return {key: value for part, inner in items for key, value in _flat(inner, f"{name}/{part}".lstrip("/")).items()}


def _settled(gate: DSelectK) -> bool:
    if gate.in_features is None:
        return int((gate().weights > _USED).sum()) <= gate.k
    return not isinstance(gate.entropy, LinearRamp) or int(gate.step) >= gate.entropy.steps
