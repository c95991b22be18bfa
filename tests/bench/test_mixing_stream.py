import numpy as np
import torch

from labelwise.bench import mixing_stream
from labelwise.methods import Plan


def rows(seed):
    labels = np.tile(np.arange(10), 20)
    inputs = torch.from_numpy(
        (np.eye(10)[labels] + np.random.default_rng(seed).normal(0, 0.1, (200, 10))).astype(np.float32)
    )
    return inputs, labels, np.arange(120), np.arange(120, 200)


def test_a_stream_without_memory_forgets():
    plan = Plan(epochs=1, batch_size=10, width=32, dropout=0.0)
    found = {way: mixing_stream.fit_stream(rows, *mixing_stream.WAYS[way], plan, 0) for way in ("no memory", "replay")}
    assert found["replay"]["average_accuracy"] > found["no memory"]["average_accuracy"] + 0.2
    assert found["replay"]["forgetting"] < found["no memory"]["forgetting"]
    assert all(set(each) == set(mixing_stream.MEASURES) for each in found.values())
