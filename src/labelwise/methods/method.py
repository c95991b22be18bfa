"""What every training method is."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from labelwise.gates import Gate
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.examples import Examples
from labelwise.methods.kinds import KINDS
from labelwise.methods.learner import Learner
from labelwise.models import backbone_for


class Method(Learner):
    """A way to learn from labels, around any backbone: an `nn.Module` that maps inputs to features [batch, d].

    A method says how it answers (`forward`) and what it minimises (`training_step`); the rest is here. Class attributes
    tell a reader about it: `needs` (which labels), `kinds` (of the tasks that it learns), `paper`, `card` (its page of
    equations), `bench` (the experiment that compares it). Its options are keyword arguments of its constructor,
    explained under "Args" of its docstring.

    Args:
        backbone: inputs [batch, ...] to features [batch, d]; d is its `out_features`, or found with `input_shape`.
        tasks: what is learned, all of `kinds`.
        input_shape: shape of one input, without the batch; needed if the backbone has no attribute `out_features`.
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0; gates, biases and
            normalisation are exempt.

    Raises `ValueError` for tasks that it cannot learn and options out of range.
    """

    needs: ClassVar[str] = "one class a task; missing labels are left out of the loss"
    kinds: ClassVar[tuple[str, ...]] = ("single",)
    paper: ClassVar[str | None] = None
    card: ClassVar[str | None] = None
    bench: ClassVar[str | None] = None

    examples: Examples | None = None  # what was noted of each example, of methods that note something

    temperatures: Tensor
    centres: Tensor
    spreads: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__()
        for task in tasks:
            self._check_task(task)
        if not tasks:
            raise ValueError("there is no task to learn; name at least one label column")
        check_range("learning_rate", learning_rate, above=0)
        check_range("weight_decay", weight_decay, least=0)
        self.backbone = backbone
        self.tasks = tuple(tasks)
        self.features = _out_features(backbone, input_shape)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        # Found on held-out rows after training; part of the weights, so that a stored model is calibrated.
        self.register_buffer("temperatures", torch.ones(len(self.tasks)))
        # Of tasks of kind `real`: mean and standard deviation of the training rows, 0 and 1 of others.
        numbers = any(task.kind == "real" for task in self.tasks)
        self.register_buffer("centres", torch.zeros(len(self.tasks)), persistent=numbers)
        self.register_buffer("spreads", torch.ones(len(self.tasks)), persistent=numbers)

    @staticmethod
    def default_backbone(shape: Sequence[Any], width: int = 128, dropout: float = 0.0) -> nn.Module:
        """The backbone that `fit` makes for inputs of this shape; see `backbone_for`."""
        return backbone_for(shape, width, dropout)

    def heldout_loss(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """How badly `logits` tell the held-out labels, a scalar; the weights where this is lowest are kept."""
        return joint_loss(logits, targets, self.tasks)

    def check_files(self) -> None:
        """Raise `ValueError` for files that training will read and that do not fit; `fit` asks before it begins."""

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task; of kind `real` the number, standardised, [batch, 1]."""
        raise NotImplementedError

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> None:
        """Log `validation_loss`, for Trainers that watch one."""
        loss = self.heldout_loss(self(batch.inputs), batch.targets)
        self.log("validation_loss", loss, batch_size=len(batch.index))

    def probabilities(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Class probabilities [batch, classes] of each task from its logits, calibrated of kind `single`.

        Tasks of kind `real` have in their place the numbers in the unit of the labels, float64 [batch].
        """
        found = {}
        for task, *figures in zip(self.tasks, self.temperatures, self.centres, self.spreads, strict=True):
            temperature, centre, spread = (float(figure) for figure in figures)
            answers = KINDS[task.kind].answers(logits[task.name], temperature)
            found[task.name] = answers.double() * spread + centre if task.kind == "real" else answers
        return found

    def prepare(self, labels: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Labels by task, as `LabelTable.labels` gives them, as targets to learn from (see `TaskKind`).

        Numbers are standardised by their mean and standard deviation over `rows`, int64, which the method keeps.
        """
        targets = {task.name: KINDS[task.kind].targets(labels[task.name]) for task in self.tasks}
        for at, task in enumerate(self.tasks):
            if task.kind == "real":
                numbers = labels[task.name].double()
                known = numbers[rows][~numbers[rows].isnan()]
                self.centres[at] = known.mean() if len(known) else 0
                self.spreads[at] = known.std(correction=0) if len(known.unique()) > 1 else 1
                # By what is stored, which has fewer digits, so that answers fit it.
                targets[task.name] = ((numbers - self.centres[at].cpu()) / self.spreads[at].cpu()).float()
        return targets

    def expert_weights(self, inputs: Tensor) -> dict[str, Tensor] | None:
        """Mean weight of each expert, [experts] by task, over these inputs; None if the method has no experts."""
        return None

    def expert_overlap(self, inputs: Tensor) -> dict[str, Tensor] | None:
        """Share in [0, 1] of experts that each task has in common with each, [tasks] by task; None without experts."""
        return None

    def facts(self) -> dict[str, Any]:
        """Further plain facts for the metrics, asked once the best weights are in place."""
        return {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, fused into one operation a step."""
        groups = parameter_groups(self, self.weight_decay, self.own_rates())
        return torch.optim.AdamW(groups, self.learning_rate, fused=True)

    def own_rates(self) -> dict[nn.Parameter, float]:
        """Parameters with a learning rate of their own, and no weight decay."""
        return {}

    def _check_task(self, task: Task) -> None:
        kinds = ", ".join(map(repr, self.kinds))
        if task.kind not in self.kinds:
            raise ValueError(
                f"this method learns tasks of kind {kinds}; {task.name!r} is of kind {task.kind!r}"
                + ("" if task.kind not in KINDS else "; method 'cross-entropy' learns every kind")
            )
        if task.kind in ("single", "soft") and len(task.classes) < 2:
            raise ValueError(
                f"this method learns tasks of kind {kinds} with at least 2 classes; {task.name!r} has "
                f"{len(task.classes)}"
            )


def joint_loss(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor], tasks: Sequence[Task]) -> Tensor:
    """Sum over tasks of the mean loss of the labelled examples; a task without any adds 0. A scalar."""
    losses = []
    for task in tasks:
        kind, labels = KINDS[task.kind], targets[task.name]
        losses.append(kind.losses(logits[task.name], labels).sum() / kind.known(labels).sum().clamp(min=1))
    return torch.stack(losses).sum()


def parameter_groups(
    module: nn.Module, weight_decay: float, rates: Mapping[nn.Parameter, float] | None = None
) -> list[dict[str, Any]]:
    """Parameters for an optimiser in groups: weight matrices with weight decay; gates, biases and norms without.

    Decay would pull the gates' settled choices back into doubt. Parameters with a learning rate of their own, `rates`,
    have no decay either.
    """
    rates = rates or {}
    gates = {id(p) for gate in module.modules() if isinstance(gate, Gate) for p in gate.parameters()}
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter in rates:
            continue
        bias = any(part.startswith("bias") for part in name.split("."))  # stacked biases of experts have two dimensions
        (exempt if bias or parameter.ndim < 2 or id(parameter) in gates else decayed).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": exempt, "weight_decay": 0.0},
        *({"params": [parameter], "weight_decay": 0.0, "lr": rate} for parameter, rate in rates.items()),
    ]
    return [group for group in groups if group["params"]]


def check_range(
    name: str,
    value: float,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Raise `ValueError` that names the option, if `value` is not a number within these bounds."""
    bounds = [(least, "at least", value >= (least or 0)), (above, "above", value > (above or 0))]
    if most is not None:
        bounds.append((most, "at most", value <= most))
    if below is not None:
        bounds.append((below, "below", value < below))
    wanted = [(f"{words} {bound:g}", holds) for bound, words, holds in bounds if bound is not None]
    if not all(holds for _, holds in wanted):
        raise ValueError(f"{name} must be {' and '.join(words for words, _ in wanted)}; got {value}")


def _out_features(backbone: nn.Module, input_shape: Sequence[int] | None) -> int:
    found = getattr(backbone, "out_features", None)
    if isinstance(found, int):
        return found
    if input_shape is None:
        raise ValueError("the backbone has no attribute out_features; give input_shape, the shape of one input")
    training = backbone.training
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, *input_shape))
    backbone.train(training)
    if features.ndim != 2:
        raise ValueError(
            f"a backbone must give features [batch, d]; for {list(input_shape)} it gave {list(features.shape)}"
        )
    return features.shape[1]
