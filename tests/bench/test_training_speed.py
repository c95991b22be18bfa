import json

import pytest
import torch

from labelwise.bench import harness
from labelwise.bench.training_speed import BARE, OURS, TWO, run


def test_every_way_is_timed_in_every_turn():
    inputs = torch.randn(40, 6)
    result = run({"MLP": (inputs, 2)}, torch.arange(40) % 10, 20, 2, seed=0, quiet=True)
    json.dumps(result, allow_nan=False)
    figures = result["figures"]["MLP"]
    assert list(figures) == [BARE, OURS, *TWO]
    assert all(len(taken) == 2 and min(taken) > 0 for taken in figures.values())
    ((_, columns, rows),) = harness.tables(result)
    assert all(len(row) == len(columns) for row in rows)
    assert rows[0][3] == rows[1][4] == pytest.approx(1)
