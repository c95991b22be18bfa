import json

import numpy as np
import pytest
import torch

from labelwise.bench import cifar10n, harness
from labelwise.bench.cifar10n import SETS, ask, draw, run
from labelwise.bench.detectors import COMBINED, Said
from labelwise.methods import Plan

PLAN = Plan(epochs=2, batch_size=16, width=8)


@pytest.mark.data
def test_pictures_are_drawn_anew_by_each_seed(data):
    rows, pictures = draw(data / "cifar10", 50, 8, seed=0)
    assert pictures.shape == (50, 3, 8, 8)
    assert pictures.mean().abs() < 1e-5
    assert len(np.unique(rows)) == 50
    assert (draw(data / "cifar10", 50, 8, seed=0)[0] == rows).all()
    assert (draw(data / "cifar10", 50, 8, seed=1)[0] != rows).any()


def test_every_detector_speaks_of_every_row():
    generator = np.random.default_rng(0)
    clean = np.arange(200) % 10
    pictures = generator.normal(0, 0.3, (200, 1, 8, 8)).astype(np.float32)
    pictures[np.arange(200), 0, clean % 8] += 3
    given = clean.copy()
    given[::8] = (clean[::8] + 1) % 10
    said = ask(torch.from_numpy(pictures), given, PLAN, seed=0)
    assert list(said) == ["confident learning", "NECV", "SimiFeat, vote", "SimiFeat, rank", "area under margin"]
    for each in said.values():
        assert each.flags.shape == each.score.shape == each.suggestion.shape == (200,)
        assert np.isfinite(each.score).all()
        assert len(np.unique(each.suggestion)) > 1


@pytest.mark.data
def test_a_short_run_is_complete_and_goes_on(data, tmp_path, monkeypatch):
    def guess(pictures, given, plan, seed):
        score = np.random.default_rng(seed).random(len(given))
        return {"confident learning": Said(score > 0.9, score, given)}

    monkeypatch.setattr(cifar10n, "ask", guess)
    result = run(300, 8, PLAN, 100, range(2), tmp_path, quiet=True)
    monkeypatch.setattr(cifar10n, "ask", None)
    assert run(300, 8, PLAN, 100, range(2), tmp_path, quiet=True) == result
    json.dumps(result, allow_nan=False)
    errors = []
    for name in SETS:
        facts = result["figures"][name][0]
        assert list(facts["detectors"]) == ["confident learning", COMBINED]
        assert facts["detectors"][COMBINED]["rows"] == 200
        errors.append(facts["detectors"][COMBINED]["errors"])
    assert errors == sorted(errors)  # the majority errs least, and "worse" most
    for _, columns, rows in harness.tables(result):
        assert all(len(row) == len(columns) for row in rows)
