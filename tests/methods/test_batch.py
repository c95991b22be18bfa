from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.methods import Batches


def make(n, size, seed=None, rows=None):
    inputs = torch.arange(n * 2.0).reshape(n, 2)
    targets = {"a": torch.arange(n), "b": -torch.ones(n, dtype=torch.int64)}
    return Batches(inputs, targets, np.arange(n) if rows is None else rows, size, seed)


@given(st.integers(1, 60), st.integers(1, 70), st.one_of(st.none(), st.integers(0, 99)))
def test_each_row_comes_once_and_batches_are_even(n, size, seed):
    batches = make(n, size, seed)
    found = list(batches)
    assert len(found) == len(batches) == -(-n // size)
    sizes = [len(batch.index) for batch in found]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert sorted(torch.cat([batch.index for batch in found]).tolist()) == list(range(n))
    for batch in found:
        assert torch.equal(batch.inputs, batches.inputs[batch.index])
        assert torch.equal(batch.targets["a"], batch.index)


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = make(50, 8, seed)
        batches.epoch = epoch
        return torch.cat([batch.index for batch in batches]).tolist()

    torch.manual_seed(0)
    first = order(1, 7)
    torch.rand(10)
    assert order(1, 7) == first
    assert order(1, 8) != first != order(2, 7)
    assert order(None, 3) == list(range(50))


def test_index_is_the_row_of_the_whole_table():
    found = torch.cat([batch.index for batch in make(10, 2, seed=0, rows=np.array([9, 3, 4]))])
    assert sorted(found.tolist()) == [3, 4, 9]


def test_nothing_to_iterate_over_is_an_error():
    with pytest.raises(ValueError, match="got 0 rows"):
        make(3, 2, rows=np.zeros(0, int))
    with pytest.raises(ValueError, match="size 0"):
        make(3, 0)


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 9))
def test_rows_of_a_label_follow_each_other(together, n, seed):
    labels = torch.randint(4, (n,), generator=torch.Generator().manual_seed(seed))
    batches = Batches(torch.zeros(n, 1), {"a": labels}, np.arange(n), n, seed, together)
    ((index, _, targets),) = list(batches)
    assert sorted(index.tolist()) == list(range(n))
    runs = [len(list(run)) for _, run in groupby(targets["a"].tolist())]
    shorter = sum(int((labels == each).sum()) % together > 0 for each in range(4))
    assert sum(length % together > 0 for length in runs) <= shorter
    batches.epoch = 1
    again = next(iter(batches)).index
    assert n < 20 or not torch.equal(index, again)
