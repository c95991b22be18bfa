"""Strengths that change as training goes on."""

from collections.abc import Callable
from dataclasses import dataclass

Schedule = float | Callable[[int], float]
"""A constant, or a function of the step, which is 1 at the first call in training mode and 0 before."""


def at(schedule: Schedule, step: int) -> float:
    """The value of a constant or schedule at `step`."""
    return float(schedule(step)) if callable(schedule) else schedule


@dataclass(frozen=True)
class LinearRamp:
    """Rises (or falls) evenly from `start` to `end` over the first `steps` steps, and stays there.

    A plain record of three numbers, so that `dataclasses.asdict` writes it and `LinearRamp(**numbers)` rebuilds it.
    Raises `ValueError` if steps < 1 or a strength is negative.
    """

    end: float
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.start < 0 or self.end < 0:
            raise ValueError(f"steps must be at least 1, start and end at least 0; got {self}")

    def __call__(self, step: int) -> float:
        """Strength at `step`, counted from 1; `start` at 0, exactly `end` from `steps` on."""
        return self.end if step >= self.steps else self.start + (self.end - self.start) * step / self.steps
