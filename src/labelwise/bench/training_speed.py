"""How much longer our methods take than a bare loop of PyTorch, and those with two networks than cross-entropy.

All train the same networks on the same batches of MNIST digits, from the same first weights, in one process and in
turns; CPU time, medians over the turns.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.bench.harness import versions
from labelwise.labels import Task, data_path
from labelwise.methods import Plan, get, train
from labelwise.methods.batch import Batches
from labelwise.methods.training import seeded
from labelwise.models import backbone_for
from labelwise.progress import progress

BARE, OURS = "bare loop", "cross-entropy"
TWO = ("co-teaching", "co-teaching-plus", "divide-mix")
_TASK = Task("digit", classes=tuple("0123456789"))
_WIDTH = 64


def training_speed(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Time fits on 2560 digits in steps of 256, 4 epochs of a convolutional network and 24 of a small MLP; 5 turns.

    `full`: 51,200 digits. Takes the arguments of every comparison; `out` changes nothing here.
    """
    with np.load(data_path("mnist") / "mnist.npz", allow_pickle=False) as file:
        rows = 51_200 if full else 2560
        pictures = torch.from_numpy(file["x_train"][:rows, None].astype(np.float32) / 255)
        labels = torch.from_numpy(file["y_train"][:rows].astype(np.int64))
    networks = {"convolutional network": (pictures, 4), "MLP of 64 units": (pictures.flatten(1), 24)}
    return run(networks, labels, 256, 5, seed, quiet)


def run(
    networks: dict[str, tuple[Tensor, int]], labels: Tensor, batch_size: int, turns: int, seed: int, quiet: bool
) -> dict[str, Any]:
    """Time every network (its inputs, and how many epochs) in so many turns, after one to warm up."""
    names = (BARE, OURS, *TWO)
    seconds: dict[str, dict[str, list[float]]] = {each: {name: [] for name in names} for each in networks}
    with progress("training-speed", len(networks) * (turns + 1), quiet) as advance:
        for network, (inputs, epochs) in networks.items():
            ways: dict[str, Callable[[], None]] = {
                name: partial(_fit, name, inputs, labels, batch_size, epochs, seed) for name in names
            }
            ways[BARE] = partial(_loop, inputs, labels, batch_size, epochs, seed)
            for turn in range(turns + 1):
                for name, way in ways.items():
                    begun = time.process_time()
                    way()
                    if turn:
                        seconds[network][name].append((time.process_time() - begun) / epochs)
                advance()
    return {
        "name": "training-speed",
        "about": "Time of an epoch: a bare loop, our cross-entropy, and methods with two networks.",
        "data": {"source": "mnist", "rows": len(labels)},
        "seeds": [seed],
        "threads": torch.get_num_threads(),
        "figures": seconds,
        "tables": [_table(seconds, len(labels), batch_size, turns)],
        "versions": versions(),
    }


def _fit(name: str, inputs: Tensor, labels: Tensor, batch_size: int, epochs: int, seed: int) -> None:
    with seeded(seed):
        method = get(name)(backbone_for(inputs.shape[1:], _WIDTH), [_TASK])
        plan = Plan(epochs=epochs, batch_size=batch_size)
        targets = {_TASK.name: labels}
        train(method, inputs, targets, np.arange(len(labels)), np.zeros(0, np.int64), plan, seed, quiet=True)


def _loop(inputs: Tensor, labels: Tensor, batch_size: int, epochs: int, seed: int) -> None:
    with seeded(seed):
        network = nn.Sequential(backbone_for(inputs.shape[1:], _WIDTH), nn.Linear(_WIDTH, len(_TASK.classes)))
        optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2, fused=True)
        batches = Batches(inputs, {_TASK.name: labels}, np.arange(len(labels)), batch_size, seed)
        for epoch in range(epochs):
            batches.epoch = epoch
            for batch in batches:
                loss = F.cross_entropy(network(batch.inputs), batch.targets[_TASK.name])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()


def _table(seconds: dict[str, dict[str, list[float]]], rows: int, batch_size: int, turns: int) -> dict[str, Any]:
    lines = []
    for network, by_name in seconds.items():
        for name, taken in by_name.items():
            lines.append([network, name, 1e3 * median(taken), *(_ratio(taken, by_name[to]) for to in (BARE, OURS))])
    return {
        "title": f"training-speed: {rows} MNIST digits in steps of {batch_size}; CPU time of an epoch, medians of "
        f"{turns} turns, threads: {torch.get_num_threads()}",
        "columns": ["network", "method", "ms an epoch", f"× {BARE}", f"× {OURS}"],
        "rows": lines,
    }


def _ratio(taken: Sequence[float], to: Sequence[float]) -> float:
    """Median over turns of how many times as long it took."""
    return median(ours / theirs for ours, theirs in zip(taken, to, strict=True))
