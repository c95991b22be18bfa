from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.audit import Ledger, Source, plan, split_shares

CENTS = st.integers(1, 500).map(lambda cents: cents / 100)
WEAK = Source("weak", 0.1, 0.7, [0, 1, 0, 1, 1, 0])
STRONG = Source("strong", 1, 1, [[1, 0], [0, 1], [0.5, 0.5], [0, 1], [1, 0], [0.25, 0.75]])


def ledger(budget: float | None = None) -> Ledger:
    return Ledger([WEAK, STRONG], 6, 2, budget)


@given(
    st.integers(0, 100_000).map(lambda cents: cents / 100),
    st.lists(CENTS, min_size=1, max_size=4),
    st.integers(1, 6),
    st.none() | st.integers(0, 50),
)
def test_plans_stay_within_the_budget_and_the_items(budget, costs, steps, available):
    counts = plan(budget, costs, split_shares(len(costs), steps), available)
    cents = (counts * [round(100 * cost) for cost in costs]).sum(axis=1)
    assert (cents <= round(100 * budget)).all()
    assert (counts >= 0).all()
    if available is not None:
        assert (counts.sum(axis=1) <= available).all()


@given(st.integers(0, 2000), st.integers(1, 100), st.integers(1, 8))
def test_two_sources_split_as_published(budget, cents, steps):
    shares = split_shares(2, steps)
    counts = plan(budget, [cents / 100, 1], shares)
    for (weak, strong), at in zip(counts.tolist(), range(steps + 1), strict=True):
        share = Fraction(steps - at, steps)  # of strong labels
        assert strong == budget * share // 1
        assert weak == (0 if at == 0 else (budget - strong) * 100 // cents)


def test_sums_are_those_of_decimal_numbers():
    assert plan(16, [0.1, 1], [[0.25, 0.75]]).tolist() == [[40, 12]]
    assert plan(3, [0.3, 0.1, 1], [[1 / 3, 1 / 3, 1 / 3]]).tolist() == [[3, 11, 1]]
    assert plan(0.3, [0.1, 1], [[1, 0]]).tolist() == [[3, 0]]


def test_a_source_without_a_share_sells_nothing():
    assert plan(8.5, [0.1, 1], [[0, 1], [1, 0]]).tolist() == [[0, 8], [85, 0]]


def test_splits_are_all_there_and_once():
    shares = split_shares(3, 4)
    assert len(shares) == len(np.unique(shares, axis=0)) == 15
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert split_shares(2).tolist() == [[0, 1], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [1, 0]]


@given(st.lists(st.tuples(st.sampled_from(["weak", "strong"]), st.lists(st.integers(0, 5), max_size=8)), max_size=6))
def test_each_label_is_paid_for_once(queries):
    account, bought = ledger(), {"weak": set(), "strong": set()}
    for source, ids in queries:
        labels = account.query(source, ids)
        expected = np.eye(2)[WEAK.labels] if source == "weak" else np.array(STRONG.labels)
        np.testing.assert_array_equal(labels, expected[np.array(ids, int)])
        bought[source] |= set(ids)
        assert account.bought(source).tolist() == sorted(bought[source])
        assert account.spent == Fraction(len(bought["weak"]), 10) + len(bought["strong"])


def test_someone_who_labels_is_asked_only_for_what_is_new():
    asked = []

    def expert(ids):
        asked.append(ids.tolist())
        return ids % 2

    account = Ledger([Source("expert", 2, 1, expert)], 10, 2)
    account.query("expert", [3, 1, 3])
    assert account.query("expert", [1, 4, 3]).argmax(axis=1).tolist() == [1, 0, 1]
    assert asked == [[1, 3], [4]]
    assert account.spent == 6


def test_what_the_budget_does_not_cover_is_refused_whole():
    account = ledger(1.35)
    account.query("strong", [0])
    with pytest.raises(ValueError, match=r"4 labels of 'weak' cost 0\.4; of the budget of 1\.35 only 0\.35 is left"):
        account.query("weak", [0, 1, 2, 3])
    assert account.spent == 1
    account.query("weak", [0, 1, 2])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], r"class indices in \[0, 2\); got 2 for item 1"),
        ([0, -1], "got -1 for item 1"),
        ([[0.5, 0.5], [0.9, 0.9]], r"sum to 1; got \[0\.9 0\.9\] for item 1"),
        ([[0.5, 0.5], [np.nan, 1]], "for item 1"),
        ([0.5, 0.5], r"got float64 \[2\]"),
        ([[1, 0, 0], [0, 1, 0]], r"probabilities \[2, 2\]"),
    ],
)
def test_unfit_labels_are_refused_and_not_paid_for(labels, message):
    account = Ledger([Source("odd", 1, 0.5, labels)], 2, 2)
    with pytest.raises(ValueError, match=message):
        account.query("odd", [0, 1])
    assert account.spent == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Source("a", 0, 0.5, []), "must be above 0; got 0"),
        (lambda: Source("a", 1, 1.5, []), r"in \[0, 1\]; got 1.5"),
        (lambda: Ledger([WEAK, WEAK], 6, 2), "different names; got weak, weak"),
        (lambda: ledger().query("wek", [0]), "no source 'wek'; there are weak, strong"),
        (lambda: ledger().query("weak", [0, -1]), r"in \[0, 6\); got -1 to 0"),
        (lambda: ledger().query("weak", [6]), "got 6 to 6"),
        (lambda: ledger().query("weak", [0.5]), "ids must be integers; got float64"),
        (lambda: ledger().bought("wek"), "no source 'wek'; there are weak, strong"),
        (lambda: split_shares(2, 0), "one source and one step; got 2 and 0"),
        (lambda: plan(1, [1, 0], [[0.5, 0.5]]), r"costs must be above 0 and finite; got \[1, 0\]"),
        (lambda: plan(1, [1], [[1]], available=-1), "available must be at least 0; got -1"),
        (lambda: plan(-1, [1], [[1]]), "at least 0 and finite; got -1"),
        (lambda: plan(np.nan, [1], [[1]]), "got nan"),
        (lambda: plan(1, [1, 2], [[0.5, 0.4]]), "each row with sum 1"),
        (lambda: plan(1, [1, 2], [1]), r"\[splits, 2\]"),
    ],
)
def test_unfit_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
