import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from labelwise.audit import LabelBudget, Source, label_budget, pareto

POINTS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=1, max_size=25)


@given(POINTS, st.sampled_from([0, 0.01, 0.1]), st.sampled_from([0, 0.002, 0.05]))
def test_the_frontier_rises_and_nothing_on_it_is_dominated(points, rtol, atol):
    costs, values = np.array(points, float).T / [[1], [100]]
    on = pareto(costs, values, rtol, atol)
    assert len(on) >= 1
    assert (np.diff(costs[on]) > 0).all()
    assert (np.diff(values[on]) > atol).all()
    for cost, value in zip(costs[on], values[on], strict=True):
        better = (costs <= cost) & (values >= value) & ((costs < cost) | (values > value))
        assert not better.any()


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(points, random):
    shuffled = list(points)
    random.shuffle(shuffled)
    on, again = ([each[at] for at in pareto(*np.array(each, float).T)] for each in (points, shuffled))
    assert on == again


def test_points_of_the_frontier():
    assert pareto([3], [0.2]).tolist() == [0]
    assert pareto([2, 1, 2, 4], [0.5, 0.3, 0.6, 0.6]).tolist() == [1, 2]
    assert pareto([1, 2], [0.5, 0.501]).tolist() == [0]
    assert pareto([1, 2, 2.01], [0.1, 0.5, 0.6]).tolist() == [0, 2]
    assert pareto([1, 1], [0.5, 0.5]).tolist() == [0]
    with pytest.raises(ValueError, match="finite"):
        pareto([1, np.nan], [1, 2])


def made(accuracies: dict[float, list[list[float]]]) -> LabelBudget:
    """A result with these accuracies, by budget, split (from all good to all many) and seed; costs are a tenth less."""
    rows = [
        {"budget": b, "split": at, "seed": seed, "share weak": share, "share strong": 1 - share}
        | {"labels weak": round(10 * b * share), "labels strong": round(b * (1 - share))}
        | {"cost": 0.9 * b, "accuracy": accuracy}
        for b, splits in accuracies.items()
        for at, (share, seeds) in enumerate(zip(np.linspace(0, 1, len(splits)), splits, strict=True))
        for seed, accuracy in enumerate(seeds)
    ]
    return LabelBudget(("weak", "strong"), pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("splits", "regime", "leads"),
    [
        ([[0.5, 0.6], [0.55, 0.65], [0.7, 0.8]], "quantity", "quantity"),
        ([[0.7, 0.8], [0.55, 0.65], [0.5, 0.6]], "quality", "quality"),
        ([[0.5, 0.6], [0.7, 0.8], [0.55, 0.65]], "mixed", "mixed"),
        ([[0.5, 0.6], [0.7, 0.6], [0.55, 0.65]], "indistinguishable", "mixed"),
        ([[0.5], [0.9], [0.6]], "indistinguishable", "mixed"),
        ([[0.6, 0.6], [0.6, 0.6], [0.6, 0.6]], "indistinguishable", "quantity"),
    ],
)
def test_a_regime_needs_a_lead_beyond_noise(splits, regime, leads):
    found = made({8: splits}).regimes().iloc[0]
    assert (found["regime"], found["leads"]) == (regime, leads)
    means = np.mean(splits, axis=1)
    np.testing.assert_allclose(found[["quality", "mixed", "quantity"]].astype(float), means)
    assert found["lead"] == pytest.approx(np.diff(np.sort(means))[-1])


def test_seeds_are_compared_in_pairs():
    together = made({8: [[0.50, 0.60, 0.70], [0.3] * 3, [0.52, 0.62, 0.72]]}).regimes().iloc[0]
    assert together["regime"] == "quantity"
    assert together["half_width"] == pytest.approx(0, abs=1e-9)
    apart = made({8: [[0.50, 0.60, 0.70], [0.3] * 3, [0.72, 0.62, 0.52]]}).regimes().iloc[0]
    assert apart["regime"] == "indistinguishable"


def test_the_cheapest_split_near_the_best_is_recommended():
    result = made({8: [[0.6], [0.5]], 16: [[0.7], [0.795]], 32: [[0.8], [0.8]]})
    assert result.recommend(32)["cost"] == pytest.approx(14.4)
    assert result.recommend(32, tolerance=0)["cost"] == pytest.approx(28.8)
    assert result.recommend(10)["accuracy"] == 0.6
    with pytest.raises(ValueError, match=r"at most 2; the cheapest run cost 7\.2"):
        result.recommend(2)


def test_splits_have_means_over_seeds_and_a_frontier():
    splits = made({8: [[0.5, 0.7], [0.3, 0.4]], 16: [[0.8, 0.8], [0.1, 0.2]]}).splits()
    assert splits["accuracy"].tolist() == pytest.approx([0.6, 0.35, 0.8, 0.15])
    assert splits["frontier"].tolist() == [True, False, True, False]
    assert splits["half_width"].tolist() == pytest.approx([12.7062 * 0.1, 12.7062 * 0.05, 0, 12.7062 * 0.05], rel=1e-4)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(700, 4))
    labels = (inputs[:, 0] > 0).astype(int)
    weak = (inputs[:, 0] + 0.8 * inputs[:, 1] > 0).astype(int)
    sources = [Source("strong", 1, 1, labels[:500]), Source("weak", 0.1, 0.75, weak[:500])]
    return inputs[:500], sources, inputs[500:], labels[500:]


def search(data, budgets=(6, 60), model=None, **settings) -> LabelBudget:
    inputs, sources, test_inputs, test_labels = data
    model = LogisticRegression() if model is None else model
    return label_budget(model, inputs, sources, budgets, test_inputs, test_labels, quiet=True, **settings)


def test_costs_are_those_of_the_labels_and_within_the_budget(data):
    result = search(data, seeds=2)
    runs = result.runs
    assert result.sources == ("weak", "strong")
    assert len(runs) == 2 * 5 * 2
    np.testing.assert_allclose(runs["cost"], runs["labels strong"] + 0.1 * runs["labels weak"])
    assert (runs["cost"] <= runs["budget"]).all()
    assert (runs["labels weak"] + runs["labels strong"] <= 500).all()
    np.testing.assert_allclose(runs["share weak"] + runs["share strong"], 1)
    ends = runs[runs["share weak"].isin([0, 1])]
    assert ((ends["labels weak"] == 0) == (ends["share weak"] == 0)).all()
    assert ((ends["labels strong"] == 0) == (ends["share weak"] == 1)).all()


def test_many_weak_labels_win_while_money_is_short_and_good_ones_later(data):
    found = search(data, budgets=(4, 80), seeds=6, steps=2).regimes().set_index("budget")
    assert found.loc[4, "quantity"] > found.loc[4, "quality"]
    assert found.loc[80, "regime"] in ("quality", "mixed")
    assert found.loc[80, "quality"] > found.loc[80, "quantity"]


def test_equal_items_count_as_one(data):
    inputs, sources, *_ = data
    twice = [Source(s.name, s.cost, s.quality, np.tile(s.labels, 2)) for s in sources]
    doubled = search((np.tile(inputs, (2, 1)), twice, *data[2:]), seeds=1)
    pd.testing.assert_frame_equal(doubled.runs, search(data, seeds=1).runs)


def test_three_sources_and_labels_on_demand(data):
    inputs, sources, test_inputs, test_labels = data
    strong = sources[0].labels
    crowd = Source("crowd", 0.5, 0.9, lambda ids: np.where(ids % 10 == 0, 1 - strong[ids], strong[ids]))
    result = label_budget(
        LogisticRegression(), inputs, [*sources, crowd], 20, test_inputs, test_labels, steps=2, seeds=2, quiet=True
    )
    assert result.sources == ("weak", "crowd", "strong")
    assert len(result.splits()) == 6
    only_crowd = result.splits().query("`share crowd` == 1").iloc[0]
    assert only_crowd["labels crowd"] == 40
    assert {"quantity", "mixed", "quality"} <= set(result.regimes().columns)


class Counted(LogisticRegression):
    fits = 0

    def fit(self, *arguments, **settings):
        Counted.fits += 1
        return super().fit(*arguments, **settings)


def test_a_stopped_search_goes_on(data, tmp_path):
    first = search(data, budgets=6, seeds=1, model=Counted(), store=tmp_path)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 5
    kept[2].unlink()
    Counted.fits = 0
    again = search(data, budgets=6, seeds=1, model=Counted(), store=tmp_path)
    pd.testing.assert_frame_equal(first.runs, again.runs)
    assert Counted.fits <= 2  # one run of at most two stages
    search(data, budgets=6, seeds=1, model=Counted(C=2), store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, s, t, y: (i, s[:1], t, y), "at least two sources to choose between; got 1"),
        (lambda i, s, t, y: (i, s, t, y[:-1]), r"one for each of the 200 test_inputs, at least one; got int64 \[199\]"),
        (lambda i, s, t, y: (i, s, t, y / 2), "class indices"),
        (lambda i, s, t, y: (i, s, t[:0], y[:0]), "at least one"),
        (lambda i, s, t, y: (i, s, t, y - 1), "leave out test items whose label is missing"),
        (lambda i, s, t, y: (i[:-1], s, t, y), "source 'strong' must have a label for each of the 499 inputs"),
    ],
)
def test_unfit_arguments_are_refused(data, change, message):
    with pytest.raises(ValueError, match=message):
        search(change(*data))


@pytest.mark.parametrize("settings", [{"budgets": []}, {"seeds": 0}, {"seeds": []}])
def test_nothing_to_try_is_refused(data, settings):
    with pytest.raises(ValueError, match="at least one seed and one budget"):
        search(data, **{"budgets": 6, **settings})


def test_a_budget_that_buys_nothing_is_refused(data):
    with pytest.raises(
        ValueError, match=r"a budget of 0\.5 buys no label in the split \[0\.0, 1\.0\] among weak, strong"
    ):
        search(data, budgets=0.5)
