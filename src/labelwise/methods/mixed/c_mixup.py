"""Learn numbers from mixtures of examples with near labels."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from labelwise.functional import label_density_pairs, mix
from labelwise.labels import Task
from labelwise.methods.batch import Batch, Batches
from labelwise.methods.method import check_range
from labelwise.methods.noisy.base import NoisyMethod, Shared
from labelwise.mixing import beta_weights


class CMixup(NoisyMethod):
    """Mixup for numbers: each example is mixed with one of all training rows, the rather the nearer its label.

    Plain mixup adds labels that may lie far apart, where what is between two inputs has another label than what is
    between their labels. Row j is the partner of i with probability proportional to exp(-|y_i - y_j|^2 / (2
    bandwidth^2)), drawn anew for each epoch; with several tasks |y_i - y_j| is the distance of all their labels, a
    missing one taken at the mean. One share is drawn a batch. In Python `layer`, a module of the backbone, mixes what
    leaves it in place of the inputs.

    Args:
        alpha: of the Beta distribution of shares, >= 0; 0 leaves examples alone.
        bandwidth: in standard deviations of the labels, > 0; small ones mix hardly, .inf is plain mixup.
    """

    needs = "numbers; missing ones count nothing in a mixture"
    kinds = ("real",)
    paper = "Yao et al., C-Mixup: Improving Generalization in Regression, NeurIPS 2022, arXiv 2210.05775"
    card = "c-mixup"
    bench = "mixing-regression"

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[Task],
        *,
        alpha: float = 2.0,
        bandwidth: float = 0.3,
        layer: nn.Module | None = None,
        **shared: Unpack[Shared],
    ):
        super().__init__(backbone, tasks, **shared)
        check_range("alpha", alpha, least=0)
        check_range("bandwidth", bandwidth, above=0)
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.sites = [] if layer is None else [layer]  # in a list, so that its weights are not counted twice
        self.partners = torch.zeros(0, dtype=torch.int64)  # row by row, -1 of those that are not trained on

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Sum over tasks of the squared error of the mixtures."""
        rows, partners = self._rows(), self.partners[batch.index.cpu()]
        other = rows.inputs[partners].to(batch.inputs.device)
        share = beta_weights(self.alpha, len(other)).to(other)
        parts = self.parts(batch, self._mixed(batch.inputs, other, share))
        others = {name: labels[partners].to(self.device) for name, labels in rows.targets.items()}
        return torch.stack([self.shared_loss(part, others[part.task], share) for part in parts]).sum()

    def on_train_epoch_start(self) -> None:
        """Draw the partner of each row."""
        rows = self._rows()
        trained = torch.from_numpy(rows.rows)
        labels = torch.stack([rows.targets[task.name][trained] for task in self.tasks], 1).nan_to_num()
        drawn = label_density_pairs(labels, torch.arange(len(trained)), self.bandwidth)
        self.partners = torch.full((len(rows.inputs),), -1)
        self.partners[trained] = trained[drawn]

    def _mixed(self, own: Tensor, other: Tensor, share: Tensor) -> dict[str, Tensor]:
        """Outputs of the mixtures of two batches."""
        if not self.sites:
            return self(mix(own, other, share))

        def mix_output(module: nn.Module, given: Any, output: Tensor) -> Tensor:
            first, second = output.chunk(2)
            return mix(first, second, share)

        hook = self.sites[0].register_forward_hook(mix_output)
        try:
            return self(torch.cat([own, other]))
        finally:
            hook.remove()

    def _rows(self) -> Batches:
        rows = self.trainer.train_dataloader
        if not isinstance(rows, Batches):
            raise TypeError(
                "C-Mixup draws partners among all training rows; give the Trainer labelwise.methods.Batches"
            )
        return rows
