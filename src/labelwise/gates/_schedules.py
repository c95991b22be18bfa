"""Strengths that change as training goes on."""

from dataclasses import dataclass


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
        """Strength at `step`, counted from 1; `start` at 0, `end` from `steps` on."""
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)
