import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import clean_probability, forget_rate, small_losses, trimmed_mean


def test_the_rate_rises_evenly_and_stays():
    assert [forget_rate(epoch, 0.4, 4) for epoch in (0, 1, 2, 4, 9)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.4])
    assert forget_rate(0, 0.4, 0) == 0.4


@given(st.integers(1, 40), st.integers(0, 10), st.integers(0, 99))
def test_as_many_are_kept_as_the_share_says_and_they_are_the_smallest(n, tenths, seed):
    losses = torch.rand(n, generator=torch.Generator().manual_seed(seed))
    kept = small_losses(losses, tenths / 10)
    assert kept.sum() == max(1, (10 - tenths) * n // 10)
    assert losses[kept].max() <= (losses[~kept].min() if (~kept).any() else math.inf)


def test_only_those_asked_for_are_counted():
    losses = torch.tensor([0.0, 5.0, 1.0, 3.0, 2.0, 0.5])
    among = torch.tensor([False, True, True, True, True, False])
    assert small_losses(losses, 0.5, among).tolist() == [False, False, True, False, True, False]
    assert small_losses(losses, 1.0, among).sum() == 1
    assert not small_losses(losses, 0.0, torch.zeros(6, dtype=torch.bool)).any()
    assert small_losses(losses, 0.0).all()


def test_the_mean_of_small_losses_forgets_the_largest():
    losses = torch.tensor([1.0, 2.0, 3.0, 100.0])
    assert trimmed_mean(losses, 0.0) == losses.mean()
    assert trimmed_mean(losses, 0.25) == 2
    assert trimmed_mean(losses, 0.5, losses > 1) == 2
    assert trimmed_mean(losses, 0.0, losses > 1000) == 0


def test_two_heaps_of_losses_are_told_apart():
    generator = torch.Generator().manual_seed(0)
    wrong = torch.arange(500) % 5 == 0
    losses = torch.where(wrong, 4.0, 0.3) + 0.2 * torch.randn(500, generator=generator)
    losses[7] = torch.nan
    probability = clean_probability(losses)
    assert probability[7].isnan()
    seen = ~losses.isnan()
    assert (probability[seen & ~wrong] > 0.99).all()
    assert (probability[seen & wrong] < 0.01).all()
    # Scaling and shifting losses changes nothing.
    torch.testing.assert_close(clean_probability(3 * losses + 1)[seen], probability[seen], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("losses", [torch.zeros(0), torch.ones(1), torch.full((9,), 2.0)])
def test_without_a_difference_all_count_as_clean(losses):
    assert (clean_probability(losses) == 1).all()


def test_no_loss_at_all_gives_nan():
    assert clean_probability(torch.full((3,), torch.nan)).isnan().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forget_rate(-1, 0.2, 3), "epoch and warm_up must be at least 0; got -1 and 3"),
        (lambda: forget_rate(1, 20, 3), r"rate must be in \[0, 1\]; got 20"),
        (lambda: small_losses(torch.ones(3), 2.0), r"forget must be in \[0, 1\]; got 2.0"),
    ],
)
def test_shares_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
