"""Which task's class follows from which other's, and the rows that contradict it."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task

if TYPE_CHECKING:
    import pandas as pd

_MAY_CONTRADICT = 0.05  # share of the rows with both labels
_OF_CHANCE = 0.25  # and of the contradictions that there would be if labels had nothing to do with each other
_SHUFFLES = 5
_TELLS = 0.01  # share of rows against it up to which a column settles a label
_LOOKED_AT = 20_000


def find_parents(table: LabelTable) -> dict[str, str]:
    """The direct parent of each task that has one: species -> genus.

    A task nests in another that uses fewer classes if each of its classes goes with one class of the other, but for at
    most 5 % of the rows that have both labels, and for at most a quarter of those that contradict when one of the two
    columns is shuffled (so that a dominant class, or classes of single rows, prove nothing). Of several the parent is
    the one with most classes. Tasks of equal numbers of classes are never linked.
    """
    tasks = [task for task in table.tasks if task.kind == "single"]
    labels = {task.name: table.labels(task.name) for task in tasks}
    used = {name: len(np.unique(codes[codes >= 0])) for name, codes in labels.items()}
    parents = {}
    for child in labels:
        fitting = []
        for parent in labels:
            if used[parent] < used[child]:
                contradicting, chance = _contradicting(labels[child], labels[parent])
                if contradicting <= min(_MAY_CONTRADICT, _OF_CHANCE * chance) and chance > 0:
                    fitting.append((-used[parent], contradicting, parent))
        if fitting:
            parents[child] = min(fitting)[2]
    return parents


def contradictions(table: LabelTable) -> "pd.DataFrame":
    """Rows where the parent's label is not the one that goes with the child's label elsewhere.

    Columns: `example` (row), `task` (the child), `parent`, `given` (the child's class), `expected_parent` (the parent
    class that most rows of that class have), `given_parent`, `support` (how many rows of the class have the expected
    one) and `share` (these among all rows of the class with both labels). Sorted by share, surest first.
    """
    import pandas as pd

    found = []
    for task in table.tasks:
        if task.parent is None:
            continue
        parent = table.task(task.parent)
        own, above = table.labels(task.name), table.labels(parent.name)
        rows = np.flatnonzero((own >= 0) & (above >= 0))
        counts = _task_counts(table, task)
        expected = counts.argmax(axis=1)
        support = counts.max(axis=1, initial=0)
        total = counts.sum(axis=1)
        rows = rows[above[rows] != expected[own[rows]]]
        classes, parent_classes = np.array(task.classes, object), np.array(parent.classes, object)
        found.append(
            pd.DataFrame(
                {
                    "example": rows,
                    "task": task.name,
                    "parent": parent.name,
                    "given": classes[own[rows]],
                    "expected_parent": parent_classes[expected[own[rows]]],
                    "given_parent": parent_classes[above[rows]],
                    "support": support[own[rows]],
                    "share": support[own[rows]] / total[own[rows]],
                }
            )
        )
    if not found:
        columns = ["example", "task", "parent", "given", "expected_parent", "given_parent", "support", "share"]
        return pd.DataFrame({name: [] for name in columns}).astype({"example": np.int64, "support": np.int64})
    return pd.concat(found).sort_values(["share", "example"], ascending=[False, True], ignore_index=True)


def telling_columns(table: LabelTable) -> dict[str, list[str]]:
    """For each task the feature columns, of words or whole numbers, that give its label away.

    Either the label follows from the column (a recording number) or the column from the label (a genus left among the
    features of a species), in all but 1 % of the rows. A column is listed under the first such task.
    Looked at in at most 20,000 rows.
    """
    rows = np.arange(len(table))[:: -(-len(table) // _LOOKED_AT) or 1]
    labels = {task.name: table.labels(task.name)[rows] for task in table.tasks if task.kind == "single"}
    found: dict[str, list[str]] = {}
    for name in table.feature_names if labels else ():
        column = table.data[name]
        if not (pa.types.is_string(column.type) or pa.types.is_integer(column.type)):
            continue
        coded = column.take(pa.array(rows)).combine_chunks().dictionary_encode()
        values = np.asarray(coded.indices.fill_null(-1), dtype=np.int64)
        if not 1 < len(coded.dictionary) < len(rows) / 5:
            continue
        for task, codes in labels.items():
            if _settles(values, codes) or _settles(codes, values):
                found.setdefault(task, []).append(name)
                break
    return found


def _settles(child: np.ndarray, parent: np.ndarray) -> bool:
    against, chance = _contradicting(child, parent)
    return chance > 0 and against <= min(_TELLS, _OF_CHANCE * chance)


def parent_classes(table: LabelTable, task: Task) -> np.ndarray:
    """The parent class that most rows of each class of `task` have, int64 [classes]; -1 if none has both labels."""
    counts = _task_counts(table, task)
    return np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), -1)


def _task_counts(table: LabelTable, task: Task) -> np.ndarray:
    """How often each class of a task goes with each of its parent's, [classes, parent classes]."""
    parent = table.task(task.parent)
    own, above = table.labels(task.name), table.labels(parent.name)
    both = (own >= 0) & (above >= 0)
    return _counts(own[both], above[both], len(task.classes), len(parent.classes))


def _counts(child: np.ndarray, parent: np.ndarray, children: int, parents: int) -> np.ndarray:
    """How often each child class goes with each parent class, [children, parents]."""
    return np.bincount(child * parents + parent, minlength=children * parents).reshape(children, parents)


def _contradicting(child: np.ndarray, parent: np.ndarray) -> tuple[float, float]:
    """Share of rows that contradict nesting, as they are and with one side shuffled; (1, 0) if none has both labels."""
    both = (child >= 0) & (parent >= 0)
    n = int(both.sum())
    if n == 0:
        return 1.0, 0.0
    _, child = np.unique(child[both], return_inverse=True)
    _, parent = np.unique(parent[both], return_inverse=True)
    children, parents = child.max() + 1, parent.max() + 1

    def share(above: np.ndarray) -> float:
        return 1 - float(_counts(child, above, children, parents).max(axis=1).sum()) / n

    generator = np.random.default_rng(0)
    return share(parent), float(np.mean([share(generator.permutation(parent)) for _ in range(_SHUFFLES)]))
