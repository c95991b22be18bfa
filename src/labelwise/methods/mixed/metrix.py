"""Learn embeddings in which neighbours are of one class, by comparing examples, and mixtures of two classes."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import (
    metrix_contrastive,
    metrix_multi_similarity,
    metrix_proxy_anchor,
    mixture_similarity,
    temperature,
)
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.method import Method, check_range, joint_loss
from labelwise.mixing import beta_weights

LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "multi-similarity": metrix_multi_similarity,
    "contrastive": metrix_contrastive,
    "proxy-anchor": metrix_proxy_anchor,
}
SITES = ("embedding", "hidden", "input")
_SCALE = 16.0  # of cosines, to make logits of them; `fit` calibrates them afterwards


class Metrix(Method):
    """A backbone with a linear layer a task to an embedding of unit length, for retrieval and for classes of later.

    The loss compares examples: each is an anchor, to which others of its class should be near, and all others far. It
    is the more so compared with mixtures of a positive example and a negative one, which are positive by the share of
    the first. In every step that is drawn by chance: either another example of the anchor's class, or the anchor
    itself. With `proxy-anchor`, anchors are proxies of the classes, which are learned too.

    `embed` gives the embeddings. A class is predicted by the cosine to the mean embedding of its training rows.

    Args:
        loss: "multi-similarity", "contrastive" or "proxy-anchor".
        strength: of the loss on mixtures, >= 0; 0 is the plain loss.
        alpha: of the Beta distribution of shares, drawn for each mixture, >= 0.
        site: what is mixed: the "embedding" of two examples; the "hidden" features that the backbone gives; or the
            "input", each anchor's mixture with the nearest negative alone, which doubles the time.
        dimension: of the embedding, >= 1.
        per_class: examples of a class (of the first task) that follow each other in training, >= 1; batches of a few
            examples of many classes would hold no positives otherwise.
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0.
    """

    needs = "one class a task; rows without a label are left out"
    paper = "Venkataramanan et al., It Takes Two to Tango: Mixup for Deep Metric Learning, ICLR 2022, arXiv 2106.04990"
    card = "metrix"
    bench = "mixing-retrieval"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        loss: str = "multi-similarity",
        strength: float = 0.4,
        alpha: float = 2.0,
        site: str = "embedding",
        dimension: int = 64,
        per_class: int = 4,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__(
            backbone, tasks, input_shape=input_shape, learning_rate=learning_rate, weight_decay=weight_decay
        )
        for name, value, known in (("loss", loss, LOSSES), ("site", site, SITES)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        check_range("strength", strength, least=0)
        check_range("alpha", alpha, least=0)
        check_range("dimension", dimension, least=1)
        check_range("per_class", per_class, least=1)
        self.loss = LOSSES[loss]
        self.strength = strength
        self.alpha = alpha
        self.site = site
        self.together = per_class
        self.layers = nn.ModuleList(nn.Linear(self.features, dimension) for _ in self.tasks)
        self.proxies = nn.ParameterList()
        for number, task in enumerate(self.tasks):
            self.register_buffer(f"means_{number}", torch.zeros(len(task.classes), dimension))
            if loss == "proxy-anchor":
                self.proxies.append(torch.randn(len(task.classes), dimension))

    def embed(self, inputs: Tensor) -> dict[str, Tensor]:
        """Embeddings [batch, dimension] of each task, of unit length: the larger their product, the more alike."""
        return {name: F.normalize(values, dim=1) for name, values in self._project(inputs).items()}

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Logits [batch, classes] of each task: cosines to the classes' means, -1 for a class without training rows."""
        logits = {}
        for number, (task, embeddings) in enumerate(self.embed(inputs).items()):
            means = self.get_buffer(f"means_{number}")
            cosines = (embeddings @ means.T).masked_fill(~means.any(1), -1)
            logits[task] = _SCALE * cosines
        return logits

    def heldout_loss(self, logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """The cross-entropy of calibrated logits: what counts of cosines is not how far they are apart."""
        calibrated = {name: each / temperature(each, targets[name]) for name, each in logits.items()}
        return joint_loss(calibrated, targets, self.tasks)

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean loss of anchors, on examples and, in part, on mixtures."""
        found = self._project(batch.inputs)
        return torch.stack(
            [self._task_loss(number, batch, found[task.name]) for number, task in enumerate(self.tasks)]
        ).sum()

    def on_train_epoch_end(self) -> None:
        """Find the mean embedding of each class."""
        embeddings = self.over_training_rows(lambda batch: self.embed(batch.inputs))
        labels = self.over_training_rows(lambda batch: batch.targets)
        for number, task in enumerate(self.tasks):
            means = self.get_buffer(f"means_{number}")
            # Other rows hold zeros, and add nothing to the first class.
            known = labels[task.name] >= 0
            sums = torch.zeros_like(means, device="cpu")
            sums.index_add_(0, labels[task.name][known], embeddings[task.name][known])
            means.copy_(F.normalize(sums, dim=1))

    def _project(self, inputs: Tensor) -> dict[str, Tensor]:
        features = self.backbone(inputs)
        return {task.name: layer(features) for task, layer in zip(self.tasks, self.layers, strict=True)}

    def _task_loss(self, number: int, batch: Batch, projected: Tensor) -> Tensor:
        """Loss of one task, whose layer gave `projected` [batch, dimension], a scalar."""
        labels = batch.targets[self.tasks[number].name]
        embeddings = F.normalize(projected, dim=1)
        if self.proxies:
            anchors, of = F.normalize(self.proxies[number], dim=1), torch.arange(len(self.proxies[number])).to(labels)
        else:
            anchors, of = embeddings, labels
        counted = (of[:, None] >= 0) & (labels >= 0)
        if not self.proxies:
            counted.fill_diagonal_(False)
        positive = (of[:, None] == labels) & counted
        losses = self.loss(anchors @ embeddings.T, positive.to(embeddings.dtype), counted)
        if self.strength:
            losses = losses + self.strength * self._mixed_losses(
                number, batch, anchors, projected, positive, counted & ~positive
            )
        present = counted.any(1)
        return (losses * present).sum() / present.sum().clamp(min=1)

    def _mixed_losses(
        self, number: int, batch: Batch, anchors: Tensor, projected: Tensor, positive: Tensor, negative: Tensor
    ) -> Tensor:
        """Losses [anchors] on mixtures of a positive and a negative of the anchor; bool [anchors, batch] say which."""
        n, rows = len(projected), torch.arange(len(anchors), device=projected.device)
        itself = not self.proxies and bool(torch.rand(()) < 0.5)
        if itself:
            first, counted = rows[:, None].expand(-1, n), negative
        else:
            some = positive.any(1, keepdim=True)
            # An anchor without a positive draws one that is not counted.
            first = torch.multinomial((positive | ~some).float(), n, replacement=True)
            counted = negative & some
        second = torch.arange(n, device=projected.device).expand(len(anchors), -1)
        examples = projected if self.site == "hidden" else F.normalize(projected, dim=1)
        if self.site == "input":
            nearest = (anchors @ examples.T).masked_fill(~counted, -torch.inf).argmax(1, keepdim=True)
            first, second, counted = (each.gather(1, nearest) for each in (first, second, counted))
        weight = beta_weights(self.alpha, first.numel(), mode="example").to(anchors).reshape(first.shape)
        if self.site == "input":
            shares = weight.reshape(-1, *[1] * (batch.inputs.ndim - 1))
            mixtures = torch.lerp(batch.inputs[second[:, 0]], batch.inputs[first[:, 0]], shares)
            made = F.normalize(self.layers[number](self.backbone(mixtures)), dim=1)
            similarity = (anchors * made).sum(1, keepdim=True)
        else:
            similarity = mixture_similarity(anchors, examples, first, second, weight)
        return self.loss(similarity, weight, counted)
