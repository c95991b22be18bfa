import itertools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labelwise.functional import nearest_permutation, sinkhorn


@given(
    n=st.integers(1, 8), lead=st.lists(st.integers(1, 3), max_size=2), scale=st.floats(0.1, 3), seed=st.integers(0, 99)
)
@settings(max_examples=40)
def test_rows_sum_to_one_and_columns_do_in_the_limit(n, lead, scale, seed):
    torch.manual_seed(seed)
    logits = scale * torch.randn(*lead, n, n, dtype=torch.float64)
    ones = torch.ones(*lead, n, dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(logits, 1).sum(-1), ones, atol=1e-12, rtol=0)
    found = sinkhorn(logits, 5000)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), ones, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.sum(-2), ones, atol=1e-4, rtol=0)


def test_constants_added_to_rows_and_columns_change_nothing_in_the_limit():
    logits = torch.randn(5, 5, dtype=torch.float64)
    shifted = logits + torch.randn(5, 1, dtype=torch.float64) + torch.randn(1, 5, dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(shifted, 500), sinkhorn(logits, 500))


@given(seed=st.integers(0, 30))
@settings(max_examples=15)
def test_as_the_temperature_falls_it_becomes_the_nearest_permutation(seed):
    torch.manual_seed(seed)
    logits = torch.randn(4, 4, dtype=torch.float64)
    totals = sorted(sum(logits[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(4)))
    assume(totals[-1] - totals[-2] > 0.5)  # near ties take very many iterations
    temperature = float(totals[-1] - totals[-2]) / 20  # the runner-up then has e^-20 of the winner's share
    found = sinkhorn(logits / temperature, 20_000)
    expected = torch.eye(4, dtype=torch.float64)[nearest_permutation(logits)]
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


@given(seed=st.integers(0, 99))
def test_no_permutation_has_a_larger_total(seed):
    logits = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(seed))
    for matrix, found in zip(logits, nearest_permutation(logits), strict=True):
        best = max(sum(matrix[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(4)))
        assert sorted(found.tolist()) == [0, 1, 2, 3]
        assert matrix[torch.arange(4), found].sum().item() == pytest.approx(best.item())


def test_gradients_match_finite_differences():
    logits = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda logits: sinkhorn(logits, 6), logits)


def test_extreme_logits_stay_finite():
    found = sinkhorn(1e6 * torch.randn(6, 6))
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(-1), torch.ones(6))


def test_logits_that_are_not_finite():
    with pytest.raises(ValueError, match="must be finite"):
        nearest_permutation(torch.tensor([[0.0, float("nan")], [0.0, 1.0]]))
