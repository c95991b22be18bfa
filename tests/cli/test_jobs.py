"""The jobs of the command line, one after the other, on real data."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from tests.cli.conftest import result


@pytest.fixture
def irises(tmp_path):
    """Iris with two wrong labels, as a user would have it: a CSV file with names."""
    bunch = load_iris(as_frame=True)
    table = bunch.data.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
    names = bunch.target_names[bunch.target].astype(object)
    table["species"] = names
    table.loc[3, "species"] = "virginica"
    table.loc[140, "species"] = "setosa"
    table.to_csv(tmp_path / "irises.csv", index=False)
    return names


def test_audit_fit_predict_export(labelwise, tmp_path, irises):
    audit = result(labelwise("audit", "irises.csv", "--label", "species", "--folds", 5, "--out", "run", "--json"))
    findings = pd.read_parquet(tmp_path / "run" / "issues.parquet")
    assert {3, 140} <= set(findings["example"])
    assert audit["audit"]["flagged"] == findings["example"].nunique() < 20
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    advice = result(labelwise("recommend", "run", "--json"))
    assert advice["task"] == "species"
    assert advice["command"].startswith(f"labelwise fit run --method {advice['method']}")
    assert f"try {advice['method']} first" in labelwise("recommend", "run").stdout

    labelwise("export", "run", "--corrected", "corrected.csv")
    corrected = pd.read_csv(tmp_path / "corrected.csv")
    assert corrected["species"][3] == "setosa"
    assert corrected["given_species"][3] == "virginica"
    wrong_before = (pd.read_csv(tmp_path / "irises.csv")["species"] != irises).sum()
    assert (corrected["species"] != irises).sum() <= wrong_before + len(findings) - 4

    options = ("--method", "cross-entropy", "--set", "epochs=30", "--json")
    fitted = result(labelwise("fit", "run", *options))
    assert fitted["run"].endswith("cross-entropy")
    assert "species" in fitted["tasks"]

    labelwise("predict", fitted["run"], "irises.csv", "--out", "predicted.parquet")
    predicted = pd.read_parquet(tmp_path / "predicted.parquet")
    assert np.allclose(np.stack(predicted["species_probabilities"]).sum(axis=1), 1, atol=1e-5)
    assert (predicted["species"] == irises).mean() > 0.85

    page = tmp_path / "run" / "report.html"
    page.unlink()
    labelwise("report", "run")
    assert page.exists()


def test_labels_of_every_kind_are_audited_where_they_can_be_and_learned(labelwise, tmp_path, irises):
    table = pd.read_csv(tmp_path / "irises.csv")
    table["size"] = 10 * table["petal_length"] + table["sepal_width"]
    table["traits"] = np.where(table["petal_width"] > 1, "wide;", ";") + np.where(table["petal_length"] > 4, "long", "")
    table.to_csv(tmp_path / "kinds.csv", index=False)
    labels = ("--label", "species", "--label", "size=real", "--label", "traits=multi")
    audit = result(labelwise("audit", "kinds.csv", *labels, "--folds", 3, "--out", "run", "--json"))
    assert {task["kind"] for task in audit["data"]["tasks"]} == {"single", "real", "multi"}
    assert list(audit["audit"]["tasks"]) == ["species"]

    shown = labelwise("fit", "run", "--method", "cross-entropy", "--set", "epochs=8", "--out", "model").stdout
    assert "macro F1" in shown
    assert "spearman" in shown
    assert "subset accuracy" in shown
    labelwise("predict", "model", "kinds.csv", "--out", "predicted.parquet")
    predicted = pd.read_parquet(tmp_path / "predicted.parquet")
    assert (predicted["size"] - table["size"]).abs().mean() < 0.5 * (table["size"] - table["size"].mean()).abs().mean()
    assert "multi, soft, real" in labelwise("methods", "cross-entropy").stdout
    refused = labelwise("fit", "kinds.csv", "--label", "size=real", "--method", "co-teaching", code=1).stderr
    assert "method 'cross-entropy' learns every kind" in refused


def test_an_audit_is_judged_where_the_truth_is_known(labelwise, tmp_path, irises):
    labelwise("audit", "irises.csv", "--label", "species", "--folds", 3, "--out", "run", "--quiet")
    pd.DataFrame({"species": irises}).to_csv(tmp_path / "truth.csv", index=False)
    command = ("evaluate-cleaning", "run", "--truth", "truth.csv")
    report = result(labelwise(*command, "--focus", "setosa", "--out", "cleaning.json", "--json"))
    assert (report["errors"], report["hits"], report["hit_rate"]) == (2, 2, 1)
    assert report["feature_hit_rate"] is None
    assert json.loads((tmp_path / "cleaning.json").read_text()) == report
    shown = labelwise(*command).stdout
    assert "n/a" in shown
    assert "by given class" in shown
    labelwise(*command, "--focus", "rosa", code=1)


def test_models_are_compared_where_the_truth_is_known(labelwise, tmp_path, irises):
    labelwise("audit", "irises.csv", "--label", "species", "--folds", 3, "--out", "run", "--quiet")
    pd.DataFrame({"species": irises}).to_csv(tmp_path / "truth.csv", index=False)
    command = ("compare-models", "run", "--truth", "truth.csv")
    found = result(labelwise(*command, "--out", "compared.json", "--json"))["species"]
    assert (found["rows"], found["corrected"]) == (150, 2)
    assert len(found["models"]) == 3
    assert json.loads((tmp_path / "compared.json").read_text()) == {"species": found}
    assert "is best, if labels are wrong" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    shown = labelwise(*command).stdout
    assert ("where two change places" in shown) == bool(found["crossings"])
    assert ("no two models change places" in shown) == (not found["crossings"])
    assert "share of corrected labels here: 0.013" in shown


def test_the_same_command_twice_computes_nothing_and_changes_nothing(labelwise, tmp_path, irises):
    command = ("audit", "irises.csv", "--label", "species", "--folds", 3, "--out", "run", "--json")
    first = result(labelwise(*command))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert result(labelwise(*command)) == first
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_labels_only(labelwise, tmp_path, irises):
    found = result(labelwise("audit", "irises.csv", "--label", "species", "--labels-only", "--out", "run", "--json"))
    assert found["data"]["tasks"][0]["classes"] == 3
    assert found["audit"]["flagged"] == 0


def test_what_people_say_goes_into_page_card_and_croissant(labelwise, tmp_path, irises):
    told = "metadata: {title: Irises of Gaspé, licence: CC0-1.0}\nvariables: {petal_width: {kind: category}}\n"
    (tmp_path / "irises.yaml").write_text(told, encoding="utf-8")
    command = ("audit", "irises.csv", "--label", "species", "--labels-only", "--about", "irises.yaml", "--out", "run")
    labelwise(*command)
    run = tmp_path / "run"
    assert (run / "about.yaml").read_text(encoding="utf-8") == told
    assert "<h1><bdi>Irises of Gaspé</bdi></h1>" in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "data-card.md").read_text(encoding="utf-8").startswith("# Irises of Gaspé\n")
    croissant = json.loads((run / "croissant.json").read_text(encoding="utf-8"))
    assert croissant["license"] == "CC0-1.0"
    assert croissant["distribution"][0]["name"] == "irises.csv"
    assert json.loads((run / "columns.json").read_text())["columns"]["petal_width"]["kind"] == "category"


def test_methods_are_listed_and_explained(labelwise):
    names = [each["name"] for each in result(labelwise("methods", "--json"))["methods"]]
    assert {"cross-entropy", "dselect-k"} <= set(names)
    told = result(labelwise("methods", "dselect-k", "--json"))
    assert "Hazimeh" in told["paper"]
    assert all(option["help"] for option in told["options"])


@pytest.mark.slow
def test_the_demo_finds_the_planted_errors(labelwise, tmp_path):
    found = result(labelwise("demo", "--out", "run", "--json"))
    assert found["audit"]["hit_rate"] >= 0.8
    assert found["audit"]["precision"] >= 0.7
    assert found["accuracy"]["corrected"] >= found["accuracy"]["raw"]
    for name in (
        "config.yaml",
        "issues.parquet",
        "report.html",
        "raw/model.safetensors",
        "corrected/model.safetensors",
    ):
        assert (tmp_path / "run" / name).stat().st_size
