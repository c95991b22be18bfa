"""What all methods for wrong labels share, so that a method's own file says only what is new in it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from labelwise.functional import label_margins, masked_cross_entropy, trimmed_mean
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.examples import Examples
from labelwise.methods.heads import apply_heads, make_heads
from labelwise.methods.kinds import KINDS, TaskKind
from labelwise.methods.method import Method
from labelwise.mixing import Mixed

BALANCES = ("none", "weights", "logit-adjustment")
_PENDING = 1 << 20  # logits of a task, about, that wait to be noted


class Shared(TypedDict, total=False):
    """The arguments that all of these methods take."""

    input_shape: Sequence[int] | None
    balance: str
    learning_rate: float
    weight_decay: float


class TaskBatch(NamedTuple):
    """What one task says of a batch.

    `index` is int64 [batch], the row numbers; `logits` [batch, classes], as the loss should see them; `labels` int64
    [batch], -1 where missing. Of other kinds of tasks both are as `TaskKind` says.
    """

    task: str
    index: Tensor  # type: ignore[assignment]  # tuple.index has no use here
    logits: Tensor
    labels: Tensor
    kind: TaskKind = KINDS["single"]

    @property
    def known(self) -> Tensor:
        """Where there is a label, bool [batch]."""
        return self.kind.known(self.labels)

    @property
    def losses(self) -> Tensor:
        """The loss of each label, [batch]: the cross-entropy, or what the kind of the task has; 0 where missing."""
        return self.kind.losses(self.logits, self.labels)


class NoisyMethod(Method):
    """A backbone with a linear head a task, that notes how it learns each example.

    A method says in `task_loss` what it minimises for one task; each task has noise of its own.

    Args:
        balance: help for rare classes, of tasks of one class: "none"; "weights", labels weigh the more the rarer their
            class is; or "logit-adjustment", in training a class gets a start over rarer ones by the logarithm of its
            frequency, so that none has it when the network is used (Menon et al., ICLR 2021).
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0.
    """

    examples: Examples

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        balance: str = "none",
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__(
            backbone, tasks, input_shape=input_shape, learning_rate=learning_rate, weight_decay=weight_decay
        )
        if balance not in BALANCES:
            raise ValueError(f"balance must be one of {', '.join(BALANCES)}; got {balance!r}")
        self.balance = balance
        self.heads = make_heads(self.features, self.tasks)
        self.examples = Examples()
        self.given: dict[str, Tensor] = {}  # the training labels by row number, [rows, ...], missing elsewhere
        self.memory: dict[str, Any] = {}  # what else a checkpoint should hold: tensors, numbers, lists, dicts
        self.frequencies: dict[str, Tensor] = {}  # shares of the classes among the training labels, [classes]
        self._pending: dict[str, list[TaskBatch]] = {}

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task."""
        return apply_heads(self.heads, self.tasks, self.backbone(inputs))

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of `task_loss`."""
        return self.total(self.parts(batch, self(batch.inputs)))

    def task_loss(self, part: TaskBatch) -> Tensor:
        """What is minimised for one task, a scalar: the mean loss of the labelled examples."""
        return self.mean(part, part.losses)

    def parts(self, batch: Batch, logits: dict[str, Tensor]) -> list[TaskBatch]:
        """What each task says of a batch, its logits adjusted to the frequency of classes if that is asked for."""
        return [
            TaskBatch(
                task.name,
                batch.index,
                self._adjusted(task.name, logits[task.name]),
                batch.targets[task.name],
                KINDS[task.kind],
            )
            for task in self.tasks
        ]

    def total(self, parts: Sequence[TaskBatch]) -> Tensor:
        """Sum over tasks of `task_loss`; what the labels cost and their margins are noted."""
        for part in parts:
            self.note(part)
        return torch.stack([self.task_loss(part) for part in parts]).sum()

    def note(self, part: TaskBatch) -> None:
        """Note the loss and the margin of each label, many batches at a time, since small operations cost most."""
        pending = self._pending.setdefault(part.task, [])
        pending.append(part._replace(logits=part.logits.detach()))
        if len(pending) * part.logits.numel() > _PENDING:
            self._note_pending()

    def note_mixed(self, part: TaskBatch, mixed: Mixed) -> None:
        """Note of each mixture the loss and the margin of the label that has the larger share."""
        partner = mixed.partner
        larger = torch.where(mixed.label_weight >= 0.5, torch.arange(len(partner), device=partner.device), partner)
        self.note(part._replace(index=part.index[larger], labels=part.labels[larger]))

    def note_selected(self, part: TaskBatch, selected: Tensor) -> None:
        """Note which labels, bool [batch], or with what share in [0, 1] they are learned from."""
        values = selected.float().masked_fill(part.labels < 0, torch.nan)
        self.examples.note(part.task, part.index, selected=values)

    def _note_pending(self) -> None:
        for task, parts in self._pending.items():
            index, logits, labels = (torch.cat(each) for each in list(zip(*parts, strict=True))[1:4])
            whole = parts[0]._replace(index=index, logits=logits, labels=labels)
            noted = {"loss": whole.losses.masked_fill(~whole.known, torch.nan)}
            if not labels.is_floating_point():
                noted["margin"] = label_margins(logits, labels)
            self.examples.note(task, index, **noted)
        self._pending = {}

    def mean(self, part: TaskBatch, losses: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Mean of `losses` [batch] over the labelled examples, each weighted by its class if that is asked for.

        `chosen`, bool [batch], leaves others out; as numbers in [0, 1] it weighs them. The mean over none is 0.
        """
        weights = part.known.to(losses.dtype)
        if chosen is not None:
            weights = weights * chosen
        if self.balance == "weights" and part.task in self.frequencies:
            weights = weights / self.frequencies[part.task][part.labels.clamp(min=0)]
        return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)

    def mixed_loss(self, part: TaskBatch, mixed: Mixed) -> Tensor:
        """Mean loss of both labels of each mixture, each counting by its share; missing ones by none.

        Of all kinds of tasks that has the gradient of the loss against the mixed label.
        """
        return self.shared_loss(part, part.labels[mixed.partner], mixed.label_weight)

    def shared_loss(self, part: TaskBatch, others: Tensor, share: Tensor) -> Tensor:
        """The same for further labels, as `part.labels`, of the rest of what `share` [batch] leaves for them."""
        both = part._replace(logits=torch.cat([part.logits] * 2), labels=torch.cat([part.labels, others]))
        return self.mean(both, both.losses, torch.cat([share, 1 - share]))

    def epochs_of(self, share: float) -> int:
        """So many epochs are this share of the planned ones, rounded up."""
        planned = self.trainer.max_epochs if self._trainer is not None else 1
        return math.ceil(share * max(1, planned or 1))

    def on_train_start(self) -> None:
        """Learn which labels there are."""
        super().on_train_start()
        seen = [(batch.index, batch.targets) for batch in self.trainer.train_dataloader]
        rows = 1 + int(max(index.max() for index, _ in seen))
        for task in self.tasks:
            found = torch.cat([targets[task.name].cpu() for _, targets in seen])
            labels = found.new_full((rows, *found.shape[1:]), torch.nan if found.is_floating_point() else -1)
            labels[torch.cat([index.cpu() for index, _ in seen])] = found
            self.given[task.name] = labels
            if task.kind == "single":
                # A class without a row has one here, so that nothing is infinite.
                counts = torch.bincount(labels[labels >= 0], minlength=len(task.classes)).clamp(min=1)
                self.frequencies[task.name] = (counts / counts.sum()).to(self.device)
        self.examples.start(rows)

    def on_train_epoch_end(self) -> None:
        """Close the page of the epoch."""
        self._note_pending()
        self.examples.end_epoch()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was noted of the examples, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["examples"] = self.examples.state_dict()
        checkpoint["memory"] = self.memory

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what was noted of the examples."""
        super().on_load_checkpoint(checkpoint)
        self.examples.load_state_dict(checkpoint["examples"])
        self.memory = checkpoint["memory"]

    def _adjusted(self, task: str, logits: Tensor) -> Tensor:
        if self.balance == "logit-adjustment" and task in self.frequencies:
            return logits + self.frequencies[task].log()
        return logits


def trimmed_heldout_loss(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor], forget: float) -> Tensor:
    """Sum over tasks of the mean cross-entropy of held-out labels without the share of largest losses, a scalar."""
    losses = [
        trimmed_mean(masked_cross_entropy(answers, targets[name]), forget, targets[name] >= 0)
        for name, answers in logits.items()
    ]
    return torch.stack(losses).sum()
