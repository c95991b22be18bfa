import json

import pytest
import torch

from labelwise import bench
from labelwise.bench import mixing_sets
from labelwise.bench.mixing_sets import Setting
from labelwise.bench.sets_data import Sets, mulan, threes


def marks(seed):
    """A number for each of six classes, and noise."""
    generator = torch.Generator().manual_seed(seed)
    sets = (torch.rand(160, 6, generator=generator) < 0.4).float()
    inputs = sets + 0.2 * torch.randn(160, 6, generator=generator)
    return Sets(inputs[:110], sets[:110], inputs[110:], sets[110:])


def test_a_short_run_is_complete_and_goes_on(tmp_path, monkeypatch):
    for name, value in {"_STEPS": 5, "_DRAWS": 1, "_RATES": (3e-3,), "_FEW_RATES": (0.01,)}.items():
        monkeypatch.setattr(mixing_sets, name, value)
    settings = {"marks": Setting(marks, 5, 2)}
    result = mixing_sets.run(settings, range(2), tmp_path, quiet=True)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    tables = bench.tables(result)
    assert [len(rows) for _, _, rows in tables] == [9, 6, 4]
    for _, columns, rows in tables:
        assert all(len(row) == len(columns) for row in rows)
    values = [v for ways in result["figures"].values() for by in ways.values() for each in by.values() for v in each]
    assert all(0 <= value <= 1 for value in values)
    assert set(result["learning_rates"]["marks"]) == {
        "base",
        *(f"{way}, {shots}" for way in mixing_sets.FEW for shots in mixing_sets.SHOTS),
        *(f"fit {way}" for way in mixing_sets.FITS),
    }
    assert mixing_sets.run(settings, range(2), tmp_path, quiet=True) == result  # from the folder
    with pytest.raises(ValueError, match="settings"):
        mixing_sets.run({"other": settings["marks"]}, range(2), tmp_path, quiet=True)


def test_digits_in_threes_are_what_their_sets_say():
    data = threes(0)
    assert data.inputs.shape == (2000, 192)
    assert data.test_sets.shape == (1000, 10)
    shown = data.inputs.reshape(-1, 3, 64).any(2).sum(1)
    assert (data.sets.sum(1) <= shown).all()
    assert ((data.sets.sum(1) == 0) == (shown == 0)).all()
    assert not torch.equal(threes(1).sets, data.sets)


def test_labels_are_matched_by_name(data):
    yeast = mulan("yeast")
    assert yeast.inputs.shape == (1500, 103)
    assert yeast.test_sets.shape == (917, 14)
    assert yeast.sets.sum(1).mean() == pytest.approx(4.24, abs=0.03)
    assert set(yeast.sets.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(yeast.inputs.std(0), torch.ones(103))
