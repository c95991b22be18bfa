"""A small problem with numbers as labels, for tests of the methods that learn those alone."""

import numpy as np
import torch
from torch import nn

from labelwise.labels import Task
from labelwise.methods import Plan, get, train
from labelwise.methods.training import seeded

TASKS = (Task("size", "real"), Task("weight", "real"))


def backbone():
    return nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU())


def problem(n=90):
    """Inputs [n, 3] and labels of two tasks, the second with gaps."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(n, 3))
    size = 100 + 20 * inputs[:, 0] + 5 * generator.normal(size=n)
    weight = inputs[:, 1] * inputs[:, 2]
    weight[::4] = np.nan
    return torch.from_numpy(inputs.astype(np.float32)), {"size": torch.tensor(size), "weight": torch.tensor(weight)}


def run(name, epochs=3, checkpoint=None, tasks=TASKS, labels=None, make=None, **options):
    """Train a method on 60 rows of the problem, 30 held out; give it and its history."""
    inputs, targets = problem()
    with seeded(0):
        made = make() if make else get(name)(backbone(), tasks, input_shape=[3], **options)
        plan = Plan(epochs=epochs, batch_size=16, patience=0)
        rows = np.arange(60), np.arange(60, 90)
        history = train(made, inputs, labels or targets, *rows, plan, 0, checkpoint, quiet=True)
    return made, history
