"""The labels of a run beside true ones from elsewhere, joined by id."""

from os import PathLike
from typing import NamedTuple

import numpy as np

from labelwise.labels import LabelTable


class Truth(NamedTuple):
    """What is known of the true labels of a run's rows.

    `classes`: those of the run, then those that only the truth has. `labels`, int64 [n]: indices of them, -1 where the
    truth has no label or lacks the row. `known`, bool [n]: the truth has the row.
    """

    classes: list[str]
    labels: np.ndarray
    known: np.ndarray


def true_labels(run: str | PathLike[str], given: LabelTable, truth: LabelTable, task: str) -> Truth:
    """The true labels of the rows of `given`, the table of `run`, by id. Raises `ValueError` if no id is in both."""
    classes = [*given.task(task).classes]
    theirs = truth.task(task)
    new = [each for each in theirs.classes if each not in classes]
    code_of = {each: code for code, each in enumerate(classes + new)}
    codes = np.array([code_of[each] for each in theirs.classes] + [-1])  # the last is what -1 picks
    row_of = {str(each): row for row, each in enumerate(truth.ids.tolist())}
    row = np.array([row_of.get(str(each), -1) for each in given.ids.tolist()])
    known = row >= 0
    if not known.any():
        raise ValueError(
            f"no id of {truth.source} is in {run} (there: {given.ids[0]}, here: {truth.ids[0]}); name its column of ids"
        )
    return Truth(classes + new, np.where(known, codes[truth.labels(task)[row]], -1), known)
