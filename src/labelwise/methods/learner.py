"""What `train` can train: a module that knows its loss, and what of its state a checkpoint needs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from labelwise.methods.batch import Batch


class Learner(LightningModule):
    """A Lightning module whose training goes on, bit for bit, where it was stopped, and which says when it is best.

    It says what it minimises (`training_step`) and how (`configure_optimizers`); `learning_rate` is named where
    training diverges.
    """

    patience: int | None = None  # epochs without a better criterion before training stops; None: as the plan says
    passes: int | None = None  # over the training rows; None: as the plan says
    together: int = 1  # examples of a class that follow each other in training, of those that compare them
    learning_rate: float

    def __init__(self) -> None:
        super().__init__()
        self._random: dict[str, Any] | None = None
        self.notes: list[str] = []  # what went wrong in training, though not so wrong that it had to end

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """The loss to minimise, a scalar."""
        raise NotImplementedError

    def prepare(self, labels: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """The labels by task as batches should bring them, where `rows`, int64, are learned from."""
        return dict(labels)

    def order(self, rows: np.ndarray, targets: Mapping[str, Tensor], seed: int) -> np.ndarray | None:
        """The order in which the training `rows` come; None draws one anew for each epoch."""
        return None

    def settled(self) -> bool:
        """Whether the weights of now are worth keeping; training does not stop early before. Asked in eval mode."""
        return True

    def criterion(self) -> float | None:
        """A number of this epoch, the lowest of which marks the weights to keep; None if it has none of its own."""
        return None

    def epoch_facts(self) -> dict[str, Any]:
        """Further plain facts for the history, asked at the end of each epoch of training."""
        return {}

    def over_training_rows(self, ask: Callable[[Batch], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What `ask` gives for every training batch, in eval mode and without gradient, as CPU tensors [rows, ...].

        Rows that are not trained on hold zeros.
        """
        rows, parts = [], []
        self.eval()
        with torch.no_grad():
            for batch in self.trainer.train_dataloader:
                answer = ask(self.transfer_batch_to_device(batch, self.device, 0))
                rows.append(batch.index)
                parts.append({name: values.cpu() for name, values in answer.items()})
        self.train()
        index, found = torch.cat(rows), {}
        for name in parts[0]:
            values = torch.cat([part[name] for part in parts])
            found[name] = values.new_zeros(1 + int(index.max()), *values.shape[1:])
            found[name][index] = values
        return found

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the notes, and the state of the random numbers, so that training goes on as if nothing had happened."""
        checkpoint["notes"] = list(self.notes)
        checkpoint["random"] = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the notes; remember the random state until training starts, as what comes before may draw numbers."""
        self.notes = list(checkpoint["notes"])
        self._random = checkpoint["random"]

    def on_train_start(self) -> None:
        """Take up the random numbers where the checkpoint left them."""
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if self._random["cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(self._random["cuda"])
            self._random = None
