import json

import numpy as np
import pytest
import torch

from labelwise import bench
from labelwise.bench import mixing_retrieval
from labelwise.bench.mixing_retrieval import CLEAN, Problem, Setting
from labelwise.methods import Plan

WAYS = {"multi-similarity": {way: mixing_retrieval.WAYS["multi-similarity"][way] for way in (CLEAN, "mixed")}}
PLAN = Plan(epochs=3, batch_size=24, patience=0, width=16)


def blobs(seed):
    """Eight clouds of points; the first six are learned, the others looked up."""
    labels = np.arange(160) % 8
    inputs = torch.eye(8)[labels] + 0.3 * torch.randn(160, 8, generator=torch.Generator().manual_seed(seed))
    seen, rows = labels < 6, np.arange(160)
    parts = [rows[seen & (rows % 5 == part)] for part in (1, 2)]
    return Problem(inputs, labels, rows[seen & np.isin(rows % 5, (0, 3, 4))], *parts, rows[~seen])


def test_a_short_run_is_complete_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(mixing_retrieval, "_RATES", (1e-3, 3e-3))
    settings = {"blobs": Setting(blobs, PLAN, WAYS)}
    result = mixing_retrieval.run(settings, range(2), tmp_path, quiet=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    ((_, columns, rows),) = bench.tables(result)
    assert [row[:2] for row in rows] == [["multi-similarity", CLEAN], ["multi-similarity", "mixed"]]
    assert all(len(row) == len(columns) for row in rows)
    figures = result["figures"]["blobs, multi-similarity"]
    assert all(0.5 < value <= 1 for way in figures.values() for value in way["recall"])
    assert mixing_retrieval.run(settings, range(2), tmp_path, quiet=True) == result  # from the folder
    with pytest.raises(ValueError, match="settings"):
        mixing_retrieval.run({"other": settings["blobs"]}, range(2), tmp_path, quiet=True)


def test_tuning_sees_no_row_that_is_reported():
    problem = blobs(0)
    held_out = mixing_retrieval._hold_out(problem, 0)
    assert set(held_out.queries) < set(problem.learned)
    away = set(problem.labels[held_out.queries])
    assert len(away) == 2
    for part in ("learned", "calibration", "tested"):
        rows = getattr(held_out, part)
        assert set(rows) < set(getattr(problem, part))
        assert not away & set(problem.labels[rows])


def test_rows_are_apart_and_unseen_classes_are_unseen():
    problem = mixing_retrieval._digits(0)
    parts = [problem.learned, problem.calibration, problem.tested, problem.queries]
    assert sorted(np.concatenate(parts)) == list(range(1797))
    assert set(problem.labels[np.concatenate(parts[:3])]) == set(range(6))
    assert not np.array_equal(mixing_retrieval._digits(1).learned, problem.learned)
