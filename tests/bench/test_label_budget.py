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
    result = run((8,), range(2), tmp_path, quiet=True)
    assert result == run((8,), range(2), tmp_path, quiet=True)
    for figures in result["figures"].values():
        assert list(figures["accuracy"]["8"]) == ["0", "0.25", "0.5", "0.75", "1"]
        assert all(len(each) == 2 for each in figures["accuracy"]["8"].values())
    json.dumps(result, allow_nan=False)
    ((_, columns, rows),) = harness.tables(result)
    assert len(rows) == 3
    assert all(len(row) == len(columns) for row in rows)


def test_the_kept_result_has_the_published_order():
    figures = json.loads(harness.result_path("label-budget").read_text())["figures"]["linear head"]
    means = {b: {s: np.mean(each) for s, each in splits.items()} for b, splits in figures["accuracy"].items()}
    assert means["8"]["1"] > means["8"]["0"]
    assert means["512"]["0"] > means["512"]["1"]
    assert max(means["128"], key=means["128"].get) not in ("0", "1")
