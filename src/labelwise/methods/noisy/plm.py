"""Learn beside the given label which classes the parts of an example show: part-level labels."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import five_crops, forward_loss, parts_loss
from labelwise.labels import Task, Transition
from labelwise.methods.batch import Batch
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import Shared, TaskBatch
from labelwise.methods.noisy.correction import TransitionMethod
from labelwise.methods.noisy.second import fresh_copy

_VIEWS = 5


class PartLevelLabels(TransitionMethod):
    """Forward correction that also has to foretell which classes the parts of an example show.

    After warming up, the classes that the network sees in five crops (of pictures; of vectors, in five copies with some
    entries set to 0) are noted for each example. A second network then learns how likely an example of each class is to
    show each other one, while the first rests. From then on the first learns from the given labels and from the noted
    classes, both foretold through the transition.

    The second network's backbone is a copy of the first with weights drawn anew, or `second_backbone`. Memory grows
    with the batch times classes squared.

    Args:
        transition: as of forward correction.
        warm_up: share of training by plain cross-entropy, in [0, 1).
        parts: share of training in which the second network learns, in [0, 1).
        crop: share of each side of a picture, or of the entries of a vector, that a part has, in (0, 1).
    """

    paper = (
        "Zhao et al., Estimating Noisy Class Posterior with Part-level Labels for Noisy Label Learning, CVPR 2024, "
        "arXiv 2405.05714"
    )

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        transition: str = "anchors",
        warm_up: float = 0.2,
        parts: float = 0.2,
        crop: float = 0.7,
        transitions: Mapping[str, Transition] | None = None,
        second_backbone: nn.Module | None = None,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, transition=transition, warm_up=warm_up, transitions=transitions, **shared)
        check_range("parts", parts, least=0, below=1)
        check_range("crop", crop, above=0, below=1)
        self.parts_share = parts
        self.crop = crop
        self.second_backbone = second_backbone or fresh_copy(backbone)
        self.second_heads = nn.ModuleList(nn.Linear(self.features, len(task.classes) ** 2) for task in self.tasks)
        self._batch: Batch | None = None

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the loss of this stage of training."""
        self._batch = batch
        return super().training_step(batch, batch_idx)

    def corrected_losses(self, part: TaskBatch, matrix: Tensor) -> Tensor:
        """Of the second network, its loss; of the first, half the forward loss and half that of the noted classes."""
        chances = part.logits.softmax(-1)
        candidates = self.memory["candidates"][part.task][part.index.cpu()].to(matrix.device)
        if not self.settled():
            return parts_loss(chances.detach(), self._shown(part.task), candidates)
        with torch.no_grad():
            shown = self._shown(part.task)
        forward = forward_loss(part.logits, part.labels, matrix)
        return (forward + parts_loss(chances @ matrix, shown, candidates)) / 2

    def settled(self) -> bool:
        """Whether the second network has learned what it should."""
        return self.current_epoch >= self.epochs_of(self.warm_up) + self.epochs_of(self.parts_share)

    def on_train_epoch_start(self) -> None:
        """Note the classes that parts show, once the network has warmed up."""
        super().on_train_epoch_start()
        if self.current_epoch == self.epochs_of(self.warm_up):
            self.memory["candidates"] = self.over_training_rows(self._candidates)

    def corrected_share(self) -> float:
        """All of the loss, once the classes of parts are noted."""
        return 1.0 if "candidates" in self.memory else 0.0

    def _shown(self, task: str) -> Tensor:
        """How likely each example is to show class j in a part if it is of class i, [batch, i, j]."""
        assert self._batch is not None
        head = self.second_heads[self.places[task]]
        answered = head(self.second_backbone(self._batch.inputs))
        classes = len(self.tasks[self.places[task]].classes)
        return answered.reshape(-1, classes, classes).sigmoid()

    def _candidates(self, batch: Batch) -> dict[str, Tensor]:
        """Classes seen in parts, bool [batch, classes] by task."""
        found = {
            task.name: torch.zeros(len(batch.index), len(task.classes), dtype=torch.bool, device=batch.inputs.device)
            for task in self.tasks
        }
        for view in _views(batch.inputs, self.crop):
            for task, logits in self(view).items():
                found[task].scatter_(1, logits.argmax(-1, keepdim=True), True)
        return found


def _views(inputs: Tensor, share: float) -> Tensor:
    """Five parts of each example, [5, *inputs.shape]."""
    if inputs.ndim == 4:
        return five_crops(inputs, share)
    draws = torch.rand(_VIEWS, *inputs.shape[1:], generator=torch.Generator().manual_seed(0))
    return inputs * (draws < share).to(inputs)[:, None]
