import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from labelwise.metrics import regression_scores


def problem(n, noise=0.5, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.normal(3, 2, n)
    return labels, labels + noise * generator.normal(size=n)


@pytest.mark.parametrize("n", [40, 5000])
def test_scores_are_those_of_scikit_learn_and_scipy(n):
    labels, guesses = problem(n)
    guesses[:10] = 3  # ties
    gaps = labels.copy()
    gaps[::7] = np.nan
    scores = regression_scores(gaps, guesses)
    known = ~np.isnan(gaps)
    labels, guesses = labels[known], guesses[known]
    assert scores["n"] == known.sum()
    expected = {
        "mae": mean_absolute_error(labels, guesses),
        "rmse": root_mean_squared_error(labels, guesses),
        "r2": r2_score(labels, guesses),
        "spearman": spearmanr(labels, guesses).statistic,
    }
    for name, value in expected.items():
        assert scores[name]["value"] == pytest.approx(value)
        assert scores[name]["low"] < value < scores[name]["high"]


def test_errors_scale_with_the_unit_and_the_rest_does_not():
    labels, guesses = problem(200)
    plain, scaled = regression_scores(labels, guesses), regression_scores(1000 * labels - 7, 1000 * guesses - 7)
    for name in ("mae", "rmse", "r2", "spearman"):
        factor = 1000 if name in ("mae", "rmse") else 1
        for part in ("value", "low", "high"):
            assert scaled[name][part] == pytest.approx(factor * plain[name][part])


@pytest.mark.parametrize("n", [300, 6000])
def test_intervals_hold_the_truth_about_as_often_as_they_say(n):
    truth = 0.5 * np.sqrt(2 / np.pi)
    held = []
    for seed in range(60):
        mae = regression_scores(*problem(n, seed=seed), n_bootstrap=200)["mae"]
        held.append(mae["low"] <= truth <= mae["high"])
    assert 0.85 <= np.mean(held) <= 1


def test_what_is_undefined_is_none():
    assert regression_scores(np.full(3, np.nan), np.zeros(3)) == {
        "n": 0,
        **{name: {"value": None, "low": None, "high": None} for name in ("mae", "rmse", "r2", "spearman")},
    }
    constant = regression_scores(np.ones(5), np.arange(5.0))
    assert constant["spearman"]["value"] is None
    assert constant["mae"]["value"] == pytest.approx(1.4)
    with pytest.raises(ValueError, match=r"one number a label; got \[3, 1\] for \[3\]"):
        regression_scores(np.ones(3), np.ones((3, 1)))
