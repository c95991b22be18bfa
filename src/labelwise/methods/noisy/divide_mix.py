"""Divide labels into clean and wrong ones by their losses, guess the wrong ones anew, and learn from mixtures."""

from collections.abc import Callable, Sequence
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import (
    clean_probability,
    masked_cross_entropy,
    negative_entropy,
    prior_divergence,
    random_shift,
    sharpen,
    soft_cross_entropy,
)
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.noisy.two import PairShared, TwoNetworks
from labelwise.mixing import Mixup

_VIEWS = 2
_SHIFT = 0.125  # of the sides of a picture


class DivideMix(TwoNetworks):
    """Two networks, each learning from labels that the other one's losses show to be clean, and from guesses.

    After warming up, a mixture of two Gaussians is fitted to each network's losses in every epoch. To the other
    network, labels that are clean with a probability above `threshold` are drawn towards its own prediction the more
    the less probably they are clean; those of the other examples, missing ones too, are forgotten and guessed by both
    networks. Predictions are means over two views of an example. Targets are sharpened, examples mixed in pairs, and
    predictions of a batch are drawn towards equal frequency of classes (which suits no long tail). Both networks learn
    in the same step, and of each example one view, so that an epoch is a single pass; it costs about four times that of
    cross-entropy.

    `augment` may be handed to the constructor: inputs [batch, ...] to other views of them, of the same shape. Without,
    pictures are shifted by up to an eighth of their sides, and vectors are taken as they are.

    Args:
        warm_up: share of training by cross-entropy, with a penalty for certainty, in (0, 1).
        threshold: probability of being clean above which a label is kept, in [0, 1).
        temperature: of sharpening, above 0.
        alpha: of the Beta distribution that shares are drawn from, >= 0; 0 mixes nothing.
        unlabelled_weight: of the squared error of predictions of mixtures whose own label was forgotten, >= 0.
    """

    paper = "Li, Socher, Hoi, DivideMix, ICLR 2020, arXiv 2002.07394"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        warm_up: float = 0.1,
        threshold: float = 0.03,
        temperature: float = 0.5,
        alpha: float = 0.5,
        unlabelled_weight: float = 0.0,
        augment: Callable[[Tensor], Tensor] | None = None,
        **shared: Unpack[PairShared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("warm_up", warm_up, above=0, below=1)
        check_range("threshold", threshold, least=0, below=1)
        check_range("temperature", temperature, above=0)
        check_range("unlabelled_weight", unlabelled_weight, least=0)
        self.warm_up = warm_up
        self.threshold = threshold
        self.temperature = temperature
        self.unlabelled_weight = unlabelled_weight
        self.augment = augment
        self.mixup = Mixup(alpha, own_half=True)
        self._clean: dict[str, Tensor] = {}  # by task, [2 networks, rows]

    def settled(self) -> bool:
        """Whether labels have been divided."""
        return self.current_epoch >= self.epochs_of(self.warm_up)

    def pair_loss(self, first: TaskBatch, second: TaskBatch) -> Tensor:
        """In warming up: the networks' mean cross-entropies, and how certain their predictions are."""
        return torch.stack(
            [
                self.mean(part, masked_cross_entropy(part.logits, part.labels) + negative_entropy(part.logits))
                for part in (first, second)
            ]
        ).sum()

    def on_train_epoch_start(self) -> None:
        """Divide the labels, once the networks have warmed up."""
        self._clean = {}
        if self.settled():
            for task, both in self.over_training_rows(self._losses).items():
                both[self.given[task] < 0] = torch.nan  # rows that are not trained on, too
                self._clean[task] = torch.stack([clean_probability(each) for each in both.T]).to(self.device)

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over networks and tasks of the loss of mixtures."""
        if not self._clean:
            return super().training_step(batch, batch_idx)
        views = self._views(batch.inputs)
        chances = self._chances(batch, views)
        kept = {task: clean[:, batch.index] > self.threshold for task, clean in self._clean.items()}
        losses = []
        for network in (0, 1):
            mixed = self.mixup(views[0])
            parts = self.parts(batch, self.answers_of(network, mixed.inputs))
            for part in parts:
                trusted = kept[part.task][1 - network]
                targets = mixed.share(self._targets(part, network, trusted, chances[part.task]))
                losses.append(self._mixed_loss(part, targets, trusted))
        for part in parts:
            self.note_selected(part, kept[part.task].float().mean(0))
        return torch.stack(losses).sum()

    def _targets(self, part: TaskBatch, network: int, trusted: Tensor, chances: Tensor) -> Tensor:
        """Sharpened targets [batch, classes]: labels drawn towards `chances` [network, batch, classes], and guesses."""
        clean = self._clean[part.task][1 - network, part.index, None].nan_to_num()
        given = F.one_hot(part.labels.clamp(min=0), chances.shape[-1])
        refined = clean * given + (1 - clean) * chances[network]
        return sharpen(torch.where(trusted[:, None], refined, chances.mean(0)), self.temperature)

    def _mixed_loss(self, part: TaskBatch, targets: Tensor, trusted: Tensor) -> Tensor:
        loss = self.mean(part, soft_cross_entropy(part.logits, targets), trusted)
        loss = loss + prior_divergence(part.logits, self._prior(part))
        if self.unlabelled_weight:
            errors = (part.logits.softmax(-1) - targets).square().mean(-1)
            loss = loss + self.unlabelled_weight * (errors * ~trusted).sum() / (~trusted).sum().clamp(min=1)
        return loss

    def _prior(self, part: TaskBatch) -> Tensor:
        """Equal shares of classes, as logits that are adjusted to the frequency of classes show them."""
        equal = torch.full_like(part.logits[0], 1 / part.logits.shape[-1])
        return self.frequencies[part.task] if self.balance == "logit-adjustment" else equal

    def _views(self, inputs: Tensor) -> list[Tensor]:
        if self.augment is not None:
            return [self.augment(inputs) for _ in range(_VIEWS)]
        return [random_shift(inputs, _SHIFT) for _ in range(_VIEWS)] if inputs.ndim == 4 else [inputs]

    @torch.no_grad()
    def _chances(self, batch: Batch, views: Sequence[Tensor]) -> dict[str, Tensor]:
        """Mean probabilities over views by task, [network, batch, classes]."""
        self.eval()
        answered = [[self.parts(batch, self.answers_of(network, view)) for view in views] for network in (0, 1)]
        self.train()
        return {
            task.name: torch.stack(
                [torch.stack([parts[at].logits.softmax(-1) for parts in each]).mean(0) for each in answered]
            )
            for at, task in enumerate(self.tasks)
        }

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses [batch, network] by task."""
        found = {}
        both = (self.parts(batch, self.answers_of(network, batch.inputs)) for network in (0, 1))
        for pair in zip(*both, strict=True):
            self.note_both(*pair)
            losses = [masked_cross_entropy(part.logits, part.labels) for part in pair]
            found[pair[0].task] = torch.stack(losses, 1)
        return found
