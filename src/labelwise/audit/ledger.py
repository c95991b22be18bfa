"""Buying labels: who sells them at what price, what a budget pays for, and what was spent."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Source:
    """Someone, or something, that labels.

    Args:
        name: what to call it.
        cost: the price of one label, above 0, in the unit of the budget. Taken as the decimal number it is written as.
        quality: the expected share of right labels, in [0, 1]. It decides only in which order models learn: from the
            worst source first, from the best last.
        labels: class indices, int [n]; or probabilities, [n, classes]; or a function that takes ids, int64 [k], and
            gives such labels for them.
    """

    name: str
    cost: float
    quality: float
    labels: ArrayLike | Callable[[np.ndarray], ArrayLike]

    def __post_init__(self) -> None:
        if not 0 < self.cost < np.inf:
            raise ValueError(f"the cost of a label of source {self.name!r} must be above 0; got {self.cost}")
        if not 0 <= self.quality <= 1:
            raise ValueError(f"the quality of source {self.name!r} must be in [0, 1]; got {self.quality}")


class Ledger:
    """Keeps account of labels: each is paid for once, and asking for it again costs nothing.

    Items are known by ids in [0, n). With a `budget`, a purchase that it does not cover is refused whole. Sums are
    exact, as costs are taken as decimal numbers.
    """

    def __init__(self, sources: Sequence[Source], n: int, classes: int, budget: float | None = None):
        self._sources = {source.name: source for source in sources}
        if len(self._sources) < len(sources):
            raise ValueError(f"sources must have different names; got {', '.join(source.name for source in sources)}")
        self._classes = classes
        self._budget = None if budget is None else exact(budget)
        self._place = {name: np.full(n, -1, np.int64) for name in self._sources}
        self._labels = {name: np.zeros((0, classes)) for name in self._sources}

    @property
    def spent(self) -> Fraction:
        """The cost of all labels bought so far."""
        return sum((exact(s.cost) * len(self._labels[name]) for name, s in self._sources.items()), Fraction(0))

    def bought(self, source: str) -> np.ndarray:
        """Ids of the items that this source was paid for, int64, ascending."""
        self._check(source)
        return np.flatnonzero(self._place[source] >= 0)

    def query(self, source: str, ids: ArrayLike) -> np.ndarray:
        """Labels of these items by this source, as probabilities float64 [k, classes]; buys those not bought yet.

        Raises `ValueError`, and buys nothing, if the budget does not cover them, if the source gives unfit labels, and
        if there is no such source or item.
        """
        self._check(source)
        wanted, place = np.asarray(ids), self._place[source]
        if wanted.size and not np.issubdtype(wanted.dtype, np.integer):
            raise ValueError(f"ids must be integers; got {wanted.dtype}")
        wanted = wanted.astype(np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(place)):
            raise ValueError(f"ids must be in [0, {len(place)}); got {wanted.min()} to {wanted.max()}")
        new = np.unique(wanted[place[wanted] < 0])
        cost = exact(self._sources[source].cost) * len(new)
        if self._budget is not None and self.spent + cost > self._budget:
            raise ValueError(
                f"{len(new)} labels of {source!r} cost {float(cost):g}; of the budget of {float(self._budget):g} only "
                f"{float(self._budget - self.spent):g} is left"
            )
        if len(new):
            labels = self._ask(source, new)
            place[new] = len(self._labels[source]) + np.arange(len(new))
            self._labels[source] = np.concatenate([self._labels[source], labels])
        return self._labels[source][place[wanted]]

    def _check(self, source: str) -> None:
        if source not in self._sources:
            raise ValueError(f"there is no source {source!r}; there are {', '.join(self._sources)}")

    def _ask(self, source: str, ids: np.ndarray) -> np.ndarray:
        labels = self._sources[source].labels
        given = np.asarray(labels(ids)) if callable(labels) else np.asarray(labels)[ids]
        if given.shape == (len(ids),) and np.issubdtype(given.dtype, np.integer):
            bad = np.flatnonzero((given < 0) | (given >= self._classes))
            expected = f"class indices in [0, {self._classes})"
            soft = np.zeros((len(ids), self._classes)) if len(bad) else np.eye(self._classes)[given]
        elif given.shape == (len(ids), self._classes):
            soft = given.astype(np.float64)
            bad = np.flatnonzero(~((soft >= 0).all(axis=1) & (np.abs(soft.sum(axis=1) - 1) < 1e-3)))
            expected = "probabilities that are at least 0 and sum to 1"
        else:
            raise ValueError(
                f"source {source!r} must give class indices [{len(ids)}] or probabilities "
                f"[{len(ids)}, {self._classes}] for {len(ids)} items; got {given.dtype} {list(given.shape)}"
            )
        if len(bad):
            raise ValueError(f"source {source!r} must give {expected}; got {given[bad[0]]} for item {ids[bad[0]]}")
        return soft / soft.sum(axis=1, keepdims=True)


def exact(number: float) -> Fraction:
    """The decimal number that this one is written as: a tenth is then a tenth, and (16 - 12) / 0.1 is 40, not 39."""
    return Fraction(str(number))


def split_shares(n_sources: int, steps: int = 4) -> np.ndarray:
    """All ways to split a budget among sources in shares that are multiples of 1 / steps, float64 [splits, sources].

    The first splits spend least on the first source. Two sources give steps + 1 splits.
    """
    if n_sources < 1 or steps < 1:
        raise ValueError(f"there must be at least one source and one step; got {n_sources} and {steps}")
    ways = itertools.product(range(steps + 1), repeat=n_sources)
    return np.array([way for way in ways if sum(way) == steps]) / steps


def plan(budget: float, costs: Sequence[float], shares: ArrayLike, available: int | None = None) -> np.ndarray:
    """How many labels of each source a budget buys, int64 [splits, sources].

    `shares` [splits, sources] of the budget go to the sources whose `costs` are given, at least 0 with sum 1. The
    dearest source (of equally dear ones the last) comes first; what is left over of its share, as labels are not sold
    in part, goes on to the next cheaper one that has a share. With costs 1 and c, and a share f of strong labels, that
    is n_strong = floor(f B) and n_weak = floor((B - n_strong) / c). No more than `available` items are labelled in all
    (default: without limit), the dearest first.

    Raises `ValueError` for a negative budget or number of items, for costs that are not above 0, and shares that do not
    fit.
    """
    parts = np.asarray(shares, float)
    if (
        parts.ndim != 2
        or parts.shape[1] != len(costs)
        or (parts < 0).any()
        or (abs(parts.sum(axis=1) - 1) > 1e-9).any()
    ):
        raise ValueError(
            f"shares must be [splits, {len(costs)}], at least 0, each row with sum 1; got {parts.tolist()}"
        )
    if not 0 <= budget < np.inf:
        raise ValueError(f"the budget must be at least 0 and finite; got {budget}")
    if not all(0 < cost < np.inf for cost in costs):
        raise ValueError(f"costs must be above 0 and finite; got {list(costs)}")
    if available is not None and available < 0:
        raise ValueError(f"available must be at least 0; got {available}")
    prices = [exact(cost) for cost in costs]
    counts = np.zeros(parts.shape, np.int64)
    for row, split in zip(counts, parts, strict=True):
        left, items = exact(budget), available
        dearest_first = sorted(np.flatnonzero(split), key=lambda source: (-prices[source], -source))
        for at, source in enumerate(dearest_first):
            # As fractions, three thirds are one: 2/3 of 3 pays for 2 labels.
            kept = sum(
                (Fraction(split[later]).limit_denominator(10**6) for later in dearest_first[at + 1 :]), Fraction(0)
            )
            affordable = max(0, (left - exact(budget) * kept) // prices[source])
            row[source] = affordable if items is None else min(affordable, items)
            left -= int(row[source]) * prices[source]
            items = None if items is None else items - int(row[source])
    return counts
