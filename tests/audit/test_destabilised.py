import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from labelwise.audit import destabilise

MODELS = ("a", "b", "c")


def drawn(seed: int, n: int = 300, pruned: float = 0.1):
    """Predictions of three models, given labels, and corrected ones: about a fifth wrong, some of them pruned."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, n)
    wrong = generator.random(n) < 0.2
    labels = np.where(wrong, (truth + 1) % 4, truth)
    corrected = np.where(generator.random(n) < pruned, -1, truth)
    predictions = {}
    for name, on_wrong, on_right in zip(MODELS, (0.2, 0.5, 0.8), (0.95, 0.9, 0.8), strict=True):
        right = generator.random(n) < np.where(wrong, on_wrong, on_right)
        predictions[name] = np.where(right, truth, (truth + 2) % 4)
    return predictions, labels, corrected


@pytest.mark.parametrize("seed", range(3))
def test_curves_run_straight_from_right_to_wrong_labels(seed):
    predictions, labels, corrected = drawn(seed)
    result = destabilise(predictions, labels, corrected, replicates=50)
    wrong, right = (corrected >= 0) & (corrected != labels), corrected == labels
    assert result.share == wrong.sum() / (wrong | right).sum()
    for name, curve in result.curves.groupby("model"):
        hits = predictions[name] == corrected
        ends = np.interp(curve["share"], [0, 1], [hits[right].mean(), hits[wrong].mean()])
        np.testing.assert_allclose(curve["accuracy"], ends)
        assert ((curve["low"] <= curve["high"]) & curve["best"].between(0, 1)).all()
        model = result.models.set_index("model").loc[name]
        assert model["corrected"] == pytest.approx(hits[wrong | right].mean())
        assert model["given"] == pytest.approx((predictions[name] == labels).mean())
        assert (model["on_right"], model["on_wrong"]) == pytest.approx((hits[right].mean(), hits[wrong].mean()))


def test_a_share_is_reached_by_removing_right_labels_at_random():
    predictions, labels, corrected = drawn(1, n=2000)
    wrong, right = np.flatnonzero((corrected >= 0) & (corrected != labels)), np.flatnonzero(corrected == labels)
    share = 0.6
    kept = round(len(wrong) * (1 - share) / share)
    generator = np.random.default_rng(0)
    hits = np.stack([predictions[name] == corrected for name in MODELS])
    removed = [hits[:, np.r_[wrong, generator.choice(right, kept, replace=False)]].mean(axis=1) for _ in range(400)]
    curves = destabilise(predictions, labels, corrected, [share], replicates=10).curves
    np.testing.assert_allclose(curves["accuracy"], np.mean(removed, axis=0), atol=0.005)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_models_change_places_where_they_are_equally_good(seed):
    predictions, labels, corrected = drawn(seed, n=40)
    assume(((corrected >= 0) & (corrected != labels)).any())  # else there is nothing to compare by, and that is told
    result = destabilise(predictions, labels, corrected, replicates=20)
    models = result.models.set_index("model")
    pairs = set()
    for row in result.crossings.itertuples():
        pairs.add(frozenset((row.below, row.above)))
        accuracy = row.share * models["on_wrong"] + (1 - row.share) * models["on_right"]
        assert accuracy[row.below] == pytest.approx(accuracy[row.above])
        assert models["on_right"][row.below] >= models["on_right"][row.above]
        assert models["on_wrong"][row.above] >= models["on_wrong"][row.below]
        assert row.increase == pytest.approx(row.share - result.share)
        assert row.low <= row.high or row.support == 0
    for first, second in [("a", "b"), ("a", "c"), ("b", "c")]:
        ahead = [models[on][first] - models[on][second] for on in ("on_right", "on_wrong")]
        assert (frozenset((first, second)) in pairs) == (ahead[0] * ahead[1] < 0)


def test_order_of_rows_and_of_models_does_not_matter_to_the_accuracies():
    predictions, labels, corrected = drawn(4)
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = {name: predictions[name][order] for name in reversed(MODELS)}
    one = destabilise(predictions, labels, corrected, replicates=20)
    other = destabilise(shuffled, labels[order], corrected[order], replicates=20)
    columns = ["share", "model", "accuracy"]
    both = (each.curves[columns].sort_values(["share", "model"], ignore_index=True) for each in (one, other))
    pd.testing.assert_frame_equal(*both)
    what = ["below", "above", "share", "increase"]
    pd.testing.assert_frame_equal(one.crossings[what], other.crossings[what])


def test_intervals_hold_what_more_data_show():
    truth = destabilise(*drawn(0, n=100_000, pruned=0), [0.0, 0.5, 1.0], replicates=1).curves["accuracy"]
    inside = []
    for seed in range(60):
        curves = destabilise(*drawn(seed + 1, n=300, pruned=0), [0.0, 0.5, 1.0], replicates=300).curves
        inside += ((curves["low"] <= truth) & (truth <= curves["high"])).tolist()
    assert 0.88 < np.mean(inside) < 0.99


def test_who_is_best_changes_with_the_share():
    predictions, labels, corrected = drawn(2, n=3000)
    result = destabilise(predictions, labels, corrected)
    best = result.curves.set_index(["share", "model"])["best"]
    assert best[0.0, "a"] > 0.99
    assert best[1.0, "c"] > 0.99
    assert result.models["rank_on_right"].tolist() == [1, 2, 3]
    assert result.models["rank_on_wrong"].tolist() == [3, 2, 1]
    crossing = result.crossings.set_index(["below", "above"]).loc[("a", "c")]
    assert crossing["low"] < crossing["share"] < crossing["high"]
    assert crossing["support"] == 1


def test_equal_models_are_equally_good_everywhere():
    predictions, labels, corrected = drawn(3)
    result = destabilise({"one": predictions["a"], "two": predictions["a"]}, labels, corrected)
    assert result.crossings.empty
    assert (result.curves["best"] == 1).all()
    assert result.models["rank_corrected"].tolist() == [1, 1]


def test_repeats_with_its_seed():
    one, same, other = (destabilise(*drawn(0), replicates=30, seed=seed).curves for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one["low"].equals(other["low"])


def test_on_digits_the_model_that_copies_fewer_errors_gains_with_their_share():
    inputs, truth = load_digits(return_X_y=True)
    inputs, generator = inputs / 16, np.random.default_rng(1)
    # Labels are those of a weak annotator, who has seen 40 digits, on 15 % of the rows: all of them errors of its.
    seen = generator.permutation(len(truth))[:40]
    annotated = LogisticRegression(max_iter=300).fit(inputs[seen], truth[seen]).predict(inputs)
    errors = generator.permutation(np.flatnonzero(annotated != truth))[: round(0.15 * len(truth))]
    labels = truth.copy()
    labels[errors] = annotated[errors]
    models = {"neighbour": KNeighborsClassifier(1), "logistic": LogisticRegression(max_iter=300)}
    predictions = {name: cross_val_predict(model, inputs, labels, cv=5) for name, model in models.items()}
    result = destabilise(predictions, labels, truth)
    assert result.models["rank_given"].tolist() == [2, 1]
    (crossing,) = result.crossings.itertuples()
    assert (crossing.below, crossing.above) == ("logistic", "neighbour")
    assert 0.1 < crossing.share < 0.45
    assert crossing.low > 0.02
    assert crossing.support > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y, t: ({}, y, t), "at least one model"),
        (lambda p, y, t: ({"a": p["a"][:-1]}, y, t), r"the predictions of 'a' must be class indices \[300\].*\[299\]"),
        (lambda p, y, t: ({"a": p["a"] / 2}, y, t), "got float64"),
        (lambda p, y, t: (p, y, t[:-1]), "corrected must be class indices"),
        (lambda p, y, t: (p, y - 1, t), "at least 0"),
        (lambda p, y, t: (p, y, y), "no label was corrected"),
        (lambda p, y, t: (p, y, np.where(t == y, -1, t)), "no label was right"),
        (lambda p, y, t: (p, y, t, [0.5, 1.5]), r"in \[0, 1\]; got \[0.5, 1.5\]"),
        (lambda p, y, t: (p, y, t, None, 0), "replicates must be at least 1"),
    ],
)
def test_unfit_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        destabilise(*change(*drawn(0)))
