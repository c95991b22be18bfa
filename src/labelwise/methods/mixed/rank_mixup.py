"""Learn to be the less sure the more an example is mixed, for confidences that can be trusted."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import mixed_targets, mixup_ndcg_loss, mixup_ranking_loss
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared, TaskBatch
from labelwise.mixing import Mixed, Mixup

RANKS = ("ndcg", "ranking")


class RankMixup(NoisyMethod):
    """Adds to the cross-entropy of the examples a loss of how confidences in mixtures are ordered.

    Mixtures are not learned as targets; they only say which of two predictions should be the surer one. Examples that
    are mixed with an unlabelled one are left out of that.

    Args:
        rank: "ndcg", the order of several mixtures by share; or "ranking", a margin to one mixture.
        copies: mixtures of each example, >= 1; with "ranking" the mean over them.
        alpha: of the Beta distribution of shares, >= 0.
        strength: of the ranking loss, >= 0; 0 is plain cross-entropy.
        margin: with "ranking", by how much the largest logit of an example should exceed that of its mixture, >= 0.
    """

    paper = "Noh et al., RankMixup: Ranking-Based Mixup Training for Network Calibration, ICCV 2023, arXiv 2308.11990"
    card = "rankmixup"
    bench = "mixing-classes"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        rank: str = "ndcg",
        copies: int = 3,
        alpha: float = 2.0,
        strength: float = 0.1,
        margin: float = 2.0,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        if rank not in RANKS:
            raise ValueError(f"rank must be one of {', '.join(RANKS)}; got {rank!r}")
        check_range("copies", copies, least=1)
        check_range("strength", strength, least=0)
        check_range("margin", margin, least=0)
        self.rank = rank
        self.copies = copies
        self.mixer = Mixup(alpha)
        self.strength = strength
        self.margin = margin

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean cross-entropy and the ranking loss."""
        parts = self.parts(batch, self(batch.inputs))
        loss = self.total(parts)
        if self.strength == 0:
            return loss
        mixtures = [self.mixer(batch.inputs) for _ in range(self.copies)]
        logits = self(torch.cat([mixed.inputs for mixed in mixtures]))  # apart from the examples, for batch norms
        return (
            loss
            + self.strength
            * torch.stack(
                [self._rank_loss(part, mixtures, logits[part.task].unflatten(0, (self.copies, -1))) for part in parts]
            ).sum()
        )

    def _rank_loss(self, part: TaskBatch, mixtures: Sequence[Mixed], logits: Tensor) -> Tensor:
        others = torch.stack([part.labels[mixed.partner] for mixed in mixtures])
        if self.rank == "ndcg":
            classes = logits.shape[-1]
            targets = [mixed_targets(part.labels, each.partner, each.label_weight, classes) for each in mixtures]
            losses = mixup_ndcg_loss(part.logits, logits, torch.stack(targets))
        else:
            pairs = zip(logits, others, strict=True)
            losses = torch.stack(
                [mixup_ranking_loss(part.logits, each, part.labels == other, self.margin) for each, other in pairs]
            ).mean(0)
        return self.mean(part, losses, (others >= 0).all(0))
