"""Labels that contradict the tree: a child class under another parent class than it has elsewhere."""

from collections.abc import Iterator, Mapping

import numpy as np

from labelwise.audit.findings import Finding
from labelwise.labels import LabelTable, contradictions


def taxonomy_findings(table: LabelTable, probabilities: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    """Give one finding for each row and link where child and parent label contradict each other, kind `taxonomy`.

    What is expected above a child class is what most of its rows have. `probabilities` of tasks, by name, each
    [n, classes], tell which of the two labels is wrong: either the child is right, and the parent should be the
    expected one, or the parent is right, and the child should be the likeliest of the classes below it; the pair that
    is more probable is suggested. Without them the parent label is named, as it follows from the child. The score is
    the probability that it is the named side which is wrong, at least 1/2, times the share of rows that support the
    expectation.
    """
    found = contradictions(table)
    for task in table.tasks:
        if task.parent is None:
            continue
        parent = table.task(task.parent)
        tree = parent_of_classes(table, task.name)
        below, above = probabilities.get(task.name), probabilities.get(parent.name)
        for row in found[found["task"] == task.name].to_dict("records"):
            clash = (
                f"{task.name} {row['given']!r} goes with {parent.name} {row['expected_parent']!r} in {row['support']} "
                f"rows ({row['share']:.0%}), here with {row['given_parent']!r}"
            )
            # Either reading: the suggested label of the wrong side, and how probable the mended pair is.
            blamed, given, suggested, sure = parent.name, row["given_parent"], row["expected_parent"], 0.5
            if below is None or above is None:
                why = f"{clash}; which of the two labels is wrong cannot be told without models of both"
            else:
                child = task.classes.index(row["given"])
                top = parent.classes.index(row["given_parent"])
                if_child = float(below[row["example"], child]) * float(above[row["example"], tree[child]])
                under = np.where(tree == top, below[row["example"]], 0.0)
                best = int(under.argmax())
                if_parent = float(under[best]) * float(above[row["example"], top])
                if if_child != if_parent:
                    sure = max(if_child, if_parent) / (if_child + if_parent)
                if if_parent > if_child:
                    blamed, given, suggested = task.name, row["given"], task.classes[best]
                why = f"{clash}; the models find {blamed} {suggested!r} likelier ({sure:.0%})"
            yield Finding(int(row["example"]), blamed, "taxonomy", sure * float(row["share"]), given, suggested, why)


def parent_of_classes(table: LabelTable, task: str) -> np.ndarray:
    """The class of the parent task that most rows of each class have, int64 [classes]; -1 if no row has both labels."""
    child = table.task(task)
    assert child.parent is not None
    parent = table.task(child.parent)
    own, above = table.labels(child.name), table.labels(parent.name)
    both = (own >= 0) & (above >= 0)
    size = len(child.classes) * len(parent.classes)
    counts = np.bincount(own[both] * len(parent.classes) + above[both], minlength=size)
    counts = counts.reshape(len(child.classes), len(parent.classes))
    return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
