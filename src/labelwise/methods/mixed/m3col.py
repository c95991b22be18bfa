"""Learn from two modalities by contrasting mixtures of one with the other, and then by what is alike in both."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import m3_mixup_contrastive_loss, mix_partners, soft_clip_loss
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.heads import apply_heads, make_heads
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared
from labelwise.mixing import beta_weights, random_partners
from labelwise.models import TwoBackbones


class M3Col(NoisyMethod):
    """The loss of a head on both modalities and of one on each, and a contrast between the modalities.

    Of tasks of one class a row that loss is the cross-entropy.

    In the first part of training features of one modality are mixed, and each mixture is drawn to the other modality of
    both its examples, by their shares (M3 mixup contrastive loss), and away from those of all others; afterwards
    examples are drawn to each other as much as they are alike in the other modality (SoftCLIP). The heads on one
    modality only help in training. Labels may be missing: the contrast needs none. Features are mixed, not inputs, as
    in the paper's code; heads are linear.

    Args:
        contrast: strength of the contrast, >= 0; 0 leaves the three heads.
        mixed_share: share of training in which the contrast is with mixtures, in [0, 1].
        alpha: of the Beta distribution of shares, >= 0; 0 mixes nothing.
        chosen: share of examples that are mixed, in [0, 1].
        temperature: of the contrast with mixtures, > 0.
        soft_temperature: of the contrast after that, > 0.
    """

    kinds = ("single", "multi", "soft", "real")
    needs = "two modalities (--second), and labels of any kind; the contrast learns from rows without one too"
    paper = (
        "Kumar et al., Harnessing Shared Relations via Multimodal Mixup Contrastive Learning for Multimodal "
        "Classification, TMLR 2025, arXiv 2409.17777"
    )
    card = "m3col"
    bench = "mixing-modalities"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        contrast: float = 0.1,
        mixed_share: float = 0.33,
        alpha: float = 0.15,
        chosen: float = 0.5,
        temperature: float = 0.1,
        soft_temperature: float = 0.125,
        **shared: Unpack[Shared],
    ):
        if not isinstance(backbone, TwoBackbones) or len(set(backbone.widths)) > 1:
            raise ValueError(
                "this method learns from two modalities: name the columns of the second with --second (in Python "
                "`second=`), or give labelwise.models.TwoBackbones of equal width as the backbone"
            )
        super().__init__(backbone, tasks, **shared)
        check_range("contrast", contrast, least=0)
        check_range("mixed_share", mixed_share, least=0, most=1)
        check_range("alpha", alpha, least=0)
        check_range("chosen", chosen, least=0, most=1)
        check_range("temperature", temperature, above=0)
        check_range("soft_temperature", soft_temperature, above=0)
        self.contrast = contrast
        self.mixed_share = mixed_share
        self.alpha = alpha
        self.chosen = chosen
        self.temperature = temperature
        self.soft_temperature = soft_temperature
        self.single_heads = nn.ModuleList(make_heads(width, self.tasks) for width in backbone.widths)

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the losses of three heads, and the contrast."""
        assert isinstance(self.backbone, TwoBackbones)
        features = self.backbone.embed(batch.inputs)
        loss = self.total(self.parts(batch, apply_heads(self.heads, self.tasks, torch.cat(features, 1))))
        for heads, each in zip(self.single_heads, features, strict=True):
            parts = self.parts(batch, apply_heads(heads, self.tasks, each))  # type: ignore[arg-type]  # a list of heads
            loss = loss + torch.stack([self.task_loss(part) for part in parts]).sum()
        if self.contrast == 0:
            return loss
        contrast = (
            self._mixed_contrast if self.current_epoch < self.epochs_of(self.mixed_share) else self._soft_contrast
        )
        first, second = features
        return loss + self.contrast * (contrast(first, second) + contrast(second, first)).mean()

    def _mixed_contrast(self, mixed: Tensor, plain: Tensor) -> Tensor:
        """Losses [batch] of mixtures of one modality beside the other."""
        n = len(mixed)
        partner = random_partners(n).to(mixed.device)
        weight = beta_weights(self.alpha, n, mode="example").to(mixed)
        weight = torch.where(torch.rand(n).to(mixed.device) < self.chosen, weight, 1)
        return m3_mixup_contrastive_loss(mix_partners(mixed, partner, weight), plain, partner, weight, self.temperature)

    def _soft_contrast(self, first: Tensor, second: Tensor) -> Tensor:
        return soft_clip_loss(first, second, self.soft_temperature)
