"""Noise on class codes.

Every function takes labels [n] (int64, -1 = missing, never touched), how many rows to change and a generator, and
hands back a changed copy. Just as many rows change as asked, all among the `free` ones (bool [n]; default: all labelled
rows). Raises `ValueError` if there are fewer. `through` alone changes what chance says.
"""

from collections.abc import Mapping, Sequence

import numpy as np


def symmetric(
    labels: np.ndarray, classes: int, flips: int, generator: np.random.Generator, free: np.ndarray | None = None
) -> np.ndarray:
    """Change `flips` labels to any other class, each equally likely.

    At noise rate r the transition matrix has 1 - r on its diagonal and r / (classes - 1) elsewhere (Patrini et al.,
    CVPR 2017, section 2).
    """
    if classes < 2 and flips:
        raise ValueError("symmetric noise needs at least two classes")
    rows = choose(np.flatnonzero(_free(labels, free)), flips, generator, "labelled rows")
    noisy = labels.copy()
    noisy[rows] = (labels[rows] + generator.integers(1, max(2, classes), len(rows))) % max(1, classes)
    return noisy


def pair(
    labels: np.ndarray,
    flows: Mapping[int, int],
    flips: int,
    generator: np.random.Generator,
    free: np.ndarray | None = None,
) -> np.ndarray:
    """Change `flips` labels along `flows`, from a class to the one it is mistaken for.

    Rows are drawn from all classes that have a flow, so that the larger class loses more of its own.
    """
    target = np.full(max([*flows, *flows.values(), labels.max(initial=0)], default=0) + 1, -1)
    for source, goal in flows.items():
        if source == goal:
            raise ValueError(f"a flow must lead to another class; got {source} -> {goal}")
        target[source] = goal
    open_rows = np.flatnonzero(_free(labels, free) & (target[labels] >= 0))
    rows = choose(open_rows, flips, generator, "rows of classes with a flow")
    noisy = labels.copy()
    noisy[rows] = target[labels[rows]]
    return noisy


def instance_dependent(
    labels: np.ndarray,
    features: np.ndarray,
    classes: int,
    flips: int,
    generator: np.random.Generator,
    free: np.ndarray | None = None,
) -> np.ndarray:
    """Change `flips` labels of examples that look like another class, to the class that they look like.

    With d the distance of standardised features [n, d] to the class means, the odds of a flip grow as
    exp((d_own - d_other) / s), other being the nearest class mean but the own and s the standard deviation of that
    difference: what lies between classes, or among another, is mistaken most.
    """
    distances = _distances(features, labels, classes)
    rows = np.arange(len(labels))
    own = np.where(labels >= 0, distances[rows, labels], 0.0)
    others = distances.copy()
    others[rows, labels] = np.inf
    nearest = others.argmin(axis=1)
    margin = own - others[rows, nearest]
    open_rows = np.flatnonzero(_free(labels, free) & np.isfinite(margin))
    spread = margin[open_rows].std() if len(open_rows) else 0.0
    chosen = choose(open_rows, flips, generator, "labelled rows", margin[open_rows] / (spread or 1.0))
    noisy = labels.copy()
    noisy[chosen] = nearest[chosen]
    return noisy


def through(
    labels: np.ndarray, matrix: np.ndarray, generator: np.random.Generator, free: np.ndarray | None = None
) -> np.ndarray:
    """Draw each label anew from its row of `matrix` [true, given], whose rows sum to 1.

    The one noise here of which the number of changed rows is left to chance.
    """
    rows = np.flatnonzero(_free(labels, free))
    reached = matrix[labels[rows]].cumsum(axis=1)
    noisy = labels.copy()
    # Of the last sum, as rounding may leave it below 1.
    noisy[rows] = (generator.random(len(rows)) * reached[:, -1] >= reached.T).sum(axis=0)
    return noisy


def open_set(labels: np.ndarray, removed: Sequence[int], classes: int, generator: np.random.Generator) -> np.ndarray:
    """Give every row of the classes `removed` a label of another class, each equally likely: the truth has no name."""
    left = np.setdiff1d(np.arange(classes), removed)
    if not len(left):
        raise ValueError(f"open-set noise must leave a class; all {classes} were removed")
    rows = np.flatnonzero(np.isin(labels, removed))
    noisy = labels.copy()
    noisy[rows] = generator.choice(left, len(rows))
    return noisy


def pseudo_class(
    labels: np.ndarray,
    of: int,
    classes: int,
    size: int,
    generator: np.random.Generator,
    free: np.ndarray | None = None,
) -> np.ndarray:
    """Move `size` rows of class `of` to a class of their own, numbered `classes`, which does not exist in truth."""
    rows = choose(np.flatnonzero(_free(labels, free) & (labels == of)), size, generator, f"rows of class {of}")
    noisy = labels.copy()
    noisy[rows] = classes
    return noisy


def look_alikes(features: np.ndarray, labels: np.ndarray, classes: int) -> dict[int, int]:
    """For each class that has rows, the one whose mean of standardised features lies nearest: flows for `pair`."""
    means = _means(_standardised(features), labels, classes)
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    distances = np.where(np.isnan(distances), np.inf, distances)
    return {k: int(distances[k].argmin()) for k in range(classes) if np.isfinite(distances[k].min())}


def choose(
    rows: np.ndarray, number: int, generator: np.random.Generator, what: str, log_odds: np.ndarray | None = None
) -> np.ndarray:
    """Draw `number` different ones of `rows`, equally likely or by odds; raises `ValueError` if there are fewer."""
    if number < 0 or number > len(rows):
        raise ValueError(f"{number} rows were to be changed, but {len(rows)} {what} are left; plant less noise")
    if log_odds is None:
        return generator.choice(rows, number, replace=False)
    # The largest of log-odds plus Gumbel noise are a draw without replacement by these odds (Kool et al., ICML 2019).
    return rows[np.argsort(-(log_odds + generator.gumbel(size=len(rows))), kind="stable")[:number]]


def _free(labels: np.ndarray, free: np.ndarray | None) -> np.ndarray:
    return labels >= 0 if free is None else (labels >= 0) & free


def _standardised(features: np.ndarray) -> np.ndarray:
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _means(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Mean features of each class, [classes, d]; nan for a class without rows."""
    order = np.argsort(labels, kind="stable")[(labels < 0).sum() :]
    used, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    means = np.full((classes, features.shape[1]), np.nan)
    if len(order):
        means[used] = np.add.reduceat(features[order], starts, axis=0) / counts[:, None]
    return means


def _distances(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Distance of each row to each class mean, [n, classes]; infinite for a class without rows."""
    features = _standardised(features)
    means = _means(features, labels, classes)
    squares = (features**2).sum(axis=1)[:, None] - 2 * features @ means.T + (means**2).sum(axis=1)
    return np.where(np.isnan(squares), np.inf, np.sqrt(np.maximum(squares, 0)))
