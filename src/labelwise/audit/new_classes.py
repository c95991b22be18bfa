"""Groups inside a class that are so compact and so far from the rest that they may be a class of their own."""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin_min

from labelwise.audit.data_issues import SHOWN, DataIssue
from labelwise.audit.neighbours import nearest, projected
from labelwise.labels import Task

_FEWEST = 10  # rows of a group
_PER_CLASS = 2_000  # rows of each class, and ...
_IN_ALL = 20_000  # ... rows in all that are looked at
_DIMENSIONS = 64
_NEIGHBOURS = 10
_GROUPS = 8  # into which a class is cut at most
_CLOSED = 0.95
_AWAY = 0.5
_GAP = 1.4
_FROM_ONE = 0.5
_TOLD = 0.5


def new_class_issues(
    task: Task,
    labels: np.ndarray,
    features: np.ndarray,
    others: Iterable[np.ndarray] = (),
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Iterator[DataIssue]:
    """Give at most one issue a class, about a group of its members that may be a class of its own, kind `new_class`.

    `labels` [n] (-1 = not looked at), `features` [n, d]. Each class is cut into 2 to 8 groups by Ward's linkage on (at
    most 64) principal components. A group of ten rows or more, at most half of the class, is named if

    - compact: at least 95 % of the ten nearest examples of its members, of any class, are members;
    - away: at least half of its members are nearer to another class than to the rest of their own;
    - separated: the median distance from its members to the nearest example outside is at least 1.4 times the median
      distance to their fifth neighbour inside;
    - not known otherwise: it is neither half from one of the `groups` [n] (one recording has a sound of its own), nor
      told by another label (`others`, each int [n]): the values that are more frequent in it than in the rest of the
      class are not by 1/2 more frequent, taken together.

    The score is 1 - (fifth neighbour inside) / (nearest outside). Of classes with more than 2,000 rows, and of more
    than 20,000 rows in all, a sample is looked at. A class that is as close to its host as to itself is not found; a
    marked variety of a class (a handwritten 1 with a foot) looks like a new class, and is one as far as features tell.
    """
    others = list(others)
    rows = _sample(labels, np.random.default_rng(seed))
    if len(rows) <= 2 * _NEIGHBOURS:
        return
    points = projected(features[rows])
    if points.shape[1] > _DIMENSIONS and len(points) > _DIMENSIONS:
        points = PCA(_DIMENSIONS, svd_solver="randomized", random_state=0).fit_transform(points)
    codes = labels[rows]
    near = nearest(points, _NEIGHBOURS, quiet=True).rows
    for k in np.unique(codes):
        own = np.flatnonzero(codes == k)
        if len(own) < 2 * _FEWEST or len(own) == len(codes):
            continue
        to_others = pairwise_distances_argmin_min(points[own], points[codes != k])[1]
        best, best_gap = None, _GAP
        for members in _groups(points[own]):
            group = own[members]
            inside = np.zeros(len(codes), bool)
            inside[group] = True
            if inside[near[group]].mean() < _CLOSED:
                continue
            to_rest = pairwise_distances_argmin_min(points[group], points[own[~members]])[1]
            if (to_others[members] <= to_rest).mean() < _AWAY:
                continue
            within = np.sort(pairwise_distances(points[group]), axis=1)[:, 5]
            gap = float(np.median(np.minimum(to_others[members], to_rest)) / max(np.median(within), 1e-12))
            if gap < best_gap or (groups is not None and _most_common(groups[rows[group]]) >= _FROM_ONE):
                continue
            if not any(_told(values[rows[own]], members) >= _TOLD for values in others):
                best, best_gap = group, gap
        if best is not None:
            central = best[np.argsort(pairwise_distances(points[best]).sum(axis=1), kind="stable")[:SHOWN]]
            share = len(best) / len(own)
            number = round(share * (labels == k).sum())
            why = (
                f"about {number} of its rows ({share:.0%}) lie close together, {best_gap:.1f} times as far from all "
                "others as from each other, and nearer to other classes than to the rest of their own"
            )
            examples = tuple(rows[central].tolist())
            yield DataIssue("new_class", task.name, task.classes[k], number, 1 - 1 / best_gap, why, examples)


def _sample(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Row numbers of labelled rows, at most so many a class and in all."""
    order = generator.permutation(np.flatnonzero(labels >= 0))
    order = order[np.argsort(labels[order], kind="stable")]
    codes = labels[order]
    place = np.arange(len(codes)) - np.searchsorted(codes, codes)  # within the class
    kept = order[place < _PER_CLASS]
    if len(kept) > _IN_ALL:
        kept = generator.choice(kept, _IN_ALL, replace=False)
    return np.sort(kept)


def _groups(points: np.ndarray) -> Iterator[np.ndarray]:
    """Masks of the groups of a class, bool [n], each once."""
    tree = linkage(points, "ward")
    seen: set[bytes] = set()
    for number in range(2, _GROUPS + 1):
        group_of = fcluster(tree, number, "maxclust")
        for group in np.unique(group_of):
            members = group_of == group
            if _FEWEST <= members.sum() <= len(points) / 2 and members.tobytes() not in seen:
                seen.add(members.tobytes())
                yield members


def _most_common(values: np.ndarray) -> float:
    """Share of the most frequent value."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def _told(values: np.ndarray, members: np.ndarray) -> float:
    """How well values tell members from the rest, in [0, 1]: half the distance between the two distributions."""
    _, codes = np.unique(values, return_inverse=True)
    inside = np.bincount(codes[members], minlength=codes.max() + 1) / members.sum()
    outside = np.bincount(codes[~members], minlength=codes.max() + 1) / (~members).sum()
    return float(np.abs(inside - outside).sum() / 2)
