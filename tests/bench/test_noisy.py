import json

import numpy as np
import pytest
import torch

from labelwise.bench import harness, noisy_data
from labelwise.bench.noisy import EARLY, REFERENCE, build, fit_scores, run
from labelwise.bench.noisy_data import Problem, Setting, settings
from labelwise.bench.tuning import SPACES, space, tune
from labelwise.methods import Plan, get, info, names

PLAN = Plan(epochs=2, batch_size=32, patience=0, width=8)


def problem(seed=0):
    generator = np.random.default_rng(seed)
    clean = np.arange(200) % 5
    inputs = torch.from_numpy(generator.normal(0, 0.5, (200, 6)) + 2 * np.eye(5, 6)[clean]).float()
    return Problem(inputs, clean, clean, 5, np.arange(80), np.arange(80, 100), np.arange(100, 200))


def rows():
    return np.arange(200) < 100


@pytest.mark.parametrize(
    ("noise", "share"),
    [("symmetric", 0.4), ("pair", 0.3), ("instance", 0.3), ("open set", 0.2), ("pseudo-class", 0.08)],
)
def test_planted_noise_is_of_its_kind_and_leaves_test_rows_alone(noise, share):
    noisy = noisy_data._NOISE[noise](problem(), rows(), np.random.default_rng(0))
    wrong = noisy.given != noisy.clean
    assert wrong[:100].mean() == pytest.approx(share)
    assert noise == "open set" or not wrong[100:].any()
    assert not np.isin(noisy.given[noisy.test], np.setdiff1d(noisy.clean, noisy.given)).any()
    assert noisy.classes == (6 if noise == "pseudo-class" else 5)
    assert len(noisy.test) == (80 if noise == "open set" else 100)


def test_noise_of_the_ostracods_kind_has_its_three_parts():
    big = problem()
    times = 20
    big = Problem(
        big.inputs.repeat(times, 1),
        np.tile(big.given, times),
        np.tile(big.clean, times),
        5,
        np.arange(3000),
        np.arange(3000, 3200),
        np.arange(3200, 4000),
    )
    learned = np.arange(4000) < 3200
    noisy = noisy_data.ostracods(big, learned, np.random.default_rng(0))
    ruined = (noisy.inputs != big.inputs).any(1).numpy()
    wrong = noisy.given != noisy.clean
    assert not (ruined & wrong).any()
    assert [ruined.mean() * 4000, (noisy.given == 5).sum(), wrong.sum()] == pytest.approx([106, 13, 74], abs=1)
    assert not ruined[3200:].any()
    assert not wrong[3200:].any()


@pytest.mark.data
def test_settings_draw_rows_anew_and_never_test_on_what_is_learned(data):
    assert len({each.name for each in settings(False)}) == 15
    for setting in settings(False):
        if setting.name not in ("digits, open set", "CIFAR-10N, worse", "frog calls, ostracods"):
            continue  # slower, and of the same make
        drawn = setting.draw(0)
        parts = [drawn.train, drawn.validation, drawn.test]
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        assert drawn.given.max() < drawn.classes
        assert 0.01 < (drawn.given != drawn.clean)[drawn.train].mean() < 0.5
        assert drawn.inputs[drawn.train].isfinite().all()
        assert not np.array_equal(setting.draw(1).train, drawn.train)


def test_every_method_for_wrong_labels_is_tuned_within_bounds_that_hold_its_defaults():
    assert list(SPACES) == [name for name in names() if get(name).__module__.startswith("labelwise.methods.noisy.")]
    for name in SPACES:
        defaults = {option["name"]: option["default"] for option in info(name)["options"]}
        for option, bounds in space(name).items():
            assert bounds.low <= defaults[option] <= bounds.high
            for value in (bounds.low, bounds.high):
                build(problem(), name, {option: value}, PLAN)


def test_the_defaults_are_tried_first_and_the_best_is_taken():
    found = tune(lambda options: -abs(options["learning_rate"] - 5e-3), "cross-entropy", 6, seed=0)
    assert found["tried"][0][0] == {"learning_rate": 2e-3}
    assert len(found["tried"]) == 6
    assert found["options"] == max(found["tried"], key=lambda each: each[1])[0]
    assert found == tune(lambda options: -abs(options["learning_rate"] - 5e-3), "cross-entropy", 6, seed=0)
    assert tune(lambda options: 1.0, "sdn", 3, seed=0)["options"] == {"learning_rate": 2e-3, "warm_up": 0.5}


@pytest.mark.slow
@pytest.mark.data
def test_of_mnist_with_much_noise_co_teaching_selects_clean_labels_and_gains_five_points(data):
    setting = next(each for each in settings(False) if each.name == "MNIST, symmetric")
    usual = [fit_scores(setting, REFERENCE, {}, seed) for seed in range(4)]
    robust = [fit_scores(setting, "co-teaching", {"forget": 0.4, "warm_up": 0.3}, seed) for seed in range(4)]
    gain = harness.paired(*([each["accuracy"] for each in fits] for fits in (robust, usual)))
    assert gain["difference"] > 0.05
    assert gain["p"] < 0.01
    assert min(each["selected_clean"] for each in robust) > 0.85


def test_a_short_run_is_complete_and_goes_on(tmp_path, monkeypatch):
    drawn = []

    def draw(seed):
        drawn.append(seed)
        return noisy_data.symmetric(problem(seed), rows(), np.random.default_rng(seed))

    chosen = [Setting(name, draw, PLAN) for name in ("one", "two")]
    methods = [REFERENCE, "co-teaching", EARLY]
    result = run(chosen, methods, range(2), 2, {}, tmp_path, quiet=True)
    assert set(drawn) == {0, 1, 1000}
    drawn.clear()
    assert run(chosen, methods, range(2), 2, {}, tmp_path, quiet=True) == result
    assert drawn == []
    json.dumps(result, allow_nan=False)
    assert set(result["ranks"]["ranks"]) == set(methods)
    assert list(result["selected_clean"]["one"]) == ["co-teaching"]
    for _, columns, lines in harness.tables(result):
        assert all(len(line) == len(columns) for line in lines)
    with pytest.raises(ValueError, match="other settings"):
        run(chosen, methods, range(2), 3, {}, tmp_path, quiet=True)
