"""What a label is: tasks, tables of labels, readers, splits, planted noise."""

from labelwise.labels.facts import column_statistics, describe
from labelwise.labels.nesting import contradictions, find_parents
from labelwise.labels.read import bundled, read
from labelwise.labels.splits import folds, split
from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task

__all__ = [
    "LabelTable",
    "Task",
    "bundled",
    "column_statistics",
    "contradictions",
    "describe",
    "find_parents",
    "folds",
    "read",
    "split",
]
