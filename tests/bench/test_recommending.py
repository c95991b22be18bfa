import json

import numpy as np
import pytest

from labelwise.audit import run_audit
from labelwise.bench import recommending
from labelwise.bench.recommending import EARLY, REFERENCE, choose, leave_one_out, looks, looks_of_run, recommend
from labelwise.labels import bundled
from labelwise.runs import write_json


def looking(wrong, one_way=0.5):
    return {"wrong": wrong, "one_way": one_way, "imbalance": 2.0, "rows_a_class": 50.0}


KNOWN = {"low": looking(0.02), "lower": looking(0.03), "little": looking(0.04)} | {
    "high": looking(0.4), "higher": looking(0.45), "much": looking(0.5)
}  # fmt: skip


def figures(**gains):
    """Accuracies of five seeds: robust methods gain so much where there is much noise, `costly` loses where not."""
    noisy = ("high", "higher", "much")
    usual = [0.8, 0.81, 0.79, 0.8, 0.82]
    return {
        name: {
            REFERENCE: {"accuracy": [a - 0.01 for a in usual]},
            EARLY: {"accuracy": usual},
            **{
                method: {"accuracy": [a + (gain if name in noisy else -0.02) for a in usual]}
                for method, gain in gains.items()
            },
        }
        for name in KNOWN
    }


def test_looks_tell_where_errors_go():
    counts = np.array([40, 10, 0, 30])
    one = looks(0.1, np.array([0, 0, 1]), np.array([1, 1, 3]), counts)
    assert one == {"wrong": 0.1, "one_way": 1.0, "imbalance": 4.0, "rows_a_class": pytest.approx(80 / 3)}
    spread = looks(0.1, np.array([0, 0, 0, 0]), np.array([1, 2, 3, 3]), counts)
    assert spread["one_way"] == 0.5
    assert looks(0.0, np.zeros(0, int), np.zeros(0, int), counts)["one_way"] == 0.5


def test_the_largest_gain_over_the_nearest_is_chosen():
    found = choose(looking(0.42), KNOWN, figures(small=0.03, large=0.05))
    assert found["method"] == "large"
    assert found["gain"] == pytest.approx(5)
    assert {each["name"] for each in found["nearest"]} == {"high", "higher", "much"}
    mixed = figures(small=0.03, large=0.05)
    mixed["high"]["large"]["accuracy"] = [0.1] * 5
    assert choose(looking(0.42), KNOWN, mixed)["method"] == "small"


@pytest.mark.parametrize(("lost", "chosen"), [(0.009, "large"), (0.011, "small")])
def test_a_method_may_have_lost_a_point_and_no_more(lost, chosen):
    mixed = figures(small=0.01, large=0.05)
    mixed["high"]["large"]["accuracy"] = [a - lost for a in mixed["high"][EARLY]["accuracy"]]
    assert choose(looking(0.42), KNOWN, mixed)["method"] == chosen


def test_where_nothing_gains_it_is_cross_entropy():
    found = choose(looking(0.03), KNOWN, figures(large=0.05))
    assert (found["method"], found["gain"]) == (REFERENCE, 0.0)
    assert all(each["difference"] == 0 for each in found["nearest"])


def test_where_nothing_is_alike_nothing_is_known():
    far = looking(0.42) | {"imbalance": 200.0, "rows_a_class": 3.0, "one_way": 9.0}
    found = choose(far, KNOWN, figures(large=0.05))
    assert (found["method"], found["alike"]) == (REFERENCE, False)
    assert choose(looking(0.42), KNOWN, figures(large=0.05))["alike"]


def test_each_data_set_is_judged_by_the_others():
    entries = {each["data"]: each for each in leave_one_out(KNOWN, figures(large=0.05))}
    # Of each kind two are left, and the third nearest is of the other kind: everything loses there.
    assert all(entry["method"] == REFERENCE for entry in entries.values())
    assert entries["high"]["best"] == pytest.approx(5)
    assert entries["high"]["gain"] == 0
    assert entries["high"]["gain_over_last"] == pytest.approx(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    table = bundled("iris")
    labels = table.labels("species")
    labels[::6] = (labels[::6] + 1) % 3
    out = tmp_path_factory.mktemp("recommend") / "run"
    return run_audit(table.with_labels("species", labels), run=out, folds=3, jobs=1, quiet=True).run


def test_a_run_gets_a_method_with_its_reasons(run, tmp_path, monkeypatch):
    result = {"looks": KNOWN, "figures": figures(**{"co-teaching": 0.05})}
    write_json(tmp_path / "noisy.json", result)
    monkeypatch.setattr(recommending, "result_path", lambda name: tmp_path / f"{name}.json")
    task, own = looks_of_run(run)
    assert task == "species"
    assert 0.08 < own["wrong"] < 0.3
    assert own["one_way"] > 0.6
    found = recommend(run)
    json.dumps(found, allow_nan=False)
    assert found["method"] == choose(own, KNOWN, result["figures"])["method"]
    assert "labels of 'species' are wrong" in found["why"][0]
    assert "mostly from a class to one other" in found["why"][0]
    assert found["command"].startswith(f"labelwise fit {run} --method")
    with monkeypatch.context() as patch:
        patch.setattr(recommending, "result_path", lambda name: tmp_path / "nothing.json")
        with pytest.raises(ValueError, match="labelwise bench noisy --save"):
            recommend(run)
    monkeypatch.setattr(recommending, "looks_of_run", lambda run, task: ("species", looking(0.42)))
    noisy = recommend(run)
    assert noisy["command"].endswith("--method co-teaching --set forget=0.42")
    assert "gained over cross-entropy" in noisy["why"][2]
    assert not any("beyond chance" in reason for reason in noisy["why"])


def test_gains_within_chance_are_called_so():
    nearest = [{"name": name, "difference": 0.4, "p": p} for name, p in (("a", 0.2), ("b", 0.9))]
    found = {"method": "sdn", "alike": True, "nearest": nearest}
    assert "None of these gains is beyond chance" in recommending._why("kind", looking(0.1), found, 1)[-1]
    sure = found | {"nearest": [*nearest, {"name": "c", "difference": 2.0, "p": 0.01}]}
    assert "gained over" in recommending._why("kind", looking(0.1), sure, 1)[-1]


def test_what_was_not_audited_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"audited no task 'genus' \(tasks: species\)"):
        recommend(run, "genus")
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(ValueError, match="is no finished audit with models"):
        recommend(tmp_path)
