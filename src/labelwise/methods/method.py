"""What every training method is."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from labelwise.functional import masked_cross_entropy
from labelwise.gates import Gate
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.examples import Examples
from labelwise.models import backbone_for


class Method(LightningModule):
    """A way to learn from labels, around any backbone: an `nn.Module` that maps inputs to features [batch, d].

    A method says how it answers (`forward`) and what it minimises (`training_step`); the rest is here. Class attributes
    tell a reader about it: `needs` (which labels), `paper`, `card` (its page of equations), `bench` (the experiment
    that compares it). Its options are keyword arguments of its constructor, explained under "Args" of its docstring.

    Args:
        backbone: inputs [batch, ...] to features [batch, d]; d is its `out_features`, or found with `input_shape`.
        tasks: what is learned, all of kind `single`.
        input_shape: shape of one input, without the batch; needed if the backbone has no attribute `out_features`.
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0; gates, biases and
            normalisation are exempt.

    Raises `ValueError` for tasks that it cannot learn and options out of range.
    """

    needs: ClassVar[str] = "one class a task; missing labels are left out of the loss"
    paper: ClassVar[str | None] = None
    card: ClassVar[str | None] = None
    bench: ClassVar[str | None] = None

    patience: int | None = None  # epochs without a better criterion before training stops; None: as the plan says
    passes: int | None = None  # over the training rows; None: as the plan says
    examples: Examples | None = None  # what was noted of each example, of methods that note something

    temperatures: Tensor

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
            if task.kind != "single" or len(task.classes) < 2:
                raise ValueError(
                    f"this method learns tasks of kind 'single' with at least 2 classes; {task.name!r} is of kind "
                    f"{task.kind!r} with {len(task.classes)}"
                )
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
        self._random: dict[str, Any] | None = None
        self.notes: list[str] = []  # what went wrong in training, though not so wrong that it had to end

    @staticmethod
    def default_backbone(shape: Sequence[Any], width: int = 128, dropout: float = 0.0) -> nn.Module:
        """The backbone that `fit` makes for inputs of this shape; see `backbone_for`."""
        return backbone_for(shape, width, dropout)

    def settled(self) -> bool:
        """Whether the weights of now are worth keeping; training does not stop early before. Asked in eval mode."""
        return True

    def order(self, rows: np.ndarray, targets: Mapping[str, Tensor], seed: int) -> np.ndarray | None:
        """The order in which the training `rows` come; None draws one anew for each epoch."""
        return None

    def heldout_loss(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """How badly `logits` tell the held-out labels, a scalar; the weights where this is lowest are kept."""
        return joint_loss(logits, targets)

    def criterion(self) -> float | None:
        """A number of this epoch, the lowest of which marks the weights to keep; None leaves that to `heldout_loss`."""
        return None

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task."""
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """The loss to minimise, a scalar."""
        raise NotImplementedError

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> None:
        """Log `validation_loss`, for Trainers that watch one."""
        loss = self.heldout_loss(self(batch.inputs), batch.targets)
        self.log("validation_loss", loss, batch_size=len(batch.index))

    def probabilities(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Calibrated class probabilities [batch, classes] of each task, from its logits."""
        pairs = zip(self.tasks, self.temperatures.tolist(), strict=True)
        return {task.name: torch.softmax(logits[task.name] / temperature, -1) for task, temperature in pairs}

    def expert_weights(self, inputs: Tensor) -> dict[str, Tensor] | None:
        """Mean weight of each expert, [experts] by task, over these inputs; None if the method has no experts."""
        return None

    def expert_overlap(self, inputs: Tensor) -> dict[str, Tensor] | None:
        """Share in [0, 1] of experts that each task has in common with each, [tasks] by task; None without experts."""
        return None

    def epoch_facts(self) -> dict[str, Any]:
        """Further plain facts for the history, asked at the end of each epoch of training."""
        return {}

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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the notes, and the state of the random numbers, so that training goes on as if nothing had happened."""
        checkpoint["notes"] = list(self.notes)
        checkpoint["random"] = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the notes; remember the random state until training starts, as what comes before may draw numbers."""
        self.notes = list(checkpoint["notes"])
        self._random = checkpoint["random"]

    def on_train_start(self) -> None:
        """Take up the random numbers where the checkpoint left them."""
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if self._random["cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(self._random["cuda"])
            self._random = None


def joint_loss(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Sum over tasks of the mean cross-entropy over the labelled examples; a task without any adds 0. A scalar."""
    losses = [
        masked_cross_entropy(answers, targets[name]).sum() / (targets[name] >= 0).sum().clamp(min=1)
        for name, answers in logits.items()
    ]
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
