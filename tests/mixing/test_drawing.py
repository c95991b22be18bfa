import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.mixing import (
    beta_weights,
    different_partners,
    group_partners,
    other_partners,
    random_partners,
    reversed_partners,
    rolled_partners,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 9), st.integers(0, 100))
def test_partners_are_permutations(n, seed):
    rows = torch.arange(n)
    for partner in (random_partners(n, seeded(seed)), reversed_partners(n), rolled_partners(n), other_partners(n)):
        assert torch.equal(partner.sort().values, rows)
    back = reversed_partners(n)
    assert torch.equal(back[back], rows)
    if n > 1:
        assert not (other_partners(n, seeded(seed)) == rows).any()


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 100))
def test_partners_in_and_out_of_the_group(groups, seed):
    groups = torch.tensor(groups, dtype=torch.int64)
    within, outside = group_partners(groups, seeded(seed)), different_partners(groups, seeded(seed))
    assert torch.equal(within.sort().values, torch.arange(len(groups)))
    assert torch.equal(groups[within], groups)
    if len(groups.unique()) > 1:
        assert (groups[outside] != groups).all()
    else:
        assert torch.equal(outside, torch.arange(len(groups)))


def test_partners_of_other_groups_are_all_equally_likely():
    groups = torch.tensor([0, 1, 1, 2])
    drawn = torch.stack([different_partners(groups, seeded(seed)) for seed in range(3000)])
    for row, others in ((0, [1, 2, 3]), (1, [0, 3]), (3, [0, 1, 2])):
        shares = torch.bincount(drawn[:, row], minlength=4) / 3000
        assert (shares[others] - 1 / len(others)).abs().max() < 0.04


def test_shares_by_batch_example_and_pair():
    batch, example = (beta_weights(0.5, 7, seeded(), mode) for mode in ("batch", "example"))
    assert len(batch.unique()) == 1
    assert len(example.unique()) == 7
    partner = reversed_partners(7)
    pair = beta_weights(0.5, 7, seeded(), "pair", partner)
    assert torch.equal(pair, pair[partner])
    assert len(pair.unique()) == 4
    assert (beta_weights(0, 3, mode="example") == 1).all()
    assert 0.15 < beta_weights(2, 4000, seeded(), "example", beta=8).mean() < 0.25
    with pytest.raises(ValueError, match="each other's partners"):
        beta_weights(1, 3, mode="pair", partner=rolled_partners(3))
    with pytest.raises(ValueError, match="mode must be one of batch, example, pair; got 'row'"):
        beta_weights(1, 3, mode="row")
