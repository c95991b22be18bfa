"""Learn numbers from embeddings that lie in their order, by contrasts with mixtures of them."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.functional import supremix_loss
from labelwise.labels import Task
from labelwise.methods.batch import Batch
from labelwise.methods.heads import apply_heads, make_heads
from labelwise.methods.kinds import KINDS
from labelwise.methods.method import Method, check_range
from labelwise.mixing import SupReMix as Pairs

_RIDGE = 1e-3  # for each row


class SupReMix(Method):
    """Supervised contrastive learning of numbers; each is then told by a linear map of the embeddings.

    An example should be near others of its label, and near mixtures of a lower and a higher one whose mixed label is
    its own; far from all others, the more the further their labels are, and far from mixtures with itself. The network
    learns by that alone. The linear map is solved anew at the end of each epoch, by ridge regression on the training
    rows, and the epoch of the lowest validation error is kept.

    Args:
        unit: the difference of labels that counts as one step, in standard deviations, > 0. Labels are rounded to
            steps, for without equal ones there is hardly an example to be near to.
        window: steps within which a lower and a higher example are mixed to be near to, >= 0; 0 mixes none.
        mixtures: whether there are mixtures at all, of both sorts.
        weighted: let others repel by 1 + their distance in steps. Without both, this is plain supervised contrast.
        temperature: > 0; the smaller, the more the nearest count.
        noise: standard deviation of what is added to inputs, for two views of each example, >= 0.
        dimension: of the embeddings, >= 2.
        pool: most examples that are compared with each other, >= 2; time grows with its third power.
        learning_rate: step size of AdamW, > 0.
        weight_decay: pull of weights towards zero a step, relative to the learning rate, >= 0.
    """

    needs = "numbers; missing ones are left out of the loss"
    kinds = ("real",)
    paper = "Wu et al., Mixup Your Own Pairs, 2023, arXiv 2309.16633"
    card = "supremix"
    bench = "mixing-regression"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        input_shape: Sequence[int] | None = None,
        unit: float = 0.15,
        window: float = 5.0,
        mixtures: bool = True,
        weighted: bool = True,
        temperature: float = 0.3,
        noise: float = 0.05,
        dimension: int = 128,
        pool: int = 32,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__(
            backbone, tasks, input_shape=input_shape, learning_rate=learning_rate, weight_decay=weight_decay
        )
        check_range("unit", unit, above=0)
        check_range("window", window, least=0)
        check_range("temperature", temperature, above=0)
        check_range("noise", noise, least=0)
        check_range("dimension", dimension, least=2)
        check_range("pool", pool, least=2)
        self.unit = unit
        self.window = window
        self.mixtures = mixtures
        self.weighted = weighted
        self.temperature = temperature
        self.noise = noise
        self.pool = pool
        self.pairs = Pairs(window)
        self.project = nn.Linear(self.features, dimension)
        self.heads = make_heads(dimension, self.tasks)

    def embed(self, inputs: Tensor) -> Tensor:
        """Embeddings [batch, dimension], of unit length."""
        return F.normalize(self.project(self.backbone(inputs)), dim=-1)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Numbers [batch, 1] of each task, standardised."""
        return apply_heads(self.heads, self.tasks, self.embed(inputs))

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the mean contrastive loss of the labelled examples."""
        views = torch.cat([batch.inputs, batch.inputs])
        embeddings = self.embed(views + self.noise * torch.randn_like(views))
        losses = [self._contrast(embeddings, batch.targets[task.name]) for task in self.tasks]
        return torch.stack(losses).sum()

    def on_train_epoch_end(self) -> None:
        """Solve the linear maps."""
        self.eval()
        with torch.no_grad():
            batches = [self.transfer_batch_to_device(each, self.device, 0) for each in self.trainer.train_dataloader]
            embeddings = torch.cat([self.embed(batch.inputs) for batch in batches])
            for task, head in zip(self.tasks, self.heads, strict=True):
                _solve(head, embeddings, torch.cat([batch.targets[task.name] for batch in batches]))
        self.train()

    def _contrast(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss over both views of the labelled examples, compared in pools of equal size; a scalar."""
        known = KINDS["real"].known(labels).nonzero()[:, 0]
        if not len(known):
            return 0 * embeddings.sum()
        steps = (labels / self.unit).round()
        losses = []
        for rows in known.tensor_split(math.ceil(len(known) / self.pool)):
            both, numbers = torch.cat([rows, rows + len(labels)]), steps[rows].repeat(2)
            share = self.pairs.shares(numbers) if self.mixtures else None
            window = self.window if self.mixtures and self.window else None
            losses.append(supremix_loss(embeddings[both], numbers, share, self.temperature, window, self.weighted))
        return torch.cat(losses).mean()


def _solve(head: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    """Let a linear layer, in place, be the ridge regression of the labels that are not missing on embeddings."""
    assert isinstance(head, nn.Linear)
    known = KINDS["real"].known(labels)
    if not known.any():
        return
    # On the CPU, since not every device has double precision.
    inputs, numbers = embeddings[known].double().cpu(), labels[known].double().cpu()
    centre, mean = inputs.mean(0), numbers.mean()
    inputs = inputs - centre
    penalty = _RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (numbers - mean))
    head.weight.copy_(weights[None])
    head.bias.copy_((mean - centre @ weights)[None])
