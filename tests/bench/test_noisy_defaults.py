import numpy as np
import pytest
from tests.bench.test_noisy import PLAN, problem

from labelwise.bench import harness, noisy_defaults
from labelwise.bench.noisy_data import Setting, symmetric
from labelwise.bench.recommending import EARLY, REFERENCE


@pytest.fixture
def small(monkeypatch):
    """Two hundred rows for two epochs, and two methods beside those that are always there; gives the seeds drawn."""
    drawn = []

    def draw(seed):
        drawn.append(seed)
        return symmetric(problem(seed), np.arange(200) < 100, np.random.default_rng(seed))

    setting = Setting("MNIST, symmetric", draw, PLAN)
    monkeypatch.setattr(noisy_defaults, "settings", lambda full: [Setting("another", draw, PLAN), setting])
    monkeypatch.setattr(noisy_defaults, "SPACES", {REFERENCE: {}, "co-teaching": {}})
    return drawn


def test_a_short_run_is_complete_and_goes_on(small, tmp_path):
    result = noisy_defaults.noisy_defaults(3, out=tmp_path, quiet=True)
    accuracy, clean = result["figures"]["MNIST, symmetric"], result["selected_clean"]
    ways = {REFERENCE, EARLY, "co-teaching", "co-teaching, told the share"}
    assert set(accuracy) == set(clean) == ways
    assert result["seeds"] == [3, 4, 5, 6, 7]
    assert small == result["seeds"] * len(ways)
    assert all(0 <= value <= 1 for way in accuracy.values() for value in way["accuracy"])
    assert clean[REFERENCE] == clean[EARLY] == [None] * 5
    assert all(share > 0.3 for share in clean["co-teaching, told the share"])
    assert noisy_defaults.noisy_defaults(3, out=tmp_path, quiet=True)["figures"] == result["figures"]
    assert len(small) == 5 * len(ways)  # nothing was fitted again


def test_gains_are_points_of_the_same_seeds_over_both_baselines(small):
    result = noisy_defaults.noisy_defaults(quiet=True)
    accuracy = {way: np.array(each["accuracy"]) for way, each in result["figures"]["MNIST, symmetric"].items()}
    ((_, columns, rows),) = harness.tables(result)
    assert columns == ["method", "accuracy", "over last weights", "over early stopping", "right among selected"]
    for way, mean, *gains, _ in rows:
        assert mean == pytest.approx(accuracy[way].mean())
        for gain, other in zip(gains, (REFERENCE, EARLY), strict=True):
            if way == other:
                assert gain is None
            else:
                assert float(gain.split()[0]) == pytest.approx(100 * (accuracy[way] - accuracy[other]).mean(), abs=0.06)
    assert [mean for _, mean, *_ in rows] == sorted((mean for _, mean, *_ in rows), reverse=True)
