"""Batches of examples that lie in memory."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Some examples: their row numbers, what the model sees of them, and their labels.

    `index` is int64 [batch]; `inputs` float32 [batch, ...]; `targets` holds for each task, by name, class indices
    int64 [batch], -1 where the label is missing; or what `methods.kinds.TaskKind` says for other kinds of tasks.
    """

    index: Tensor  # type: ignore[assignment]  # tuple.index has no use here
    inputs: Tensor
    targets: dict[str, Tensor]


class Batches:
    """Gives `rows` of tensors in batches, in a new order each epoch; an iterable that a Lightning Trainer takes.

    `inputs` [n, ...] and each tensor of `targets` [n] stay where they are; a batch is one indexing operation on each.
    Batches are as even as can be: sizes differ by at most one, none is larger than `batch_size`.

    With a `seed` the order depends on (seed, `epoch`) alone, so that a run that goes on with epoch 7 sees what an
    undisturbed one sees; set `epoch` before iterating. Without one, rows come in the order given.

    With `together` above 1 so many rows of a label of the first of `targets` follow each other, for losses that compare
    examples of a class; where a batch ends, it may cut them apart.
    Raises `ValueError` if there is no row or the batch size is below 1.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Mapping[str, Tensor],
        rows: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        together: int = 1,
    ):
        if not len(rows) or batch_size < 1:
            raise ValueError(f"batches need a row and a size of at least 1; got {len(rows)} rows, size {batch_size}")
        self.inputs = inputs
        self.targets = dict(targets)
        self.rows = np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.together = together
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        rows = self.rows
        if self.seed is not None:
            generator = np.random.default_rng((self.seed, self.epoch))
            rows = generator.permutation(rows)
            if self.together > 1:
                rows = _gathered(rows, next(iter(self.targets.values())).cpu().numpy()[rows], self.together, generator)
        for index in torch.from_numpy(rows).tensor_split(len(self)):
            yield Batch(index, self.inputs[index], {name: labels[index] for name, labels in self.targets.items()})


def _gathered(rows: np.ndarray, labels: np.ndarray, together: int, generator: np.random.Generator) -> np.ndarray:
    """Rows in runs of `together` of one label, int [n], in random order of runs; the last run of a label is shorter."""
    order = np.argsort(labels, kind="stable")
    place = np.arange(len(rows)) - np.searchsorted(labels[order], labels[order])  # among the rows of its label
    run = np.cumsum(place % together == 0) - 1
    drawn = generator.permutation(run[-1] + 1)
    return rows[order[np.argsort(drawn[run], kind="stable")]]
