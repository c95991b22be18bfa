import json

import numpy as np
import pytest
import torch

from labelwise import bench
from labelwise.bench import harness, mixing_regression
from labelwise.bench.mixing_regression import MEASURES, WAYS, Problem, Rows, spiral
from labelwise.methods import Plan


def slope(seed):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(60, 2))
    parts = np.arange(30), np.arange(30, 40), np.arange(40, 60)
    return Rows(torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(inputs.sum(1)), *parts)


def test_a_short_run_is_complete_and_goes_on(tmp_path):
    problems = {"slope": Problem(slope, Plan(epochs=2, batch_size=15, patience=0, width=8), 0.5)}
    result = mixing_regression.run(problems, WAYS, range(2), tmp_path, quiet=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    (_, columns, rows), (_, compared, versus) = bench.tables(result)
    assert [row[0] for row in rows] == list(WAYS)
    assert len(versus) == len(mixing_regression.PAIRS)
    assert all(len(row) == len(columns) for row in rows)
    assert all(len(row) == len(compared) for row in versus)
    figures = result["figures"]["slope"]
    assert all(set(by) == set(MEASURES) for by in figures.values())
    ratio = np.mean(figures["c-mixup"]["rmse"]) / np.mean(figures["mixup"]["rmse"])
    assert versus[1][2] == pytest.approx(ratio)
    assert mixing_regression.run(problems, WAYS, range(2), tmp_path, quiet=True) == result  # from the folder
    with pytest.raises(ValueError, match="plans"):
        mixing_regression.run({"other": problems["slope"]}, WAYS, range(2), tmp_path, quiet=True)


def test_rows_are_dealt_once_and_scaled_by_those_learned_from():
    rows = spiral(0)
    assert [len(part) for part in rows[2:]] == [100, 100, 1000]
    assert len(np.unique(np.concatenate(rows[2:]))) == 1200
    known = rows.inputs[rows.learned]
    torch.testing.assert_close(known.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(known.std(0, correction=0), torch.ones(2))
    assert 1 <= rows.labels.min() < rows.labels.max() <= 3 * np.pi
    assert torch.equal(spiral(0).labels, rows.labels)
    assert not torch.equal(spiral(1).labels, rows.labels)


def test_the_kept_result_has_what_was_asked_of_it():
    kept = json.loads(harness.result_path("mixing-regression").read_text(encoding="utf-8"))
    entries = {(each["task"], each["method"], each["against"]): each for each in kept["summary"]}
    near = np.mean(kept["figures"]["spiral"]["c-mixup"]["rmse"])
    assert near <= 0.4 * np.mean(kept["figures"]["spiral"]["mixup"]["rmse"])
    contrast = entries["airfoil", "supremix", "supervised contrast"]
    for measure, sign in (("rmse", 1), ("mae", 1), ("spearman", -1), ("order", -1)):
        assert sign * contrast[measure]["versus"]["difference"] > 0
        assert contrast[measure]["versus"]["p"] < 0.05
