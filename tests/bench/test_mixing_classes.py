import json

import numpy as np
import pytest
import torch

from labelwise import bench
from labelwise.bench import mixing_classes
from labelwise.methods import Plan

WAYS = {name: mixing_classes.WAYS[name] for name in ("cross-entropy", "cutmix", "rank-mixup")}


def stripes(seed):
    """Ten kinds of stripes; the first forty rows are learned from."""
    labels = np.arange(60) % 10
    pictures = torch.zeros(60, 1, 8, 10)
    pictures[torch.arange(60), 0, :, labels] = 1.0
    return pictures, labels, np.arange(40), np.arange(40, 60)


def test_a_short_run_is_complete_and_goes_on(tmp_path):
    plan = Plan(epochs=8, batch_size=20, patience=0, width=16)
    result = mixing_classes.run({"stripes": stripes}, WAYS, range(2), plan, tmp_path, quiet=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    ((_, columns, rows),) = bench.tables(result)
    assert [row[0] for row in rows] == list(WAYS)
    assert all(len(row) == len(columns) for row in rows)
    assert all(0 <= value <= 1 for by in result["figures"]["stripes"].values() for value in by["accuracy"])
    again = mixing_classes.run({"stripes": stripes}, WAYS, range(2), plan, tmp_path, quiet=True)
    assert again == result  # from the figures kept in the folder
    with pytest.raises(ValueError, match="problems"):
        mixing_classes.run({"dots": stripes}, WAYS, range(2), plan, tmp_path, quiet=True)


def test_test_rows_are_the_same_for_every_seed_and_apart_from_the_others():
    pictures, labels, learned, tested = mixing_classes._digits(0)
    assert len(learned) == 200
    assert len(pictures) == len(labels) == 1797
    assert not set(learned) & set(tested)
    assert np.array_equal(mixing_classes._digits(1)[3], tested)
    assert not np.array_equal(mixing_classes._digits(1)[2], learned)
