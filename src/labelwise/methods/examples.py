"""What training notes of each example, an epoch after the other."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Examples:
    """Numbers by task, kind, epoch and row, which a method notes as it learns.

    Kinds are what the method calls them: `loss`, the loss of the given label; `margin`, how far its logit is above the
    largest other one; `selected`, 1 where the method learned from the label. Kept in half precision.
    """

    def __init__(self) -> None:
        self._past: dict[str, dict[str, list[Tensor]]] = {}
        self._now: dict[tuple[str, str], Tensor] = {}
        self._rows = 0

    def start(self, rows: int) -> None:
        """Make room for this many rows; before, nothing is noted. What is there of another number goes."""
        if rows != self._rows:
            self._past = {}
        self._rows = rows

    def note(self, task: str, index: Tensor, **values: Tensor) -> None:
        """Note values `[batch]`, by kind, of the rows `index`; they stay where they are until the epoch ends."""
        if not self._rows:
            return
        for kind, value in values.items():
            if (task, kind) not in self._now:
                self._now[task, kind] = torch.full((self._rows,), torch.nan, device=value.device)
            self._now[task, kind][index] = value.detach().float()

    def end_epoch(self) -> None:
        """Close the page of this epoch."""
        for (task, kind), values in self._now.items():
            self._past.setdefault(task, {}).setdefault(kind, []).append(values.half().cpu())
        self._now = {}

    def values(self) -> dict[str, dict[str, Tensor]]:
        """By task and kind, half precision `[epochs, rows]`; nan for rows that were not seen, or without a label."""
        return {task: {kind: torch.stack(pages) for kind, pages in kinds.items()} for task, kinds in self._past.items()}

    def state_dict(self) -> dict[str, Any]:
        """All there is, for a checkpoint at the end of an epoch."""
        return {"rows": self._rows, "values": self.values()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self._rows = state["rows"]
        self._past = {
            task: {kind: list(pages) for kind, pages in kinds.items()} for task, kinds in state["values"].items()
        }
