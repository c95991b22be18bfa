"""Learn margins between classes, so that a step on noisy labels helps on rows that are trusted."""

from collections.abc import Sequence
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import masked_cross_entropy, virtual_step
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch

_WIDTH = 16


class DynamicLoss(NoisyMethod):
    """Cross-entropy with a learned margin for each class, added to its logit in training.

    After warming up, each step also asks what a step on the noisy batch with these margins would do to the loss,
    without margins, of a batch of trusted rows, and moves the margins so that it falls. Trusted are, anew in each
    epoch, the rows of each class with the smallest losses of the epoch before, or the row numbers `trusted` handed to
    the constructor. Costs about four steps a step. The variant whose code was released: margins only, no corrected
    labels.

    Args:
        warm_up: share of training without margins, in [0, 1).
        trusted_rows: of each class that count as trusted, >= 1.
        margin_rate: step size of what makes the margins, > 0.
    """

    paper = "Jiang et al., Dynamic Loss For Robust Learning, TPAMI 2023, arXiv 2211.12506"
    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        warm_up: float = 0.1,
        trusted_rows: int = 10,
        margin_rate: float = 1e-3,
        trusted: Sequence[int] | None = None,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("warm_up", warm_up, least=0, below=1)
        check_range("trusted_rows", trusted_rows, least=1)
        check_range("margin_rate", margin_rate, above=0)
        if trusted is not None and min(trusted, default=0) < 0:
            raise ValueError(f"trusted must be row numbers of at least 0; got {min(trusted)}")
        self.warm_up = warm_up
        self.trusted_rows = trusted_rows
        self.margin_rate = margin_rate
        self.trusted = trusted
        self.margins = nn.ModuleDict({f"task_{at}": Margins(len(task.classes)) for at, task in enumerate(self.tasks)})
        self._trusted: dict[str, tuple[Tensor, Tensor]] = {}  # inputs [m, ...] and labels [m] by task

    def own_rates(self) -> dict[nn.Parameter, float]:
        """What makes the margins has steps of its own."""
        return dict.fromkeys(self.margins.parameters(), self.margin_rate)

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """The loss of the batch, and for the margins alone that of trusted rows after a step on it."""
        loss = self.total(self.parts(batch, self(batch.inputs)))
        return loss + self._margin_loss(batch) if self._trusted else loss

    def task_loss(self, part: TaskBatch) -> Tensor:
        """Mean cross-entropy with the margins as they are."""
        return self.mean(part, masked_cross_entropy(part.logits + self._margin(part.task).detach(), part.labels))

    def on_train_epoch_start(self) -> None:
        """Choose trusted rows."""
        self._trusted = {}
        if self.current_epoch < max(1, self.epochs_of(self.warm_up)):
            return
        inputs = self.over_training_rows(lambda batch: {"inputs": batch.inputs})["inputs"]
        for task in self.tasks:
            rows = self._trusted_rows(task)
            if len(rows):
                labels = self.given[task.name][rows]
                self._trusted[task.name] = inputs[rows].to(self.device), labels.to(self.device)

    def _margin(self, task: str) -> Tensor:
        return self.margins[f"task_{[one.name for one in self.tasks].index(task)}"]()

    def _margin_loss(self, batch: Batch) -> Tensor:
        """Depends on the margins alone: the network's weights are copied out of the graph."""
        makers = {id(parameter) for parameter in self.margins.parameters()}
        weights = {
            name: value.detach().requires_grad_()
            for name, value in self.named_parameters()
            if value.requires_grad and id(value) not in makers
        }
        parts = self.parts(batch, torch.func.functional_call(self, weights, (batch.inputs,)))
        noisy = [
            self.mean(part, masked_cross_entropy(part.logits + self._margin(part.task), part.labels)) for part in parts
        ]
        after = virtual_step(weights, torch.stack(noisy).sum(), self.learning_rate)
        losses = []
        for task, (inputs, labels) in self._trusted.items():
            # As many of each class on average, since each class has as many trusted rows, if it has as many at all.
            drawn = torch.randint(len(labels), (len(batch.index),)).to(self.device)
            logits = torch.func.functional_call(self, after, (inputs[drawn],))[task]
            losses.append(F.cross_entropy(logits, labels[drawn]))
        return torch.stack(losses).sum()

    def _trusted_rows(self, task: Task) -> Tensor:
        given = self.given[task.name]
        if self.trusted is not None:
            rows = torch.as_tensor(list(self.trusted), dtype=torch.int64)
            rows = rows[rows < len(given)]  # which are numbered to the last that is trained on
            return rows[given[rows] >= 0]
        losses = self.examples.values()[task.name]["loss"][-1].float()
        rows = (given >= 0).nonzero().flatten()
        order = rows[losses[rows].argsort(stable=True)]
        return torch.cat([order[given[order] == k][: self.trusted_rows] for k in range(len(task.classes))])


class Margins(nn.Module):
    """One learned vector through a small network: a margin for each class, all 1 at first."""

    def __init__(self, classes: int):
        super().__init__()
        self.vector = nn.Parameter(torch.randn(_WIDTH))
        self.network = nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, classes))
        last: nn.Linear = self.network[-1]  # type: ignore[assignment]
        nn.init.zeros_(last.weight)
        nn.init.ones_(last.bias)

    def forward(self) -> Tensor:
        """Margins [classes]."""
        return self.network(self.vector)
