import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from labelwise.audit.mixture import PSEUDO, fit_mixture

LEVELS = [3, 2]


def made(n: int = 300, seed: int = 0, holes: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    group = generator.integers(0, 3, n)
    numbers = generator.normal(size=(n, 2)) * 0.4 + group[:, None] - 1
    codes = np.stack([np.where(generator.random(n) < 0.9, group, 0), generator.integers(0, 2, n)], axis=1)
    numbers[generator.random((n, 2)) < holes] = np.nan
    codes[generator.random((n, 2)) < holes] = -1
    return numbers, codes


@settings(max_examples=30)
@given(seed=st.integers(0, 50), components=st.integers(1, 6))
def test_the_objective_never_falls(seed: int, components: int):
    numbers, codes = made(80, seed)
    steps = np.array(fit_mixture(numbers, codes, LEVELS, components, seed).objective)
    assert (np.diff(steps) > -1e-8 * np.abs(steps[:-1])).all()


def test_one_component_makes_the_columns_independent():
    numbers, codes = made()
    fitted = fit_mixture(numbers, codes, LEVELS, 1)
    mean, deviation = np.nanmean(numbers, 0), np.nanstd(numbers, 0)
    assert fitted.means[0] == pytest.approx(mean)
    counts = np.bincount(codes[codes[:, 0] >= 0, 0], minlength=3) + PSEUDO
    assert fitted.shares[0][0] == pytest.approx(counts / counts.sum())
    expected = np.nan_to_num(norm.logpdf(numbers, mean, deviation)).sum(1)
    for at, shares in enumerate(fitted.shares):
        expected += np.where(codes[:, at] >= 0, np.log(shares[0])[codes[:, at]], 0)
    assert fitted.log_density(numbers, codes) == pytest.approx(expected)


def test_a_missing_cell_is_summed_over():
    numbers, codes = made(holes=0)
    fitted = fit_mixture(numbers, codes, LEVELS, 3)
    unknown = codes.copy()
    unknown[:, 0] = -1
    each = []
    for value in range(3):
        filled = codes.copy()
        filled[:, 0] = value
        each.append(np.exp(fitted.log_density(numbers, filled)))
    assert np.exp(fitted.log_density(numbers, unknown)) == pytest.approx(np.sum(each, axis=0))
    # The same by numerical integration over a number.
    grid = np.linspace(-8, 8, 4001)
    row = np.repeat(numbers[:1], len(grid), 0)
    row[:, 1] = grid
    area = np.trapezoid(np.exp(fitted.log_density(row, np.repeat(codes[:1], len(grid), 0))), grid)
    hole = numbers[:1].copy()
    hole[0, 1] = np.nan
    assert area == pytest.approx(np.exp(fitted.log_density(hole, codes[:1]))[0], rel=1e-6)


def test_conditional_probabilities_sum_to_one():
    numbers, codes = made()
    fitted = fit_mixture(numbers, codes, LEVELS, 3)
    total = np.zeros(len(codes))
    for value in range(3):
        filled = codes.copy()
        filled[:, 0] = value
        total += np.exp(-fitted.surprise(numbers, filled)[:, 2])
    assert total == pytest.approx(1)


def test_missing_cells_surprise_nobody():
    numbers, codes = made()
    told = fit_mixture(numbers, codes, LEVELS, 2).surprise(numbers, codes)
    assert (np.isnan(told[:, :2]) == np.isnan(numbers)).all()
    assert (np.isnan(told[:, 2:]) == (codes < 0)).all()


def test_the_criterion_finds_the_number_of_groups():
    numbers, codes = made(1500)
    criteria = [fit_mixture(numbers, codes, LEVELS, k).bic(numbers, codes) for k in range(1, 6)]
    assert np.argmin(criteria) == 2


def test_columns_of_one_sort_only():
    numbers, codes = made(holes=0)
    assert fit_mixture(numbers, codes[:, :0], [], 2).log_density(numbers, codes[:, :0]).shape == (300,)
    shares = fit_mixture(numbers[:, :0], codes, LEVELS, 2)
    assert (shares.log_density(numbers[:, :0], codes) < 0).all()


def test_more_components_than_rows_are_refused():
    with pytest.raises(ValueError, match="from 1 to the number of rows, 3; got 4"):
        fit_mixture(*made(3), LEVELS, 4)
