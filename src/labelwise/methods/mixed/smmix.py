"""Paste what a vision transformer attends to most in one picture over what it attends to least in another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import masked_mean, soft_cross_entropy
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.heads import apply_heads, make_heads
from labelwise.methods.method import check_range
from labelwise.methods.mixed.attentive import AttentiveMethod
from labelwise.methods.mixed.base import mixer_of
from labelwise.methods.noisy.base import Shared
from labelwise.mixing import Mixed, SMMix, reversed_partners
from labelwise.models import Attended


class SMMixMethod(AttentiveMethod):
    """Mixes each batch by SMMix, or else by mixup, as a draw decides.

    A picture mixed by SMMix is learned as a whole, in the shares of area; by its two regions, which heads of their own
    answer for; and towards the mean, in the same shares, of the answers to both pictures unmixed. The pass over
    unmixed pictures, which also tells what is attended to, is in eval mode and without gradient. Labels are not
    smoothed.

    Args:
        switch: probability that a batch is mixed by SMMix and not by mixup, in [0, 1].
        alpha: of mixup's Beta distribution of shares, >= 0; 0 leaves those pictures alone.
        smallest: least side of the pasted window, as a share of the picture's, in (0, 1).
        largest: greatest side of the pasted window, as a share of the picture's, from `smallest` to below 1.
        regions: strength of the loss of the regions, >= 0.
        consistency: strength of the pull towards the mean answer, >= 0.
    """

    kinds = ("single", "soft")
    paper = "Chen et al., SMMix: Self-Motivated Image Mixing for Vision Transformers, ICCV 2023, arXiv 2212.12977"
    card = "smmix"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        switch: float = 0.5,
        alpha: float = 0.8,
        smallest: float = 0.25,
        largest: float = 0.75,
        regions: float = 1.0,
        consistency: float = 1.0,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("switch", switch, least=0, most=1)
        check_range("regions", regions, least=0)
        check_range("consistency", consistency, least=0)
        self.switch = switch
        self.mixer = mixer_of("mixup", alpha)
        self.paste = SMMix(int(self.backbone.grid), smallest, largest)  # type: ignore[arg-type]  # it attends
        self.regions = regions
        self.consistency = consistency
        self.region_heads = make_heads(self.features, self.tasks)  # of no use once training is over

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean losses of mixtures."""
        if torch.rand(()) >= self.switch:
            mixed = self.mixer(batch.inputs, partner=reversed_partners(len(batch.inputs)))
            return self.mixtures_loss(self.parts(batch, self(mixed.inputs)), mixed)
        with _in_eval(self), torch.no_grad():
            unmixed = self.attend(batch.inputs)
            expected = apply_heads(self.heads, self.tasks, unmixed.features)
        # How much the tokens of patches attend to each patch, as the paper's code has it; the class token is left out.
        mixed = self.paste(batch.inputs, unmixed.attention[:, 1:, 1:].mean(1))
        seen = self.attend(mixed.inputs)
        logits = apply_heads(self.heads, self.tasks, seen.features)
        loss = self.mixtures_loss(self.parts(batch, logits), mixed)
        loss = loss + self.regions * self._regions_loss(batch, seen, mixed)
        for name, answers in logits.items():
            target = mixed.share(expected[name]).softmax(-1)
            loss = loss + self.consistency * soft_cross_entropy(answers, target, subtract_entropy=True).mean()
        return loss

    def _regions_loss(self, batch: Batch, seen: Attended, mixed: Mixed) -> Tensor:
        """Mean loss of each region with the label of the picture that it is from, summed over tasks."""
        own = self.paste.patches(mixed)
        losses = []
        for mask, rows in ((own, torch.arange(len(own))), (~own, mixed.partner)):
            features = masked_mean(seen.tokens, mask)
            logits = apply_heads(self.region_heads, self.tasks, features)
            targets = {name: labels[rows] for name, labels in batch.targets.items()}
            parts = self.parts(batch._replace(targets=targets), logits)
            losses += [self.task_loss(part) for part in parts]
        return torch.stack(losses).sum() / 2


@contextmanager
def _in_eval(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode in this block; then each of its parts back into the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
