"""Learn from mixtures to be sure of both classes, whatever their shares."""

from collections.abc import Sequence
from typing import Unpack, cast

from torch import Tensor, nn

from labelwise.functional import DecoupledTerms, decoupled_mixup_loss
from labelwise.labels import Task
from labelwise.methods.method import check_range
from labelwise.methods.mixed.base import MixedMethod, mixer_of
from labelwise.methods.noisy.base import Shared, TaskBatch
from labelwise.mixing import Mixed


class DecoupledMixup(MixedMethod):
    """Adds to the mixed cross-entropy, for each class of a mixture, one in which the other class does not compete.

    Mixtures of which a label is missing are left out.

    Args:
        mixer: "mixup", or "cutmix" for pictures.
        alpha: of the Beta distribution of shares, >= 0; 0 leaves examples alone.
        strength: of the second part, >= 0; 0 is plain mixing.
        terms: the second part for "both" classes, or only for that of "more" or "less" share.
        exponent: >= 0; in the second part a class of share s counts min(1, s / threshold) ** exponent.
        threshold: share in (0, 1] from which a class counts in full.
    """

    paper = "Liu et al., Harnessing Hard Mixed Samples with Decoupled Regularizer, NeurIPS 2023, arXiv 2203.10761"
    card = "decoupled-mixup"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        mixer: str = "mixup",
        alpha: float = 0.2,
        strength: float = 0.1,
        terms: str = "both",
        exponent: float = 1.0,
        threshold: float = 1.0,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("strength", strength, least=0)
        check_range("exponent", exponent, least=0)
        check_range("threshold", threshold, above=0, most=1)
        if terms not in ("both", "more", "less"):
            raise ValueError(f"terms must be both, more or less; got {terms!r}")
        self.mixer = mixer_of(mixer, alpha)
        self.strength = strength
        self.terms = cast(DecoupledTerms, terms)
        self.exponent = exponent
        self.threshold = threshold

    def mixture_loss(self, part: TaskBatch, mixed: Mixed) -> Tensor:
        """Mean decoupled loss of the mixtures with two labels."""
        others = part.labels[mixed.partner]
        losses = decoupled_mixup_loss(
            part.logits,
            part.labels.clamp(min=0),
            others.clamp(min=0),
            mixed.label_weight,
            self.strength,
            self.terms,
            self.exponent,
            self.threshold,
        )
        return self.mean(part, losses, others >= 0)
