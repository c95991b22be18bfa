import json
from dataclasses import replace

import pytest
import torch

from labelwise import bench
from labelwise.bench import gate_settings
from labelwise.bench.gate_settings import BLIND, SWEEPS, USUAL, Setting
from labelwise.bench.gated_tasks import Budget
from labelwise.gates import LinearRamp

TINY = Budget(rows=128, judged=32, epochs=3, batch_size=32, learning_rate=5e-3, tuned_on=1)
FEW = {"gamma": {"0.001": Setting(gamma=0.001), "1": USUAL}, "schedule": {BLIND: Setting(blind=True)}}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def result(out):
    return gate_settings.run(FEW, range(2), TINY, out, quiet=True)


def test_every_setting_is_fitted_with_every_seed(result, out):
    assert json.loads(json.dumps(result, allow_nan=False))["seeds"] == [0, 1]
    for sweep, values in FEW.items():
        assert list(result["figures"][sweep]) == list(values)
        for value, measured in result["figures"][sweep].items():
            assert all(len(figures) == 2 for figures in measured.values())
            assert len(result["traces"][sweep][value]) == 1 + TINY.epochs
    for (_, columns, rows), values in zip(bench.tables(result), FEW.values(), strict=True):
        assert [row[0] for row in rows] == list(values)
        assert all(len(row) == len(columns) for row in rows)
    assert gate_settings.run(FEW, range(2), TINY, out, quiet=True) == result  # from the figures kept in the folder


def test_a_gate_that_dies_is_seen_to_die_and_a_blind_one_never_moves(result):
    dead, usual = (result["figures"]["gamma"][value] for value in ("0.001", "1"))
    blind = result["figures"]["schedule"][BLIND]
    for measured in (dead, blind):
        assert measured["early"] == measured["settled"] == [1, 1]
        assert measured["over"] == [0, 0]
    start, *rest = result["traces"]["gamma"]["0.001"]
    assert start == 8
    assert rest == pytest.approx([sum(dead["used"]) / 2] * TINY.epochs)
    assert result["traces"]["schedule"][BLIND] == pytest.approx([sum(blind["used"]) / 2] * (1 + TINY.epochs))
    assert usual["early"] == usual["settled"] == [0, 0]  # twelve steps are too few to settle
    assert usual["over"] == [1, 1]


def test_only_one_setting_is_changed_at_a_time():
    for sweep in ("gamma", "entropy", "k"):
        for value, setting in SWEEPS[sweep].items():
            number, *permuted = value.split()
            assert f"{getattr(setting, sweep):g}" == number
            assert replace(setting, **{sweep: getattr(USUAL, sweep)}, permute=False) == USUAL
            assert setting.permute == (permuted == ["permuted"])


def test_gates_are_set_as_asked():
    gate = Setting(k=3, gamma=2.0, entropy=0.5, ramp=0.5, falls=0.25).gate(100)
    assert (gate.k, gate.gamma, gate.entropy) == (3, LinearRamp(0.0, 25, start=2.0), LinearRamp(0.5, 50))
    blind = Setting(blind=True).gate(100)
    assert (blind().weights > 0).sum() <= 2
    blind().weights.square().sum().backward()
    assert not blind.z_logits.grad.any()
    assert torch.isfinite(blind.w_logits.grad).all()


def test_a_gamma_that_falls_to_zero_leaves_at_most_k():
    budget = replace(TINY, rows=256, epochs=4)
    fit = gate_settings._fit(Setting(entropy=0.0, falls=1.0), 0, budget)
    assert (fit["settled"], fit["over"], fit["late"]) == (1, 0, 0)
