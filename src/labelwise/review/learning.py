"""What verdicts teach: how often findings prove wrong, how many errors are left, and when to stop.

Everything here is arithmetic on arrays. An outcome is 1 (the label proved wrong), 0 (it proved right) or -1 (nothing is
decided, or people could not tell).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_GRID = 120  # values that a chance can have; dense near 0 and 1, as the squared sine of equal angles
_CELLS = 32  # groups of scores, of those with an outcome and of all
_STEPS = 2.0  # expected falls of the chance from the highest score to the lowest, before any verdict
_DRAWS = 2_000
_PER = 20  # verdicts that advice looks ahead

FEW = 20
"""Verdicts below which it is too early to say anything."""

_ANGLES = np.linspace(0, np.pi / 2, _GRID + 1)
_CHANCES = np.sin((_ANGLES[1:] + _ANGLES[:-1]) / 2) ** 2
_WIDTHS = np.diff(np.sin(_ANGLES) ** 2)
_BELOW = np.cumsum(_WIDTHS)


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval, `low` to `high`."""

    value: float
    low: float
    high: float


class Chances(NamedTuple):
    """Chances in [0, 1] with their intervals, `low` to `high`; arrays of one shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Calibration(NamedTuple):
    """How often findings of one kind prove wrong, by their score; the chance never falls as the score rises.

    `cuts` [cells - 1] are scores, ascending: a score belongs to the cell whose number is how many cuts are below or
    equal to it. `draws` [draws, cells] are equally likely courses of the chance, ascending from cell to cell.
    """

    cuts: np.ndarray
    draws: np.ndarray

    def cells(self, score: ArrayLike) -> np.ndarray:
        """The cell of each score, int64 of its shape."""
        return np.searchsorted(self.cuts, np.asarray(score, float), side="right")

    def by_cell(self, level: float = 0.95) -> Chances:
        """The chance that a finding of each cell proves wrong, with its interval; arrays [cells]."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return Chances(self.draws.mean(axis=0), low, high)

    def chance(self, score: ArrayLike, level: float = 0.95) -> Chances:
        """The chance that a finding of each score proves wrong, with its interval; arrays of the shape of `score`."""
        at = self.cells(score)
        return Chances(*(each[at] for each in self.by_cell(level)))


def calibrate(score: ArrayLike, outcome: ArrayLike, seed: int = 0) -> Calibration:
    """Learn from the verdicts on findings of one kind how often such a finding proves wrong, by its score.

    Args:
        score: of all findings of the kind, [n], 1 worst; only their order matters.
        outcome: what was decided on each, int [n]: 1 wrong, 0 right, -1 nothing.
        seed: of the draws.

    The chance is taken as a step function that falls from the highest score to the lowest: at the top it is anything
    between 0 and 1, on the way down it is expected to fall twice, each time to anything between 0 and where it was, and
    the verdicts say the rest (the exact posterior, over a grid of chances). So the interval is wide where nothing was
    decided, and widens with the distance from what was: where people go through the worst findings first, all that is
    known of the others is that they are no worse. It is a 95 % interval as far as the chance does not fall with the
    score. Raises `ValueError` if the arrays do not fit.
    """
    scores, outcomes = np.asarray(score, float), np.asarray(outcome)
    if scores.ndim != 1 or scores.shape != outcomes.shape or not np.isfinite(scores).all():
        raise ValueError(
            f"score and outcome must be [n] both, scores finite; got {list(scores.shape)} and {list(outcomes.shape)}"
        )
    if not np.isin(outcomes, (-1, 0, 1)).all():
        raise ValueError(f"outcomes must be 1 (wrong), 0 (right) or -1 (none); got {np.unique(outcomes).tolist()}")
    cuts = _cuts(scores, scores[outcomes >= 0])
    cells = np.searchsorted(cuts, scores, side="right")
    wrong = np.bincount(cells[outcomes == 1], minlength=len(cuts) + 1)
    right = np.bincount(cells[outcomes == 0], minlength=len(cuts) + 1)
    return Calibration(cuts, _posterior_draws(wrong, right, np.random.default_rng(seed)))


def _cuts(scores: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Scores that separate cells: quantiles of all scores, and those of the decided ones, so that both are resolved."""
    shares = np.linspace(0, 1, _CELLS + 1)
    parts = [np.quantile(each, shares, method="closest_observation") for each in (scores, decided) if len(each)]
    return np.unique(np.concatenate(parts))[1:] if parts else np.zeros(0)


def _posterior_draws(wrong: np.ndarray, right: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Courses of the chance, [draws, cells], given how many findings of each cell proved wrong and right."""
    cells = len(wrong)
    fall = min(1.0, _STEPS / max(cells - 1, 1))
    fits = wrong[:, None] * np.log(_CHANCES) + right[:, None] * np.log1p(-_CHANCES)
    likelihood = np.exp(fits - fits.max(axis=1, keepdims=True))
    # From the highest cell down: how likely each chance is, given the verdicts of this cell and of those above.
    down = np.empty((cells, _GRID))
    before = _WIDTHS
    for cell in range(cells - 1, -1, -1):
        down[cell] = before * likelihood[cell]
        down[cell] /= down[cell].sum()
        before = (1 - fall) * down[cell] + fall * _WIDTHS * _sum_from(down[cell] / _BELOW)
    # And from the lowest up, each drawn given the one below it.
    drawn = np.empty((cells, _DRAWS), np.int64)
    drawn[0] = _draw(np.cumsum(down[0]), np.zeros(_DRAWS), generator)
    for cell in range(1, cells):
        under = drawn[cell - 1]
        jumped = np.concatenate([[0.0], np.cumsum(down[cell] / _BELOW)])
        stays = (1 - fall) * down[cell][under]
        falls = fall * _WIDTHS[under] * (jumped[-1] - jumped[under])
        moved = generator.random(_DRAWS) * (stays + falls) >= stays
        drawn[cell] = np.where(moved, _draw(jumped[1:], jumped[under], generator), under)
    return _CHANCES[drawn].T


def _sum_from(values: np.ndarray) -> np.ndarray:
    """The sum of each value and all after it."""
    return np.cumsum(values[::-1])[::-1]


def _draw(cumulated: np.ndarray, least: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Places drawn by weight from those whose cumulated weight exceeds `least`."""
    at = least + generator.random(len(least)) * (cumulated[-1] - least)
    return np.minimum(np.searchsorted(cumulated, at, side="right"), len(cumulated) - 1)


@dataclass(frozen=True)
class Sample:
    """Of one task: how many `labels` have no finding, how many of them were drawn at random and `decided`, and how many
    of these proved `wrong`.
    """

    labels: int
    decided: int
    wrong: int


@dataclass(frozen=True)
class ErrorsLeft:
    """How many labels are still wrong: those with a finding nobody decided, and those without any finding.

    `unflagged` and `total` are None while nothing of some task's random sample was decided, as nothing is known then.
    """

    flagged: Estimate
    unflagged: Estimate | None
    total: Estimate | None


def errors_left(
    flagged: Iterable[tuple[Calibration, ArrayLike]], samples: Iterable[Sample], seed: int = 0, level: float = 0.95
) -> ErrorsLeft:
    """Estimate how many wrong labels nobody has decided on yet, with an interval.

    Args:
        flagged: of each kind its calibration, and the scores of the undecided questions that count under this kind;
            each question once.
        samples: of each task what is known of its labels without a finding.
        seed: of the draws.
        level: of the interval.

    People go through the worst findings first, so what they decided tells little of the rest: the share of wrong labels
    among the decided ones is far above that of the others, and must not be carried over. Two things can be. For labels
    with a finding, that a lower score is wrong no more often: so their interval goes down towards 0 where nobody has
    looked yet. For labels without a finding only the random sample speaks (by Jeffreys' interval for a share), so those
    that were decided for another reason must not be counted in it. What is decided is not left: when all is decided,
    nothing is left, with certainty.
    """
    generator = np.random.default_rng(seed)
    found, expected = np.zeros(_DRAWS, np.int64), 0.0
    for calibration, score in flagged:
        size = np.bincount(calibration.cells(score).ravel(), minlength=len(calibration.cuts) + 1)
        found += generator.binomial(size, calibration.draws).sum(axis=1)
        expected += float(calibration.draws.mean(axis=0) @ size)
    of_flagged = _estimate(found, expected, level)
    hidden, hidden_expected = np.zeros(_DRAWS, np.int64), 0.0
    for sample in samples:
        rest = sample.labels - sample.decided
        if rest and not sample.decided:
            return ErrorsLeft(of_flagged, None, None)
        a, b = sample.wrong + 0.5, sample.decided - sample.wrong + 0.5
        hidden += generator.binomial(rest, generator.beta(a, b, _DRAWS))
        hidden_expected += rest * a / (a + b)
    return ErrorsLeft(
        of_flagged,
        _estimate(hidden, hidden_expected, level),
        _estimate(found + hidden, expected + hidden_expected, level),
    )


def _estimate(draws: np.ndarray, value: float, level: float) -> Estimate:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class Advice:
    """Whether to go on, how many errors the next 20 verdicts should find, and both in words."""

    go_on: bool
    expected: float
    words: str


def advice(chances: ArrayLike, decided: int, bound: float = 1.0) -> Advice:
    """Say whether going on pays: whether the next 20 verdicts should find at least `bound` errors.

    Args:
        chances: that each of the next questions of the queue is about a wrong label, [n], in their order; only the
            first 20 count.
        decided: how many questions are decided already; below 20 it is too early to stop.
        bound: errors in 20 verdicts, above 0; of fewer questions it is as much less.
    """
    ahead = np.asarray(chances, float)[:_PER]
    expected = float(ahead.sum())
    if not len(ahead):
        return Advice(False, 0.0, "Nothing is left to decide here.")
    about = f"about {expected:.0f}" if expected >= 1 else "fewer than one"
    of_next = f"{about} of the next {len(ahead)} questions" if len(ahead) > 1 else f"{about} in the last question"
    if decided < FEW:
        return Advice(True, expected, f"Go on: after {decided} decisions it is too early to say when to stop.")
    if expected >= bound * len(ahead) / _PER:
        return Advice(True, expected, f"Go on: {of_next} should turn out to be wrong.")
    return Advice(False, expected, f"You may stop: {of_next} should turn out to be wrong.")
