"""What a label is: tasks, tables of labels, readers, splits, planted noise."""

from labelwise.labels.apart import features_apart
from labelwise.labels.associations import associations
from labelwise.labels.box_table import BoxTable
from labelwise.labels.boxes import Boxes, check_boxes
from labelwise.labels.data import data_path, fetch_data, known_data
from labelwise.labels.facts import column_statistics, describe
from labelwise.labels.media import find_medium
from labelwise.labels.nesting import contradictions, find_parents
from labelwise.labels.noise import plant
from labelwise.labels.readers.boxes import read_boxes
from labelwise.labels.reading import bundled, read
from labelwise.labels.splits import folds, split
from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task
from labelwise.labels.transition import Transition

__all__ = [
    "BoxTable",
    "Boxes",
    "LabelTable",
    "Task",
    "Transition",
    "associations",
    "bundled",
    "check_boxes",
    "column_statistics",
    "contradictions",
    "data_path",
    "describe",
    "features_apart",
    "fetch_data",
    "find_medium",
    "find_parents",
    "folds",
    "known_data",
    "plant",
    "read",
    "read_boxes",
    "split",
]
