"""Columns that give the label away: numbers and names that should know nothing of it, and copies of it."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from sklearn.tree import DecisionTreeClassifier

from labelwise import labels as labels_
from labelwise.audit.columns import Coded, codable, coded_columns
from labelwise.audit.data_issues import DataIssue
from labelwise.labels import LabelTable

_FEWEST = 50  # labelled rows
_ROWS = 5_000  # that are looked at
_FOLDS = 5
_FROM_ID = 0.3  # lift from which a column that identifies rows tells of labels
_COPY = 0.98  # lift from which any other column is a copy
_DISTINCT = 0.95  # share of distinct values from which a column identifies rows
_SPAN = 5  # an identifying number runs over at most so many times the number of rows, or along the rows


def leak_issues(table: LabelTable, task: str, seed: int = 0) -> Iterator[DataIssue]:
    """Give one issue for each feature column that by itself predicts the labels of a task suspiciously well, `leak`.

    A decision tree on the rank of the column's values predicts held-out folds (`labels.folds`, groups whole; a sample
    of 5,000 rows). With a its accuracy and m the share of the largest class, the lift is (a - m) / (1 - m): 0 for a
    column that tells nothing, 1 for one that tells all. Named are

    - columns that identify rows (nearly all values distinct: names, paths, times, and whole numbers that are dense or
      run along the rows) from a lift of 0.3: labels come in the order of collection, or the name holds the label;
    - columns of names, whole numbers, dates or truth values from a lift of 0.98: they are copies of the label.

    Measurements (floats) are never named, as a good one may tell all. Not looked at are the columns for id, group and
    split, which no model here learns from. The score is the lift.
    """
    names = codable(table, table.feature_names)
    if not names:
        return
    given = table.labels(task)
    rows = np.flatnonzero(given >= 0)
    if len(rows) > _ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _ROWS, replace=False))
    codes, counts = given[rows], np.bincount(given[rows])
    if len(rows) < _FEWEST or np.count_nonzero(counts) < 2:
        return
    # Without pictures and the like, which would be copied.
    kept = list(dict.fromkeys([*names, task, *filter(None, [table.group])]))
    alone = replace(table.task(task), parent=None)
    sample = LabelTable(table.data.select(kept), (alone,), group=table.group).select(rows)
    if sample.groups is not None and len(np.unique(sample.groups)) < 2:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of fewer groups than folds
        fold_of = labels_.folds(sample, task, _FOLDS, seed)
    for column in coded_columns(sample, names):
        if len(column.values) < 2:
            continue
        identifies = _identifies(column, len(table))
        least = _FROM_ID if identifies else _COPY
        rank = column.codes[:, None]
        tree = DecisionTreeClassifier(max_leaf_nodes=4 * len(counts), min_samples_leaf=2, random_state=seed)
        if _lift(tree.fit(rank, codes).predict(rank), codes, counts) < least:
            continue  # what it cannot fit it cannot predict
        predicted = np.empty_like(codes)
        for fold in np.unique(fold_of):
            out = fold_of == fold
            predicted[out] = tree.fit(rank[~out], codes[~out]).predict(rank[out])
        lift = _lift(predicted, codes, counts)
        if lift < least:
            continue
        reason = (
            "its values are nearly all different, as those of a number or name that identifies rows: their order tells "
            "of the label"
            if identifies
            else "it seems to be the label in other words"
        )
        why = (
            f"it predicts {(predicted == codes).mean():.0%} of the labels of held-out rows by itself (the largest "
            f"class has {counts.max() / len(codes):.0%}); {reason}"
        )
        yield DataIssue("leak", task, column.name, len(table), lift, why)


def _lift(predicted: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> float:
    chance = counts.max() / len(codes)
    return float(((predicted == codes).mean() - chance) / (1 - chance))


def _identifies(column: Coded, n: int) -> bool:
    """Whether a column, of which this may be a sample from n rows, tells rows apart."""
    if len(column.values) < _DISTINCT * len(column.codes):
        return False
    if not pa.types.is_integer(column.type):
        return True
    held = column.codes[column.codes >= 0]
    along = bool((np.diff(held) >= 0).all() or (np.diff(held) <= 0).all())
    return along or float(column.values.max()) - float(column.values.min()) <= _SPAN * n
