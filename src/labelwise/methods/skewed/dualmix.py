"""Learn classes that come one after another, from a stream seen once and a small memory of it, with mixtures of both.

Only the abstract of the paper was at hand: what is mixed and what adapts is the authors', the formulas are ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.functional import random_shift
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import Method, check_range, parameter_groups
from labelwise.methods.skewed.reservoir import Reservoir
from labelwise.mixing import AdpMix, EnMix, Mixed


class DualMix(Method):
    """Replays a small memory beside what arrives, and learns from two kinds of mixtures of both.

    One kind mixes changed versions of any two examples; the other mixes old classes with new ones, and lets the label
    of the class that is learned from less count more. In Python a stream is handed on as it comes: `begin_task()` where
    new classes begin, `learn(inputs, labels)` for each few examples, `answer(inputs)` at any time. `fit` makes such a
    stream of the training rows, class after class in the order of the task's classes; it passes once, whatever `epochs`
    and `batch_size` say. Who has all rows at hand learns better with any other method.

    What arrives, what is replayed and both kinds of mixtures go through the network as one batch. The memory holds
    inputs as they came, and is no part of the stored model.

    Args:
        classes_at_once: in `fit`, how many new classes begin at once, >= 1.
        arriving: in `fit`, how many rows arrive at a time, >= 1.
        memory: examples that are kept, each that came with the same probability, >= 1.
        replay: examples of the memory that are learned from in each step, >= 0.
        steps: for what arrives at a time, >= 1.
        enmix: strength of the mixtures of changed versions, >= 0.
        adpmix: strength of the mixtures of old and new classes, >= 0; with both 0 this is plain replay.
        alpha: of the Beta distribution of shares, >= 0.
        limit: by how much the ratio of two classes' frequencies counts at most, >= 1.
        noise: standard deviation of what is added to a changed version, >= 0, in units of the inputs.
        shift: share of its sides by which a changed picture is moved at most, in [0, 1].
        learning_rate: step size of plain gradient descent, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0.
    """

    needs = "one task, one class a row; made for classes that come one after another"
    paper = (
        "Fan et al., DualMix: Unleashing the Potential of Data Augmentation for Online Class-Incremental Learning, "
        "arXiv 2303.07864 (reconstructed from the abstract)"
    )
    card = "dualmix"
    bench = "mixing-stream"

    passes = 1
    automatic_optimization = False  # several steps for what arrives

    seen: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        classes_at_once: int = 2,
        arriving: int = 10,
        memory: int = 200,
        replay: int = 10,
        steps: int = 3,
        enmix: float = 1.0,
        adpmix: float = 1.0,
        alpha: float = 1.0,
        limit: float = 10.0,
        noise: float = 0.15,
        shift: float = 0.06,
        learning_rate: float = 0.1,
        weight_decay: float = 0.0,
    ):
        super().__init__(
            backbone, tasks, input_shape=input_shape, learning_rate=learning_rate, weight_decay=weight_decay
        )
        if len(tasks) > 1:
            names = ", ".join(task.name for task in tasks)
            raise ValueError(f"a stream of classes is one task; name one of {names}")
        for name, least, value in (
            ("classes_at_once", 1, classes_at_once),
            ("arriving", 1, arriving),
            ("replay", 0, replay),
            ("steps", 1, steps),
            ("enmix", 0, enmix),
            ("adpmix", 0, adpmix),
            ("noise", 0, noise),
        ):
            check_range(name, value, least=least)
        check_range("shift", shift, least=0, most=1)
        self.task = self.tasks[0]
        self.head = nn.Linear(self.features, len(self.task.classes))
        self.classes_at_once = classes_at_once
        self.arriving = arriving
        self.memory = Reservoir(memory)
        self.replay = replay
        self.steps = steps
        self.enmix = enmix
        self.adpmix = adpmix
        self.both = EnMix(self.changed, alpha)
        self.across = AdpMix(alpha, limit, mode="example")
        self.noise = noise
        self.shift = shift
        self.register_buffer("seen", torch.zeros(len(self.task.classes), dtype=torch.bool))
        self._old = torch.zeros(len(self.task.classes), dtype=torch.bool)
        self._used = torch.ones(len(self.task.classes))  # how often each class was learned from in this part, and once
        self._stepper: torch.optim.Optimizer | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Gradient descent without momentum, whose memory of old gradients would go on pulling to old classes."""
        return torch.optim.SGD(parameter_groups(self, self.weight_decay), self.learning_rate)

    def begin_task(self) -> None:
        """Say that new classes begin now: all that came so far are old ones."""
        self._old = self.seen.clone()
        self._used = torch.ones(len(self.seen))

    def learn(self, inputs: Tensor, labels: Tensor) -> float:
        """Learn from a few examples that arrived, `[n, ...]` and class indices int64 `[n]`; gives the mean loss.

        Those without a label, -1, are left out.
        """
        if self._stepper is None:
            self._stepper = self.configure_optimizers()
        return self._learn(inputs, labels, self._stepper)

    @torch.no_grad()
    def answer(self, inputs: Tensor) -> Tensor:
        """The likeliest class of each example among those that came so far, int64 `[n]`; of all if none came."""
        self.eval()
        logits = self(inputs)[self.task.name]
        return logits.masked_fill(~self.seen, -torch.inf).argmax(-1) if self.seen.any() else logits.argmax(-1)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of the task, also of classes that have not come yet."""
        return {self.task.name: self.head(self.backbone(inputs))}

    def order(self, rows: np.ndarray, targets: Mapping[str, Tensor], seed: int) -> np.ndarray:
        """The rows as a stream: of new classes that begin together in random order, one such part after another."""
        shuffled = np.random.default_rng(seed).permutation(rows)
        parts = targets[self.task.name].numpy()[shuffled] // self.classes_at_once
        return shuffled[np.argsort(parts, kind="stable")]

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Learn from the rows of a batch, a few at a time; the mean loss."""
        optimizer = self.optimizers()
        labels = batch.targets[self.task.name]
        losses = []
        for some, known in zip(batch.inputs.split(self.arriving), labels.split(self.arriving), strict=True):
            if known.max() // self.classes_at_once > self._newest():
                self.begin_task()
            losses.append(self._learn(some, known, optimizer))
        return torch.tensor(losses).mean()

    def changed(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Another version of each example: pictures are moved, and noise is added to anything."""
        if inputs.ndim == 4 and self.shift:
            inputs = random_shift(inputs, self.shift, generator)
        return inputs + self.noise * torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype).to(
            inputs.device
        )

    def _newest(self) -> int:
        """The number of the latest part of the stream, -1 before any."""
        return int(self.seen.nonzero().max()) // self.classes_at_once if self.seen.any() else -1

    def _learn(self, inputs: Tensor, labels: Tensor, optimizer: Any) -> float:
        inputs, labels = inputs[labels >= 0], labels[labels >= 0]
        if not len(labels):
            return 0.0
        self.train()
        self.seen[labels] = True
        losses = []
        for _ in range(self.steps):
            loss = self._loss(inputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        self.memory.add(inputs, labels)
        return float(torch.stack(losses).mean())

    def _loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        if self.replay and len(self.memory):
            before, known = self.memory.sample(self.replay)
            inputs, labels = torch.cat([inputs, before]), torch.cat([labels, known])
        mixtures = list(self._mixtures(inputs, labels))
        logits = self.head(self.backbone(torch.cat([inputs, *(mixed.inputs for _, mixed in mixtures)])))
        own, *others = logits.split(len(inputs))
        loss = cross_entropy(own, labels)
        for (strength, mixed), answers in zip(mixtures, others, strict=True):
            loss = loss + strength * mixed.loss(_cross_entropies, answers, labels).mean()
        self._used += torch.bincount(labels.cpu(), minlength=len(self._used))
        return loss

    def _mixtures(self, inputs: Tensor, labels: Tensor) -> Iterator[tuple[float, Mixed]]:
        """What is mixed of the examples, and how much each kind counts."""
        if self.enmix:
            yield self.enmix, self.both(inputs)
        old = self._old.to(labels.device)[labels]
        if self.adpmix and old.any() and not old.all():
            yield self.adpmix, self.across(inputs, old, self._used.to(labels.device)[labels])


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits, labels, reduction="none")
