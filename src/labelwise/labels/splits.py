"""Folds and splits: stratified by class, never through a group."""

import warnings

import numpy as np

from labelwise.labels.table import LabelTable

PARTS = ("train", "validation", "test")


def folds(table: LabelTable, task: str | None = None, n_folds: int = 10, seed: int = 0) -> np.ndarray:
    """The fold of every row, int64 [n] in [0, n_folds).

    Each class, and the missing labels, are spread evenly: without groups, fold sizes and the counts of any class differ
    by at most one between folds. Classes with fewer rows than folds are in as many folds as they have rows. Groups stay
    whole; with fewer groups (or rows) than folds there are fewer folds. Without a task (or one that is not of kind
    `single`) rows are spread at random.

    Raises `ValueError` for fewer than two folds, or if there are fewer than two groups or rows.
    """
    if n_folds < 2:
        raise ValueError(f"folds must be at least 2; got {n_folds}")
    generator = np.random.default_rng(seed)
    strata, groups = _strata(table, task), table.groups
    units = len(table) if groups is None else len(np.unique(groups))
    what = "rows" if groups is None else f"groups in column {table.group}"
    if units < 2:
        raise ValueError(f"folds need at least 2 {what}; {table.source} has {units}")
    if units < n_folds:
        warnings.warn(f"{units} {what}: {units} folds instead of {n_folds}", UserWarning, stacklevel=2)
        n_folds = units
    shares = np.full(n_folds, 1 / n_folds)
    if groups is not None:
        return _deal_groups(groups, strata, shares, generator)
    result = np.empty(len(table), np.int64)
    result[_by_stratum(strata, generator)] = np.arange(len(table)) % n_folds
    return result


def split(
    table: LabelTable,
    task: str | None = None,
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> np.ndarray:
    """The part of every row, "train", "validation" or "test", array of str [n].

    A split column of the table is kept; if it has no validation rows, some of the train rows become such (in the
    proportion of the first two shares). Else rows are dealt in these `shares`, stratified by `task` (default: the task
    with most classes), groups whole; without groups every class keeps at least one row in train.

    Raises `ValueError` for shares that are no distribution with a train part, or for fewer groups or rows than parts.
    """
    given = np.asarray(shares, float)
    if given.shape != (3,) or np.any(given < 0) or given[0] == 0 or abs(given.sum() - 1) > 1e-6:
        raise ValueError(f"shares of train, validation and test must be 0 or more, train above, sum 1; got {shares}")
    if task is None:
        singles = [one for one in table.tasks if one.kind == "single"]
        task = max(singles, key=lambda one: len(one.classes)).name if singles else None
    generator = np.random.default_rng(seed)
    everything = np.arange(len(table))
    if table.split is None:
        return _deal(table, task, everything, given, generator)
    result = np.asarray(table.data[table.split].to_pylist(), dtype=object).astype("<U10")
    train = np.flatnonzero(result == "train")
    if not len(train):
        raise ValueError(f"no row is in train ({table.source}, column {table.split}); name another split column")
    if not np.any(result == "validation") and given[1] > 0:
        result[train] = _deal(table, task, train, np.array([given[0], given[1], 0]) / given[:2].sum(), generator)
    return result


def _deal(
    table: LabelTable, task: str | None, rows: np.ndarray, shares: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Parts of `rows` in these shares."""
    strata, groups = _strata(table, task)[rows], table.groups
    used = np.flatnonzero(shares)
    units = len(rows) if groups is None else len(np.unique(groups[rows]))
    if units < len(used):
        what = "rows" if groups is None else f"groups (column {table.group})"
        raise ValueError(
            f"{len(used)} parts ({', '.join(PARTS[part] for part in used)}) need at least as many {what}; got {units} "
            f"({table.source}); give a split column, or fewer parts"
        )
    if groups is not None:
        parts = used[_deal_groups(groups[rows], strata, shares[used], generator)]
    else:
        order = _by_stratum(strata, generator)
        parts = np.empty(len(rows), np.int64)
        parts[order] = used[_interleaved(len(rows), shares[used], generator)]
        _keep_in_train(parts, strata, order)
    return np.array(PARTS)[parts]


def _strata(table: LabelTable, task: str | None) -> np.ndarray:
    """What to spread evenly: classes, missing labels as one more; nothing for other kinds of labels."""
    if task is None and len(table.tasks) != 1:
        return np.zeros(len(table), np.int64)
    if table.task(task).kind != "single":
        return np.zeros(len(table), np.int64)
    return table.labels(task) + 1


def _by_stratum(strata: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Row numbers, class after class, at random within each: whatever is dealt in turn along them is stratified."""
    shuffled = generator.permutation(len(strata))
    return shuffled[np.argsort(strata[shuffled], kind="stable")]


def _interleaved(n: int, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Part numbers for n places, in the shares (to one place), each part spread evenly over the places."""
    exact = shares * n
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    counts[counts.argmax()] -= (counts == 0).sum()
    counts[counts == 0] = 1
    parts = np.repeat(np.arange(len(shares)), counts)
    starts = generator.random(len(shares))
    places = (np.concatenate([np.arange(count) for count in counts]) + starts[parts]) / counts[parts]
    return parts[np.argsort(places, kind="stable")]


def _keep_in_train(parts: np.ndarray, strata: np.ndarray, order: np.ndarray) -> None:
    """Move one row of each class that train lacks into train, in place."""
    lacking = np.setdiff1d(strata, strata[parts == 0])
    ordered = strata[order]
    firsts = order[np.searchsorted(ordered, lacking)]
    parts[firsts] = 0


def _deal_groups(
    groups: np.ndarray, strata: np.ndarray, shares: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Parts of whole groups, so that every class comes near to its share in every part.

    Greedy: about from the largest group to the smallest, each goes where its classes, and rows in all, fall furthest
    short of their shares. The order is blurred by up to a factor of two in size, so that seeds differ.
    """
    _, groups = np.unique(groups, return_inverse=True)
    _, strata = np.unique(strata, return_inverse=True)
    n_groups, n_strata = groups.max() + 1, strata.max() + 1
    pairs, counts = np.unique(groups * n_strata + strata, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(n_groups + 1) * n_strata)
    classes = pairs % n_strata
    class_totals = np.bincount(strata, minlength=n_strata)
    sizes = np.bincount(groups, minlength=n_groups)
    dealt = np.zeros((len(shares), n_strata))  # shares of a class dealt to each part, relative to the part's share
    filled = np.zeros(len(shares))
    parts = np.empty(n_groups, np.int64)
    for group in np.argsort(-sizes * generator.uniform(0.5, 1, n_groups), kind="stable"):
        own = slice(starts[group], starts[group + 1])
        weight = counts[own] / class_totals[classes[own]]
        part = int(np.argmin(dealt[:, classes[own]] @ weight + filled * sizes[group] / len(groups)))
        dealt[part, classes[own]] += weight / shares[part]
        filled[part] += sizes[group] / len(groups) / shares[part]
        parts[group] = part
    return parts[groups]
