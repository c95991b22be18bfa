"""Probabilities of the training labels by models that did not see them."""

import numpy as np
from torch import Tensor

from labelwise.audit import cross_fit, default_models
from labelwise.labels import LabelTable, Task
from labelwise.methods.noisy.base import NoisyMethod

_WORTH_PROCESSES = 1_000_000  # numbers; with fewer, starting processes takes longer than they save


def out_of_sample(method: NoisyMethod, task: Task, folds: int = 10) -> tuple[Tensor, np.ndarray]:
    """Predict the labels that `method` trains on by logistic regression on its inputs, out of sample.

    Gives the labelled rows, int64 [m], and their probabilities, float32 [m, classes]. Groups are not known here: rows
    of one group may be in different folds.
    """
    given = method.given[task.name]
    rows = (given >= 0).nonzero().flatten()
    labels = given[rows].numpy()
    if len(np.unique(labels)) < 2:  # there is nothing to tell apart
        return rows, np.eye(len(task.classes), dtype=np.float32)[labels]
    inputs = method.over_training_rows(lambda batch: {"inputs": batch.inputs})["inputs"]
    table = LabelTable.from_columns({task.name: labels}, [Task(task.name, classes=task.classes)])
    model = default_models()["logistic regression"]
    features = inputs[rows].numpy()
    jobs = 1 if features.size < _WORTH_PROCESSES else None
    return rows, cross_fit(table, model, task.name, min(folds, len(rows)), features=features, jobs=jobs, quiet=True)[0]
