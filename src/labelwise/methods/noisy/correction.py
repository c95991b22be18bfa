"""What methods share that know, or estimate, how true classes turn into given ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.audit import anchor_points, confident_transition, hoc
from labelwise.functional import forward_loss, masked_cross_entropy
from labelwise.labels import Task, Transition
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch
from labelwise.methods.noisy.out_of_sample import out_of_sample


class Correcting(Shared, total=False):
    """The arguments that all methods with a transition take."""

    transition: str
    warm_up: float
    transitions: Mapping[str, Transition] | None


SOURCES = ("anchors", "joint", "hoc")
_LARGEST_SHOWN = 50  # classes, in the metrics


class TransitionMethod(NoisyMethod):
    """Learns the true classes by a loss that takes a transition to the given ones into account.

    A subclass says in `corrected_losses` how. Held-out labels, which may be wrong as well, are compared with the
    prediction sent through the transition.

    `transitions` by task may be handed to the constructor, for instance `labels.Transition.measured`; then nothing is
    estimated.

    Args:
        transition: where each task's transition comes from: "anchors", the surest predictions of the network after
            warming up; "joint", confident learning with logistic regression on the inputs; "hoc", agreement of
            neighbours in the features after warming up; or a file that `labels.Transition.write` made.
        warm_up: share of training by plain cross-entropy before a transition is estimated, in [0, 1); a known one sets
            in evenly over it.
    """

    card = "noisy-ostracods"
    bench = "noisy"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        transition: str = "anchors",
        warm_up: float = 0.1,
        transitions: Mapping[str, Transition] | None = None,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("warm_up", warm_up, least=0, below=1)
        self.transition = transition
        self.warm_up = warm_up
        self.transitions = dict(transitions or {})
        names = [task.name for task in self.tasks]
        unknown = [name for name in self.transitions if name not in names]
        if unknown:
            raise ValueError(f"transitions must be of the tasks {', '.join(names)}; got one of {unknown[0]!r}")
        self.places = {task.name: at for at, task in enumerate(self.tasks)}
        for at, task in enumerate(self.tasks):
            self.register_buffer(f"transition_{at}", torch.eye(len(task.classes)))

    def corrected_losses(self, part: TaskBatch, matrix: Tensor) -> Tensor:
        """The loss of each example [batch] under the transition `matrix` [true, given]."""
        raise NotImplementedError

    def matrix(self, task: str) -> Tensor:
        """The transition of a task, [true, given]."""
        return self.get_buffer(f"transition_{self.places[task]}")

    def set_transition(self, task: str, transition: Transition) -> None:
        """Correct a task by this transition from now on, its classes joined by name."""
        place = self.places[task]
        matrix = transition.for_classes(self.tasks[place].classes).matrix
        self.get_buffer(f"transition_{place}").copy_(torch.from_numpy(matrix))

    def task_loss(self, part: TaskBatch) -> Tensor:
        """Mean of the corrected losses, or in warming up of cross-entropy, wholly or partly."""
        share = self.corrected_share()
        losses = masked_cross_entropy(part.logits, part.labels) if share < 1 else torch.zeros(())
        if share > 0:
            losses = share * self.corrected_losses(part, self.matrix(part.task)) + (1 - share) * losses
        return self.mean(part, losses)

    def heldout_loss(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Sum over tasks of the mean forward loss."""
        losses = [
            forward_loss(answers, targets[name], self.matrix(name).to(answers)).sum()
            / (targets[name] >= 0).sum().clamp(min=1)
            for name, answers in logits.items()
        ]
        return torch.stack(losses).sum()

    def settled(self) -> bool:
        """Whether the correction is in full effect."""
        return self.current_epoch >= self.epochs_of(self.warm_up)

    def facts(self) -> dict[str, Any]:
        """`transitions` by task: classes, matrix, and the noise rate that they mean for classes of equal size."""
        found = {}
        for task in self.tasks:
            matrix = self.matrix(task.name).detach().double().cpu().numpy()
            facts: dict[str, Any] = {"noise_rate": round(float(1 - matrix.diagonal().mean()), 4)}
            if len(task.classes) <= _LARGEST_SHOWN:
                facts |= {"classes": list(task.classes), "matrix": matrix.round(4).tolist()}
            found[task.name] = facts
        return {"transitions": found}

    def check_files(self) -> None:
        """Raise `ValueError` if the transition should be in a file and is not, or is one between other classes."""
        if not self._estimated() and not self.transitions:
            self._read()

    def on_train_start(self) -> None:
        """Read the transition if it lies in a file."""
        super().on_train_start()
        if not self._estimated():
            known = self.transitions or dict.fromkeys([task.name for task in self.tasks], self._read())
            for name, transition in known.items():
                self.set_transition(name, transition)

    def on_train_epoch_start(self) -> None:
        """Estimate the transitions once the network has warmed up."""
        if self._estimated() and self.current_epoch == self.epochs_of(self.warm_up):
            for task in self.tasks:
                if (self.given[task.name] >= 0).any():
                    self.set_transition(task.name, self._estimate(task))

    def _read(self) -> Transition:
        if not Path(self.transition).is_file():
            raise ValueError(f"transition must be {', '.join(SOURCES)} or a file; there is no file {self.transition!r}")
        found = Transition.read(self.transition)
        if all(set(found.classes).isdisjoint(task.classes) for task in self.tasks):
            raise ValueError(
                f"{self.transition} is between the classes {', '.join(found.classes[:10])}, none of which a task has"
            )
        return found

    def _estimated(self) -> bool:
        return self.transition in SOURCES and not self.transitions

    def corrected_share(self) -> float:
        """How much of the loss is corrected in this epoch, in [0, 1]."""
        start = self.epochs_of(self.warm_up)
        if self._trainer is None or self.current_epoch >= start:
            return 1.0
        return 0.0 if self._estimated() else self.current_epoch / start

    def _estimate(self, task: Task) -> Transition:
        given = self.given[task.name]
        if self.transition == "joint":
            rows, probabilities = out_of_sample(self, task)
            return confident_transition(given[rows].numpy(), probabilities, task.classes)
        labelled = given >= 0
        if self.transition == "hoc":
            features = self.over_training_rows(lambda batch: {"features": self.backbone(batch.inputs)})["features"]
            rows = (labelled & features.any(-1)).nonzero().flatten()
            if len(rows) < 3:  # hoc compares three
                self.notes.append(f"{task.name!r} has too few labels for hoc: they count as never mistaken")
                return Transition.identity(task.classes)
            return hoc(features[rows].numpy(), given[rows].numpy(), quiet=True, classes=task.classes)
        probabilities = self.over_training_rows(
            lambda batch: {part.task: part.logits.softmax(-1) for part in self.parts(batch, self(batch.inputs))}
        )[task.name][labelled].numpy()
        return with_anchors_only(anchor_points(probabilities, classes=task.classes))


def with_anchors_only(found: Transition) -> Transition:
    """A class whose surest row is surer to be of another has no anchor, and counts as never mistaken."""
    anchored = found.matrix.argmax(axis=1) == np.arange(len(found.classes))
    return Transition(np.where(anchored[:, None], found.matrix, np.eye(len(found.classes))), found.classes)
