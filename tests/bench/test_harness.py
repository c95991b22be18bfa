import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labelwise.bench import harness

figures = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=2, max_size=20)


@given(figures)
def test_an_interval_is_that_of_students_t(values):
    found = harness.interval(values)
    assert found["n"] == len(values)
    np.testing.assert_allclose(found["mean"], np.mean(values), atol=1e-12)
    error = stats.sem(values)
    expected = error * stats.t.ppf(0.975, len(values) - 1)
    np.testing.assert_allclose(found["half_width"], expected, atol=1e-12)


@given(figures, st.floats(0, 1))
def test_overlap_adds_to_the_variance(values, overlap):
    plain, wider = harness.interval(values)["half_width"], harness.interval(values, overlap)["half_width"]
    np.testing.assert_allclose(wider, plain * np.sqrt(1 + overlap * len(values)), atol=1e-9)


@given(figures, st.randoms(use_true_random=False))
def test_a_paired_test_is_that_of_scipy(values, random):
    other = [round(value + random.uniform(-1, 1.5), 3) for value in values]
    found = harness.paired(values, other)
    if np.ptp(np.subtract(values, other)) > 1e-6:
        np.testing.assert_allclose(found["p"], stats.ttest_rel(values, other).pvalue, rtol=1e-6)
    turned = harness.paired(other, values)
    np.testing.assert_allclose(turned["difference"], -found["difference"], atol=1e-12)
    assert harness.paired(values, values) == {"difference": 0.0, "half_width": 0.0, "p": 1.0}


def test_overlapping_splits_are_believed_less():
    ours, other = [0.8, 0.9, 0.85, 0.87], [0.7, 0.85, 0.8, 0.83]
    assert harness.paired(ours, other, overlap=0.2)["p"] > harness.paired(ours, other)["p"]


def test_one_seed_has_no_interval_and_no_test():
    assert harness.interval([0.5]) == {"mean": 0.5, "half_width": None, "n": 1}
    assert harness.paired([0.5], [0.4])["p"] is None
    with pytest.raises(ValueError, match="as many figures on both sides; got 1 and 2"):
        harness.paired([1], [1, 2])


@given(st.integers(0, 50), st.integers(1, 50))
def test_a_proportion_has_wilsons_interval(hits, more):
    found = harness.proportion(hits, hits + more)
    expected = stats.binomtest(hits, hits + more).proportion_ci(method="wilson")
    np.testing.assert_allclose([found["low"], found["high"]], [expected.low, expected.high], atol=1e-9)
    assert harness.proportion(0, 0)["value"] is None


def test_comparison_tells_how_the_reference_does_against_each():
    found = harness.compare({"t": {"a": {"accuracy": [0.5, 0.7]}, "b": {"accuracy": [0.4, 0.5]}}}, "a")
    assert [(entry["task"], entry["method"]) for entry in found] == [("t", "a"), ("t", "b")]
    assert "versus" not in found[0]["accuracy"]
    assert found[1]["accuracy"]["versus"]["difference"] == pytest.approx(0.15)


def test_a_result_is_kept_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "result_path", lambda name: tmp_path / f"{name}.json")
    result = {"name": "x", "tables": [{"title": "t", "columns": ["a"], "rows": [[1]]}], "versions": harness.versions()}
    path = harness.save(result)
    assert json.loads(path.read_text()) == result
    assert harness.tables(result) == [("t", ["a"], [[1]])]
    assert {"python", "torch", "labelwise"} <= set(result["versions"])


def test_figures_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"value": len(made)}

    path = tmp_path / "new" / "figures.json"
    assert [harness.kept(path, make) for _ in range(2)] == [{"value": 1}] * 2
    assert [harness.kept(None, make)["value"] for _ in range(2)] == [2, 3]
    path.write_text("{")
    with pytest.raises(ValueError, match=r"figures\.json is not valid JSON"):
        harness.kept(path, make)
