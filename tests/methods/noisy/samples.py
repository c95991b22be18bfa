"""Small problems with wrong labels, for tests of the methods."""

import numpy as np
import torch
from torch import nn

from labelwise.labels import Task
from labelwise.methods import Plan, get, train
from labelwise.methods.batch import Batch
from labelwise.methods.training import seeded

TASKS = (Task("a", classes=("x", "y", "z", "rare")), Task("b", classes=("0", "1")))


def backbone():
    return nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))


def make(name, **options):
    return get(name)(backbone(), TASKS, input_shape=[5], **options)


def problem(n=180, noise=0.3, seed=0):
    """Inputs [n, 5], noisy targets with gaps and a class of one row, and the true labels of task a."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, n)
    truth[0] = 3
    inputs = generator.normal(size=(n, 5)) + 3 * np.eye(4, 5)[truth]
    noisy = np.where(generator.random(n) < noise, generator.integers(0, 3, n), truth)
    noisy[0] = 3
    noisy[5::11] = -1
    other = (truth == 0).astype(int)
    other[::7] = -1
    targets = {"a": torch.from_numpy(noisy), "b": torch.from_numpy(other)}
    return torch.from_numpy(inputs.astype(np.float32)), targets, truth


def batch(size=24, seed=0):
    inputs, targets, _ = problem(seed=seed)
    rows = torch.arange(size)
    return Batch(rows, inputs[rows], {name: labels[rows] for name, labels in targets.items()})


def run(name, epochs=6, seed=0, checkpoint=None, parts=(), validation=True, **options):
    """Train a method on the problem; give it, its history, inputs, targets and the truth."""
    inputs, targets, truth = problem()
    rows, held_out = np.arange(140), np.arange(140, 180) if validation else np.zeros(0, np.int64)
    with seeded(seed):
        method = make(name, **{"learning_rate": 0.01, **options}, **dict(parts))
        plan = Plan(epochs=epochs, batch_size=32, patience=0)
        history = train(method, inputs, targets, rows, held_out, plan, seed, checkpoint, quiet=True)
    return method, history, inputs, targets, truth
