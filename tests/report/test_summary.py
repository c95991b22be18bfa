import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labelwise.labels import describe, read
from labelwise.report import findings, to_dict
from labelwise.report.findings import PAIRS
from labelwise.runs import RunFolder, read_json, write_json


def reasons(facts: dict) -> dict[str, str]:
    return {reason["part"]: reason["why"] for reason in facts["not_shown"]}


def test_facts_are_plain_json_and_the_same_each_time(digits_run: Path):
    facts = to_dict(digits_run)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert to_dict(digits_run) == facts
    assert facts["not_shown"] == []


def test_findings_are_counted_as_pandas_counts_them(digits_run: Path):
    issues = pd.read_parquet(digits_run / "issues.parquet")
    facts = to_dict(digits_run)["findings"]
    assert facts["total"] == len(issues)
    assert facts["examples"] == issues["example"].nunique()
    expected = issues.fillna({"task": "-"}).groupby(["kind", "task"])["example"].agg(["size", "nunique"])
    found = {(c["kind"], c["task"] or "-"): (c["findings"], c["examples"]) for c in facts["counts"]}
    assert found == {key: tuple(row) for key, row in zip(expected.index, expected.to_numpy().tolist(), strict=True)}
    by_kind = issues.groupby("kind")["example"].agg(["size", "nunique"])
    for kind, figures in facts["kinds"].items():
        assert (figures["findings"], figures["examples"]) == tuple(by_kind.loc[kind])
        assert sum(figures["scores"]) == figures["findings"]
    assert set(facts["kinds"]) == set(by_kind.index)


def test_worst_findings_come_first_each_with_its_picture(digits_run: Path):
    worst = to_dict(digits_run)["findings"]["worst"]
    kinds = list(dict.fromkeys(finding["kind"] for finding in worst))
    assert kinds == ["label", "duplicate", "unreadable"]
    assert worst == sorted(worst, key=lambda finding: (kinds.index(finding["kind"]), -finding["score"]))
    assert all(finding["item"]["data"].startswith("data:image/png;base64,") for finding in worst)
    lost = next(finding for finding in worst if finding["kind"] == "unreadable")
    assert lost["task"] is None
    assert lost["given"] is None


def test_confusion_matrix_holds_every_suggestion_once(digits_run: Path):
    issues = pd.read_parquet(digits_run / "issues.parquet").dropna(subset=["given", "suggested"])
    for task, confusion in to_dict(digits_run)["confusion"].items():
        rows = issues[issues["task"] == task]
        table = pd.crosstab(rows["given"], rows["suggested"])
        names = confusion["classes"]
        expected = table.reindex(index=names, columns=names, fill_value=0).to_numpy()
        assert (np.array(confusion["matrix"]) == expected).all()
        assert confusion["total"] == len(rows)
        top = confusion["pairs"][0]
        assert top["count"] == table.to_numpy().max() == table.loc[top["given"], top["suggested"]]
        assert len(confusion["pairs"]) == min(PAIRS, confusion["number_of_pairs"])


def test_data_is_what_labels_describe(digits_run: Path):
    table = read("digits")
    facts = to_dict(digits_run)
    holes = next(task for task in facts["data"]["tasks"] if task["name"] == "holes")
    assert holes == next(task for task in describe(table)["tasks"] if task["name"] == "holes")
    assert facts["glance"]["rows"] == len(table)
    assert facts["glance"]["imbalance"] == {"task": "holes", "factor": holes["imbalance_factor"]}


def test_out_of_fold_accuracy_is_the_share_of_labels_that_the_best_class_agrees_with(digits_run: Path):
    facts = to_dict(digits_run)["cross_fit"]["tasks"]["digit"]
    labels = pd.read_parquet(digits_run / "labels.parquet")["digit"].astype(int)
    best = np.load(digits_run / "probabilities" / "digit.npy")[0].argmax(1)
    assert facts["scores"]["accuracy"]["value"] == pytest.approx((labels == best).mean())
    assert facts["scores"]["n"] == sum(point["count"] for point in facts["reliability"]) == len(labels)


def test_models_keep_their_scores_and_name_their_classes(digits_run: Path):
    raw, corrected = to_dict(digits_run)["models"]
    assert (raw["name"], corrected["name"]) == ("raw", "corrected")
    measured = read_json(digits_run / "raw" / "metrics.json")["tasks"]["digit"]["test"]
    digit = raw["tasks"]["digit"]
    assert digit["split"] == "test"
    assert digit["scores"] == {key: value for key, value in measured.items() if key != "per_class"}
    assert [row["class"] for row in digit["per_class"]] == list("0123456789")
    assert sum(row["support"] for row in digit["per_class"]) == measured["n"]
    assert sum(point["count"] for point in digit["reliability"]) == measured["n"]
    history = pd.DataFrame(read_json(digits_run / "raw" / "history.json"))
    assert raw["best_epoch"] == history["epoch"][history["validation_loss"].idxmin()]
    assert raw["experts"]["chosen"] == {"digit": [0, 1], "holes": [1, 2]}
    assert [row["epoch"] for row in raw["experts"]["training"]] == list(range(1, 13))
    assert raw["experts"]["overlap"] == [[1, 1 / 3], [1 / 3, 1]]
    assert raw["experts"]["tree"] is None  # of two tasks there is nothing to tell
    assert "gates" not in raw["history"][0]
    assert raw["not_shown"] == []


def test_headline_sets_raw_beside_corrected(digits_run: Path):
    facts = to_dict(digits_run)
    headline = facts["glance"]["headline"]
    values = {row["model"]: row["value"] for row in facts["glance"]["accuracy"] if row["task"] == "digit"}
    assert (headline["before"]["value"], headline["after"]["value"]) == (values["raw"], values["corrected"])


def test_what_comes_first_names_the_numbers(digits_run: Path):
    facts = to_dict(digits_run)
    sentences = [line["text"] for line in facts["glance"]["first"]]
    top = facts["confusion"]["digit"]["pairs"][0]
    wrong = next(c for c in facts["findings"]["counts"] if (c["kind"], c["task"]) == ("label", "digit"))["examples"]
    start = f"{wrong} labels of digit may be wrong; most often “{top['given']}” is likely “{top['suggested']}”"
    assert sentences[0].startswith(start)
    assert "Rows that equal, or almost equal, one with another label: 6." in sentences


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("describe.json", "data"),
        ("columns.json", "columns"),
        ("issues.parquet", "findings"),
        ("metrics.json", "figures"),
        ("notes.json", "notes"),
        ("config.yaml", "settings"),
    ],
)
def test_a_broken_file_takes_only_its_own_part(run: Path, name: str, part: str):
    whole = to_dict(run)
    (run / name).write_bytes(b"\x00[{ broken: \xff")
    facts = to_dict(run)
    assert name in reasons(facts)[part]
    broken = {reason["part"] for reason in facts["not_shown"] if reason["broken"]}
    assert part in broken
    assert facts["models"] == whole["models"]
    if part not in ("findings", "data"):
        assert facts["findings"] == whole["findings"]


@pytest.mark.parametrize(
    ("name", "part"),
    [("describe.json", "data"), ("columns.json", "columns"), ("issues.parquet", "findings"), ("notes.json", "notes")],
)
def test_a_missing_file_is_told_calmly(run: Path, name: str, part: str):
    (run / name).unlink()
    facts = to_dict(run)
    assert facts[part] is None
    reason = next(reason for reason in facts["not_shown"] if reason["part"] == part)
    assert reason == {"part": part, "why": f"this run has no {name}", "broken": False}


@pytest.mark.parametrize("name", ["metrics.json", "history.json", "predictions.parquet", "config.yaml"])
def test_a_broken_model_file_takes_only_its_own_part(run: Path, name: str):
    (run / "raw" / name).write_bytes(b"\x00[{ broken: \xff")
    raw, corrected = to_dict(run)["models"]
    assert any(name in reason["why"] and reason["broken"] for reason in raw["not_shown"])
    assert corrected["not_shown"] == []
    assert (raw["history"] is None) == (name == "history.json")


def test_probabilities_that_do_not_fit_hide_that_task_alone(run: Path):
    np.save(run / "probabilities" / "holes.npy", np.ones((1, 3, 3)))
    facts = to_dict(run)["cross_fit"]
    assert list(facts["tasks"]) == ["digit"]
    assert facts["not_shown"][0]["part"] == "holes"


def test_what_is_not_a_run_folder_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not a run folder"):
        to_dict(tmp_path)


def test_a_run_of_a_model_alone(digits_run: Path):
    facts = to_dict(digits_run / "raw")
    assert [model["name"] for model in facts["models"]] == ["model"]
    assert facts["glance"]["headline"]["model"] == "model"
    assert facts["findings"] is None
    assert not any(reason["broken"] for reason in facts["not_shown"])


def test_a_run_without_findings(make_run):
    facts = to_dict(make_run(("a", "b"), np.array([0, 1, 1]), 0))
    assert facts["findings"]["total"] == 0
    assert facts["findings"]["worst"] == []
    assert facts["confusion"] == {}
    assert facts["glance"]["flagged"] == {"findings": 0, "examples": 0, "share": 0.0, "by_kind": {}}


def test_no_kind_of_finding_is_crowded_out(make_run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(findings, "WORST", 2_000)
    run = make_run(("a", "b", "c"), np.arange(12_000) % 3, 10_000)
    facts = to_dict(run)["findings"]
    kept = Counter(finding["kind"] for finding in facts["worst"])
    assert facts["total"] == 10_000
    assert kept == {"label": 1_800, "near_duplicate": 200}


def test_many_classes_give_pairs_without_a_matrix(make_run):
    classes = tuple(f"class {i}" for i in range(139))
    confusion = to_dict(make_run(classes, np.arange(500) % 139, 300))["confusion"]["kind <b>"]
    assert confusion["matrix"] is None
    assert confusion["number_of_pairs"] == 139


def test_rare_classes_missing_labels_and_skew_are_worth_a_sentence(make_run):
    codes = np.concatenate([np.zeros(500, int), [1], np.full(60, -1)])
    texts = [line["text"] for line in to_dict(make_run(("a", "b"), codes, 0))["glance"]["first"]]
    assert any(text.startswith("1 of 2 classes") for text in texts)
    assert any("500 times the smallest" in text for text in texts)
    assert any(text.startswith("60 rows have no label") for text in texts)


def test_values_that_json_or_utf8_cannot_hold_are_replaced(run: Path):
    (run / "describe.json").write_text(
        json.dumps(read_json(run / "describe.json") | {"source": "a\ud800\x01", "rows": float("nan")})
    )
    write_json(run / "notes.json", ["tab\tstays"])
    facts = to_dict(run)
    assert facts["data"]["source"] == "a\ufffd\ufffd"
    assert facts["data"]["rows"] is None
    assert facts["notes"] == ["tab\tstays"]


def test_figures_of_the_whole_run_are_kept(run: Path):
    RunFolder(run).add_metrics(demo={"audit": {"planted": 10, "found": 9, "hit_rate": 0.9, "precision": 0.8}})
    facts = to_dict(run)
    assert facts["glance"]["planted"]["hit_rate"] == 0.9
    assert facts["glance"]["estimated_error_rate"] == {"digit": 0.05, "holes": 0.05}


def test_tasks_are_joined_by_what_they_share(run: Path):
    path = run / "raw" / "metrics.json"
    metrics = read_json(path)
    share = [[1, 0.2, 0.8], [0.2, 1, 0.4], [0.8, 0.4, 1]]
    tasks = ("digit", "holes", "third")
    metrics["experts"] |= {
        "tasks": {task: [0.5, 0.5, 0, 0] for task in tasks},
        "overlap": dict(zip(tasks, share, strict=True)),
    }
    write_json(path, metrics)
    (run / "raw" / "history.json").unlink()
    tree = to_dict(run)["models"][0]["experts"]["tree"]
    assert tree["merges"] == [[0, 2, pytest.approx(0.2)], [1, 3, pytest.approx(0.7)]]  # 0.7: the mean of 0.8 and 0.6
    assert sorted(tree["order"]) == [0, 1, 2]


def test_a_folder_of_before_overlaps_were_kept_shows_its_weights(run: Path):
    path = run / "raw" / "metrics.json"
    metrics = read_json(path)
    metrics["experts"] = {"tasks": metrics["experts"]["tasks"]}
    write_json(path, metrics)
    experts = to_dict(run)["models"][0]["experts"]
    assert experts["tree"] is None
    assert experts["notes"] == []


def test_gates_that_do_not_fit_the_experts_hide_that_part_alone(run: Path):
    path = run / "raw" / "history.json"
    history = read_json(path)
    history[3]["gates"]["load"]["digit"] = [1.0]
    write_json(path, history)
    raw = to_dict(run)["models"][0]
    assert raw["experts"] is None
    assert raw["history"] is not None
    assert "epoch 4" in raw["not_shown"][0]["why"]
