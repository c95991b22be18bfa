from pathlib import Path

import pandas as pd
import pytest
import yaml
from tests.report.conftest import NOTHING, issue, write_audit

from labelwise.labels import read
from labelwise.report import to_dict
from labelwise.report.page import SECTIONS
from labelwise.runs import RunFolder


def alerts(run: Path) -> dict[str, dict]:
    return {alert["id"]: alert for alert in to_dict(run)["alerts"]}


def bundled(folder: Path, name: str, rate: float = 0.0) -> Path:
    write_audit(folder, read(name), NOTHING)
    metrics = {
        "tasks": {"label": {"estimated_error_rate": rate, "estimated_error_interval": [rate - 0.01, rate + 0.01]}}
    }
    RunFolder(folder).add_metrics(audit=metrics)
    return folder


def test_iris_repeats_itself_and_wine_does_not(tmp_path: Path):
    iris = alerts(bundled(tmp_path / "iris", "iris"))
    assert set(iris) == {"leak-suspects", "redundant", "repeated-rows"}
    assert "petal length (cm) (0.97 with species)" in iris["leak-suspects"]["what"]
    assert iris["redundant"]["what"].endswith("petal length (cm) and petal width (cm) (0.96).")
    assert iris["repeated-rows"]["what"] == "1 row equals an earlier one in all features."
    assert "red" not in {alert["severity"] for alert in alerts(bundled(tmp_path / "wine", "wine")).values()}


@pytest.mark.parametrize(("rate", "severity"), [(0.005, None), (0.02, "amber"), (0.055, "amber"), (0.07, "red")])
def test_label_errors_are_red_where_the_interval_is(tmp_path: Path, rate: float, severity: str | None):
    found = alerts(bundled(tmp_path / "wine", "wine", rate)).get("label-errors", {})
    assert found.get("severity") == severity


def test_models_that_are_often_wrong_themselves_raise_no_red_alert(tmp_path: Path):
    run = bundled(tmp_path / "wine", "wine", 0.4)
    metrics = RunFolder(run).metrics
    metrics["audit"]["tasks"]["label"]["accuracy_out_of_sample"] = 0.59
    RunFolder(run).add_metrics(**metrics)
    found = alerts(run)["label-errors"]
    assert found["severity"] == "amber"
    assert "predict only 59 %" in found["what"]


def test_every_alert_has_evidence_and_the_severest_come_first(digits_run: Path):
    found = to_dict(digits_run)["alerts"]
    assert {alert["section"] for alert in found} <= set(SECTIONS)
    order = [("red", "amber", "grey").index(alert["severity"]) for alert in found]
    assert order == sorted(order)
    by_name = {alert["id"]: alert for alert in found}
    assert by_name["leak"]["what"] == "Columns that predict the label by themselves: scan, file."
    assert by_name["duplicates-other-label"]["what"].startswith("6 rows")


def test_what_people_say_stands_among_them(run: Path):
    told = {"what": "From one clinic", "severity": "red", "mitigation": "Add others", "uses": ["screening"]}
    (run / "about.yaml").write_text(yaml.safe_dump({"alerts": [told]}))
    found = alerts(run)["told-1"]
    assert found == {"id": "told-1", "section": "uses", **told}


def test_columns_are_warned_of(tmp_path: Path):
    frame = pd.DataFrame(
        {"hole": [None] * 20 + [0.5, 1.5] * 40, "one": 1, "x": [2.0**i for i in range(100)], "y": list("ab") * 50}
    )
    table = read(frame, "y")
    run = write_audit(
        tmp_path / "run", table, NOTHING, issues=tuple(issue(kind="rare_class", subject=s) for s in "abcde")
    )
    found = alerts(run)
    assert found["missing-cells"]["what"] == "Columns with more than 5 % missing: hole."
    assert found["constant"]["what"] == "Columns of one value: one."
    assert found["skewed"]["what"] == "Strongly skewed columns: x."
    assert found["rare-class"]["what"].endswith("a, b, c and 2 more.")
