import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support
from torchmetrics.functional.classification import multiclass_calibration_error

from labelwise.metrics import classification_scores, reliability


def random_case(seed, n, classes):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=n)
    return generator.integers(0, classes, n), probabilities


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 9))
def test_equals_scikit_learn(seed, n, classes):
    labels, probabilities = random_case(seed, n, classes)
    predicted = probabilities.argmax(1)
    scores = classification_scores(labels, probabilities, n_bootstrap=20)
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)[:3]
    ours = [scores[f"macro_{name}"]["value"] for name in ("precision", "recall", "f1")]
    np.testing.assert_allclose(ours, macro, atol=1e-12)
    assert scores["accuracy"]["value"] == pytest.approx(accuracy_score(labels, predicted))
    assert scores["log_loss"] == pytest.approx(
        log_loss(labels, probabilities, labels=range(classes)) if classes > 1 else 0
    )
    each = precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    for row, *values in zip(scores["per_class"], *each, strict=True):
        occurs = row["class"] in {*labels, *predicted}
        assert row["support"] == values[3]
        for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True):
            assert row[name] == (pytest.approx(value) if occurs else None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_calibration_error_equals_torchmetrics(seed, classes):
    import torch

    labels, probabilities = random_case(seed, 200, classes)
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), classes, n_bins=15)
    assert classification_scores(labels, probabilities, 0)["calibration_error"] == pytest.approx(
        float(theirs), abs=1e-5
    )


def test_calibrated_predictions_have_almost_no_calibration_error():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1.0, 0.7, 0.4], size=60_000)
    labels = (generator.random(60_000)[:, None] > probabilities.cumsum(1)[:, :-1]).sum(1)
    assert classification_scores(labels, probabilities, 0)["calibration_error"] < 0.01
    sharpened = probabilities**4 / (probabilities**4).sum(1, keepdims=True)
    assert classification_scores(labels, sharpened, 0)["calibration_error"] > 0.1


def test_reliability_counts_every_row_and_gives_back_the_accuracy():
    labels, probabilities = random_case(3, 500, 4)
    bins = reliability(labels, probabilities, bins=7)
    assert sum(b["count"] for b in bins) == 500
    mean = sum(b["count"] * (b["accuracy"] or 0) for b in bins) / 500
    assert mean == pytest.approx(classification_scores(labels, probabilities, 0)["accuracy"]["value"])
    for b in bins:
        assert (b["confidence"] is None) == (b["count"] == 0)
        assert b["count"] == 0 or b["low"] <= b["confidence"] <= b["high"]
    certain = reliability(np.zeros(5, int), np.eye(2)[np.zeros(5, int)])
    assert certain[-1] == {"low": pytest.approx(14 / 15), "high": 1.0, "confidence": 1.0, "accuracy": 1.0, "count": 5}


def test_interval_covers_the_true_accuracy_about_95_times_in_100():
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        right = generator.random(200) < 0.8
        labels = generator.integers(0, 3, 200)
        probabilities = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
        interval = classification_scores(labels, probabilities, n_bootstrap=300, seed=trial)["accuracy"]
        assert interval["low"] <= interval["value"] <= interval["high"]
        covered += interval["low"] <= 0.8 <= interval["high"]
    assert 270 <= covered <= 297


def test_resampling_cells_agrees_with_resampling_rows():
    labels, probabilities = random_case(5, 150, 3)
    predicted = probabilities.argmax(1)
    generator = np.random.default_rng(0)
    by_rows = []
    for _ in range(2000):
        rows = generator.integers(0, 150, 150)
        by_rows.append(
            precision_recall_fscore_support(labels[rows], predicted[rows], average="macro", zero_division=0)[2]
        )
    ours = classification_scores(labels, probabilities, n_bootstrap=4000)["macro_f1"]
    np.testing.assert_allclose([ours["low"], ours["high"]], np.quantile(by_rows, [0.025, 0.975]), atol=0.015)


def test_interval_is_the_same_for_the_same_seed():
    labels, probabilities = random_case(8, 60, 4)
    first, again, other = (classification_scores(labels, probabilities, 200, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["accuracy"]["low"] != other["accuracy"]["low"] or first["macro_f1"] != other["macro_f1"]


def test_missing_labels_are_left_out():
    labels, probabilities = random_case(2, 90, 5)
    gaps = labels.copy()
    gaps[::3] = -1
    keep = gaps >= 0
    assert classification_scores(gaps, probabilities) == classification_scores(labels[keep], probabilities[keep])


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (np.zeros(0, int), np.zeros((0, 3))),
        (np.full(4, -1), np.full((4, 3), 1 / 3)),
        (np.zeros(6, int), np.ones((6, 1))),
        (np.zeros(6, int), np.eye(3)[np.zeros(6, int)]),
        (np.zeros(6, int), np.eye(3)[np.full(6, 2)]),
    ],
)
def test_cases_without_much_in_them_are_json_without_nan(labels, probabilities):
    for result in (classification_scores(labels, probabilities), reliability(labels, probabilities)):
        json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 3], np.full((2, 3), 1 / 3), r"integers in \[0, 3\), or -1; got 3 at row 1"),
        ([0.0, 1.0], np.full((2, 2), 0.5), "integer class indices"),
        ([0], np.full((2, 2), 0.5), r"got \[2, 2\] for labels of shape \[1\]"),
        ([-1, 1], [[0.5, 0.5], [0.5, np.nan]], "row 1 does not"),
        ([0, 1], [[0.5, 0.5], [0.9, 0.9]], "row 1 does not"),
        ([0, 1], [[0.5, 0.5], [1.5, -0.5]], "row 1 does not"),
    ],
)
def test_bad_input_names_the_row(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        classification_scores(np.array(labels), np.array(probabilities))


def test_mapped_arrays_of_several_models_are_averaged_in_blocks(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(5), (3, 400)).astype(np.float32)
    labels = generator.integers(-1, 5, 400)
    np.save(tmp_path / "p.npy", probabilities)
    mapped, mean = np.load(tmp_path / "p.npy", mmap_mode="r"), probabilities.mean(axis=0, dtype=np.float64)
    expected = classification_scores(labels, mean), reliability(labels, mean)
    monkeypatch.setattr("labelwise.metrics.classification._ROUND_NUMBERS", 100)
    assert (classification_scores(labels, mapped), reliability(labels, mapped)) == expected
    probabilities[0, 333] = [2, 0, 0, 0, 0]
    labels[333] = 1
    with pytest.raises(ValueError, match="row 333 does not"):
        classification_scores(labels, probabilities)
