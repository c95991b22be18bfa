"""A mixture of products: a small generative model of a table of numbers and categories with missing cells."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.cluster import KMeans

PSEUDO = 0.5  # rows that every category is thought to have besides those seen, in each component

_LEAST_VARIANCE = 1e-4
_STEPS = 200
_GAIN = 1e-6  # of the objective a row, from which another step is worth it


class Mixture(NamedTuple):
    """Rows come from one of K components, within which all columns are independent of each other.

    `weights` [K]; `means` and `variances` [K, p] of the p columns of numbers (normal distributions); `shares`, for each
    of the q columns of categories [K, its number of levels]. `objective` is the log-likelihood plus
    PSEUDO * the sum of all log shares, after each step of the fit.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    shares: list[np.ndarray]
    objective: Sequence[float] = ()

    def components(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """log p(component, known cells) of each row, [n, K], for `numbers` [n, p] and `codes` [n, q] as in `fit`."""
        known = np.isfinite(numbers)
        held = np.where(known, numbers, 0.0)
        precision = 1 / self.variances
        squares = held**2 @ precision.T - 2 * held @ (self.means * precision).T
        squares += known @ (self.means**2 * precision + np.log(2 * np.pi * self.variances)).T
        joint = np.log(self.weights) - squares / 2
        for at, shares in enumerate(self.shares):
            unknown = np.zeros((len(self.weights), 1))  # the last, which code -1 finds
            joint += np.hstack([np.log(shares), unknown])[:, codes[:, at]].T
        return joint

    def log_density(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """log p(known cells) of each row, [n]; a missing cell is summed over."""
        return logsumexp(self.components(numbers, codes), axis=1)

    def surprise(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """-log p(cell | the other known cells of the row), [n, p + q], numbers first; nan where a cell is missing."""
        whole = self.log_density(numbers, codes)
        told = np.full((len(numbers), numbers.shape[1] + codes.shape[1]), np.nan)
        for at in range(told.shape[1]):
            without = (numbers.copy(), codes.copy())
            part, column = (0, at) if at < numbers.shape[1] else (1, at - numbers.shape[1])
            known = without[part][:, column] != -1 if part else np.isfinite(without[part][:, column])
            without[part][:, column] = -1 if part else np.nan
            told[known, at] = (self.log_density(*without) - whole)[known]
        return told

    def bic(self, numbers: np.ndarray, codes: np.ndarray) -> float:
        """The Bayesian information criterion on these rows: -2 log-likelihood + free parameters * log n; less is
        better."""
        each = 2 * numbers.shape[1] + sum(shares.shape[1] - 1 for shares in self.shares)
        free = len(self.weights) * (each + 1) - 1
        return float(-2 * self.log_density(numbers, codes).sum() + free * np.log(len(numbers)))


def fit_mixture(
    numbers: np.ndarray, codes: np.ndarray, levels: Sequence[int], components: int, seed: int = 0
) -> Mixture:
    """Fit a mixture of products by expectation maximisation; missing cells are summed over.

    `numbers` [n, p] are on the scale of standard deviations about their means (nan = missing), as no variance falls
    below 1e-4; `codes`, int64 [n, q], run from 0 to `levels`[column] - 1 (-1 = missing). Shares of categories are those
    seen with `PSEUDO` rows more for each, which is the maximum of the likelihood times a Dirichlet prior, so that the
    objective never falls. It begins with k-means. With one component the columns are independent. Raises `ValueError`
    if there are fewer rows than components.
    """
    if not 1 <= components <= len(numbers):
        raise ValueError(f"components must be from 1 to the number of rows, {len(numbers)}; got {components}")
    belongs = _beginning(numbers, codes, levels, components, seed)
    objective: list[float] = []
    while True:
        fitted = _maximise(numbers, codes, levels, belongs)
        joint = fitted.components(numbers, codes)
        total = logsumexp(joint, axis=1, keepdims=True)
        prior = PSEUDO * sum(float(np.log(shares).sum()) for shares in fitted.shares)
        objective.append(float(total.sum()) + prior)
        if len(objective) == _STEPS or (len(objective) > 1 and objective[-1] - objective[-2] < _GAIN * len(numbers)):
            return fitted._replace(objective=objective)
        belongs = np.exp(joint - total)


def _beginning(numbers: np.ndarray, codes: np.ndarray, levels: Sequence[int], components: int, seed: int) -> np.ndarray:
    if components == 1:
        return np.ones((len(numbers), 1))
    indicators = [codes[:, at, None] == np.arange(number) for at, number in enumerate(levels)]
    whole = np.hstack([np.nan_to_num(numbers), *indicators]).astype(float)
    found = KMeans(components, n_init=1, random_state=seed).fit_predict(whole)
    return (found[:, None] == np.arange(components)).astype(float)


def _maximise(numbers: np.ndarray, codes: np.ndarray, levels: Sequence[int], belongs: np.ndarray) -> Mixture:
    known = np.isfinite(numbers)
    held = np.where(known, numbers, 0.0)
    mass = np.maximum(belongs.T @ known, 1e-300)
    means = belongs.T @ held / mass
    squares = belongs.T @ held**2 / mass - means**2
    variances = np.where(belongs.T @ known > 1e-12, np.maximum(squares, _LEAST_VARIANCE), 1.0)
    shares = []
    for at, number in enumerate(levels):
        seen = codes[:, at] >= 0
        counts = np.stack([np.bincount(codes[seen, at], each[seen], number) for each in belongs.T]) + PSEUDO
        shares.append(counts / counts.sum(axis=1, keepdims=True))
    weights = np.maximum(belongs.mean(axis=0), 1e-300)
    return Mixture(weights / weights.sum(), means, variances, shares)
