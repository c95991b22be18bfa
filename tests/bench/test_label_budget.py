import json

import numpy as np
import pytest

from labelwise.bench import harness
from labelwise.bench.label_budget import read_texts, run


@pytest.mark.data
def test_texts_of_two_classes_are_read(data):
    texts, labels = read_texts(data / "ag-news")
    assert len(set(texts)) == len(texts) == 3800
    assert np.bincount(labels).tolist() == [1900, 1900]


@pytest.mark.data
def test_a_short_run_is_complete_and_goes_on(data, tmp_path):
    result = run((8,), range(2), tmp_path, quiet=True, choosing=range(9, 10))
    assert result == run((8,), range(2), tmp_path, quiet=True, choosing=range(9, 10))
    for figures in result["figures"].values():
        assert list(figures["accuracy"]["8"]) == ["0", "0.25", "0.5", "0.75", "1"]
        assert all(len(each) == 2 for each in figures["accuracy"]["8"].values())
    json.dumps(result, allow_nan=False)
    for _, columns, rows in harness.tables(result):
        assert all(len(row) == len(columns) for row in rows)
    assert [len(rows) for _, _, rows in harness.tables(result)] == [3, 4]


def test_the_kept_result_has_the_published_order():
    result = json.loads(harness.result_path("label-budget").read_text())
    figures = result["figures"]["linear head"]
    means = {b: {s: np.mean(each) for s, each in splits.items()} for b, splits in figures["accuracy"].items()}
    assert means["8"]["1"] > means["8"]["0"]
    assert means["512"]["0"] > means["512"]["1"]
    assert max(means["128"], key=means["128"].get) not in ("0", "1")


def test_the_kept_result_has_the_learning_rate_that_validation_chose_on_other_seeds():
    result = json.loads(harness.result_path("label-budget").read_text())
    rate = result["learning_rate"]
    assert rate["chosen"] == float(max(rate["validation_accuracy"], key=rate["validation_accuracy"].get))
    assert not set(rate["seeds"]) & set(result["seeds"])
