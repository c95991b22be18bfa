"""What a label is: tasks, tables of labels, readers, splits, planted noise."""

from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task

__all__ = ["LabelTable", "Task"]
