"""A small memory of a long stream."""

import torch
from torch import Tensor


class Reservoir:
    """Keeps so many examples of a stream that each one that came is in it with the same probability.

    Inputs are kept as they came, on their device. Draws from torch's global random numbers.

    Args:
        size: examples that are kept, >= 1.

    Source: Vitter, "Random Sampling with a Reservoir" (1985).
    """

    def __init__(self, size: int):
        if size < 1:
            raise ValueError(f"size must be at least 1; got {size}")
        self.size = size
        self.came = 0
        self._inputs: Tensor | None = None
        self._labels: Tensor | None = None

    def __len__(self) -> int:
        return min(self.came, self.size)

    def add(self, inputs: Tensor, labels: Tensor) -> None:
        """Let examples pass, inputs `[n, ...]` and labels `[n]`, in this order."""
        if self._inputs is None or self._labels is None:
            self._inputs = inputs.new_zeros(self.size, *inputs.shape[1:])
            self._labels = labels.new_zeros(self.size)
        rows = torch.arange(len(labels))
        before = self.came + rows
        drawn = (torch.rand(len(rows), dtype=torch.float64) * (before + 1)).long()
        place = torch.where(before < self.size, before, drawn)
        kept = place < self.size
        # Of several that go to one place, the last stays.
        last = torch.full((self.size,), -1).scatter_reduce(0, place[kept], rows[kept], "amax")
        taken = last >= 0
        self._inputs[taken], self._labels[taken] = inputs[last[taken]], labels[last[taken]]
        self.came += len(rows)

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """Different examples that are kept, drawn at random: so many, or all there are. Raises `ValueError` if none."""
        if self._inputs is None or self._labels is None:
            raise ValueError("the memory is empty; add examples first")
        rows = torch.randperm(len(self))[:n]
        return self._inputs[rows], self._labels[rows]
