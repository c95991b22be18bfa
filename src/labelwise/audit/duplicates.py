"""Examples that are there twice, with differing labels."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from labelwise.audit.findings import Finding
from labelwise.labels import LabelTable

_CHANCE = 0.01  # of the identical pairs there are, as many may be expected by chance


class Twins(NamedTuple):
    """Which rows are identical.

    `sets`, int64 [n]: rows of equal number are identical, -1 where there is nothing to compare. `too_coarse` says why
    identical rows mean nothing here, None if they do.
    """

    sets: np.ndarray
    too_coarse: str | None


def find_twins(table: LabelTable) -> Twins:
    """Compare the content of feature columns (of the one learned from, where the table names one) row by row.

    Values count as they are, bytes of images and sounds too; a row with no value at all is left out, and so is an
    unreadable one. Rows that hold little are identical by chance: if half of all rows are repetitions, or if more than
    1 % of the identical pairs are expected when the columns (of numbers, words, dates) are drawn independently,
    `too_coarse` says so.
    """
    names = [table.media[0]] if table.media else table.feature_names
    sets = np.zeros(len(table), np.int64)
    empty = np.ones(len(table), bool)
    by_chance = 1.0  # probability that two rows are equal, if columns are independent; 0 for texts, pictures, vectors
    for name in names:
        column = table.data[name].combine_chunks()
        codes = _codes(column)
        empty &= np.asarray(column.is_null())
        counts = np.bincount(codes).astype(np.float64)
        holds_much = table.media is not None or pa.types.is_nested(column.type) or isinstance(column, pa.ExtensionArray)
        by_chance *= 0.0 if holds_much else float((counts * (counts - 1)).sum()) / max(len(codes) * (len(codes) - 1), 1)
        sets = np.unique(sets * (codes.max(initial=0) + 1) + codes, return_inverse=True)[1]
    empty[list(table.unreadable)] = True
    if not names:
        empty[:] = True
    sets[empty] = -1
    sizes = np.bincount(sets[~empty]) if not empty.all() else np.zeros(0)
    pairs = float((sizes * (sizes - 1) / 2).sum())
    rows = int((~empty).sum())
    too_coarse = None
    if pairs and (np.count_nonzero(sizes) <= rows / 2 or by_chance * rows * (rows - 1) / 2 > _CHANCE * pairs):
        too_coarse = (
            f"{rows - np.count_nonzero(sizes)} of {rows} rows repeat the features of another, as is to be expected of "
            "features with few values; duplicates were not looked for"
        )
    return Twins(sets, too_coarse)


def duplicate_findings(
    table: LabelTable, sets: np.ndarray, probabilities: Mapping[str, np.ndarray]
) -> Iterator[Finding]:
    """Give findings about identical rows with differing labels, kind `duplicate`, one a row and task.

    Within a set the label that most rows have is taken to be right, of equally frequent ones the one that the models
    find likelier (`probabilities` by task, [n, classes], where there are any), and the rows with another one are named;
    if neither decides, all are, without a suggestion. The score is the share of the set that has another label.
    """
    for task in table.tasks:
        if task.kind != "single":
            continue
        codes = table.labels(task.name)
        for rows in _groups(np.where(codes >= 0, sets, -1)):
            classes, counts = np.unique(codes[rows], return_counts=True)
            if len(classes) < 2:
                continue
            right = classes[counts == counts.max()]
            if len(right) > 1 and task.name in probabilities:
                likely = np.asarray(probabilities[task.name][rows], np.float64).mean(axis=0)[right]
                right = right[[int(likely.argmax())]]
            suggested = task.classes[right[0]] if len(right) == 1 else None
            for row in rows:
                if suggested is not None and codes[row] == right[0]:
                    continue
                others = rows[codes[rows] != codes[row]]
                differing = 1 - counts[classes == codes[row]][0] / len(rows)
                more = f" (of {len(rows)} identical rows {len(others)} have another label)" if len(rows) > 2 else ""
                why = f"identical to row {others[0]}, which is labelled {task.classes[codes[others[0]]]!r}{more}"
                yield Finding(
                    int(row), task.name, "duplicate", float(differing), task.classes[codes[row]], suggested, why
                )


def repeated(table: LabelTable, sets: np.ndarray) -> int:
    """Count the rows that repeat an earlier one with the same labels in all tasks of kind `single`."""
    labels = [table.labels(task.name) for task in table.tasks if task.kind == "single"]
    kept = sets >= 0
    return int(kept.sum() - len(np.unique(np.stack([sets, *labels])[:, kept], axis=1).T))


def _groups(sets: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of each set of two or more, -1 left out."""
    order = np.argsort(sets, kind="stable")
    starts = np.flatnonzero(np.diff(sets[order], prepend=-1))
    for rows in np.split(order, starts):
        if len(rows) > 1 and sets[rows[0]] >= 0:
            yield rows


def _codes(column: pa.Array) -> np.ndarray:
    """A number for each row, equal where the values are equal, int64 [n]."""
    if isinstance(column, pa.ChunkedArray):  # an empty column stays chunked
        return np.zeros(0, np.int64)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_nested(column.type):
        column = pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.large_string())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return np.asarray(column.indices.fill_null(len(column.dictionary)), np.int64)
