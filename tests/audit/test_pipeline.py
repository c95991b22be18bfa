import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import labelwise
from labelwise.audit import apply_corrections
from labelwise.audit.findings import COLUMNS
from labelwise.labels import LabelTable, Task, bundled, plant, read
from labelwise.runs import RunFolder, read_json

FILES = {
    "associations.json",
    "columns.json",
    "config.yaml",
    "data_issues.json",
    "describe.json",
    "issues.parquet",
    "items.parquet",
    "labels.parquet",
    "metrics.json",
    "neighbours.parquet",
    "notes.json",
    "probabilities",
    "unusual.json",
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "cache"))


def audit(table, **settings):
    return labelwise.audit(table, **{"jobs": 1, "quiet": True, "models": LogisticRegression(), "folds": 5} | settings)


def notes(run: Path) -> list[str]:
    """What the audit noted, but for that one model was asked, which holds for nearly all here."""
    return [note for note in read_json(run / "notes.json") if not note.startswith("One model alone")]


def make(n: int = 120, **roles) -> LabelTable:
    """Three well separated classes in two linked tasks; row 0 has a wrong class, row 1 a wrong parent."""
    generator = np.random.default_rng(0)
    codes = np.arange(n) % 3
    columns = {f"x{i}": 4 * (codes == i) + generator.standard_normal(n) for i in range(3)}
    fine, coarse = codes.copy(), (codes == 2).astype(int)
    fine[0], coarse[0], coarse[1] = 2, 1, 1
    tasks = [Task("fine", "single", ("a", "b", "c"), parent="coarse"), Task("coarse", "single", ("ab", "c"))]
    return LabelTable.from_columns(columns | {"fine": fine, "coarse": coarse}, tasks, **roles)


def test_everything_is_found_and_written():
    table = make(source="some/birds.csv")
    findings, run = audit(table)
    assert run.parent == Path("runs")
    assert run.name.startswith("birds-")
    assert {path.name for path in run.iterdir()} == FILES
    assert list(findings.columns) == COLUMNS
    wrong = findings[(findings["kind"] == "label") & (findings["task"] == "fine")]
    assert wrong[["example", "given", "suggested"]].to_numpy().tolist()[0] == [0, "c", "a"]
    clash = findings[findings["kind"] == "taxonomy"]
    assert clash[["example", "task", "given", "suggested"]].to_numpy().tolist() == [[1, "coarse", "c", "ab"]]
    corrected = apply_corrections(table, findings)
    assert corrected.labels("fine")[:3].tolist() == [0, 1, 2]
    assert corrected.labels("coarse")[:3].tolist() == [0, 0, 1]

    config = RunFolder(run).config
    assert (config["source"], config["labels"]) == ("some/birds.csv", ["fine", "coarse"])
    assert (config["parents"], config["folds"], config["repeats"], config["seed"]) == ({"fine": "coarse"}, 5, 1, 0)
    stored = pd.read_parquet(run / "issues.parquet")
    assert list(stored.columns) == [*COLUMNS, "id"]
    assert stored["id"].tolist() == findings["example"].astype(str).tolist()
    assert set(pd.read_parquet(run / "items.parquet")["example"]) == set(findings["example"])
    labels = pd.read_parquet(run / "labels.parquet")
    assert labels.loc[0].tolist() == ["0", "c", "c"]
    assert np.load(run / "probabilities" / "fine.npy").shape == (1, 120, 3)
    measured = read_json(run / "metrics.json")["audit"]
    assert measured["flagged"] == findings["example"].nunique()
    assert measured["by_kind"] == findings["kind"].value_counts().to_dict()
    fine = measured["tasks"]["fine"]
    assert set(fine) == {
        "flagged",
        "estimated_error_rate",
        "estimated_error_interval",
        "accuracy_out_of_sample",
    }
    low, high = fine["estimated_error_interval"]
    assert low <= fine["estimated_error_rate"] <= high
    assert read_json(run / "describe.json")["rows"] == 120
    assert notes(run) == []


def test_kinds_that_a_person_gave_change_the_statistics():
    table = make()
    table = LabelTable(table.data.append_column("zip", pa.array([8000 + i % 7 for i in range(120)])), table.tasks)
    run = audit(table).run
    assert read_json(run / "columns.json")["columns"]["zip"]["kind"] == "discrete"
    told = audit(table, kinds={"zip": "identifier"}).run
    assert told != run
    assert read_json(told / "columns.json")["columns"]["zip"]["kind"] == "identifier"
    assert read_json(told / "associations.json")["left_out"]["zip"] == "it holds identifier values"
    with pytest.raises(ValueError, match="no column 'zap'"):
        audit(table, kinds={"zap": "identifier"})


def test_a_table_too_small_to_model_says_so():
    run = audit(make(30)).run
    assert read_json(run / "unusual.json")["why_not"].startswith("a model of the rows needs 50 rows")


def test_a_finished_run_is_read_back():
    first = audit(make())
    written = {path: path.stat().st_mtime_ns for path in first.run.rglob("*")}
    again = audit(make())
    assert again.run == first.run
    pd.testing.assert_frame_equal(again.findings, first.findings)
    assert {path: path.stat().st_mtime_ns for path in first.run.rglob("*")} == written


def test_other_settings_or_data_are_another_run():
    first = audit(make())
    assert audit(make(), seed=1).run != first.run
    assert audit(make(), models=LogisticRegression(C=2.0)).run != first.run
    changed = make().with_labels("fine", np.arange(120) % 3)
    assert audit(changed).run != first.run
    with pytest.raises(ValueError, match=r"table \(or the probabilities.*has changed since the run in .* was started"):
        audit(changed, run=first.run)
    with pytest.raises(ValueError, match=r"other settings .*seed: 0 there, 1 asked"):
        audit(make(), run=first.run, seed=1)


def test_groups_ids_splits_and_further_settings_are_kept():
    table = make()
    data = table.data.append_column("slide", pa.array([f"s{i // 6}" for i in range(120)]))
    data = data.append_column("part", pa.array(["train"] * 100 + ["test"] * 20))
    data = data.append_column("name", pa.array([f"n{i}" for i in range(120)]))
    table = LabelTable(data, table.tasks, "slide", "part", "name")
    findings, run = audit(table, settings={"command": "audit birds"})
    labels = pd.read_parquet(run / "labels.parquet")
    assert list(labels.columns) == ["id", "group", "split", "fine", "coarse"]
    assert labels.loc[100].tolist()[:3] == ["n100", "s16", "test"]
    assert pd.read_parquet(run / "issues.parquet")["id"].tolist() == [f"n{i}" for i in findings["example"]]
    assert RunFolder(run).config["command"] == "audit birds"
    assert read_json(run / "describe.json")["groups"]["number"] == 20


def test_given_probabilities_and_embeddings_take_the_place_of_models():
    table = make()
    sure = np.eye(3)[np.arange(120) % 3] * 0.9 + 0.1 / 3
    one = LabelTable(table.data.select(["fine"]), (Task("fine", "single", ("a", "b", "c")),))
    findings, run = audit(one, probabilities=sure, models=None)
    assert findings[["example", "suggested"]].to_numpy().tolist() == [[0, "a"]]
    assert "needs features" in notes(run)[0]
    np.testing.assert_array_equal(np.load(run / "probabilities" / "fine.npy"), sure[None].astype(np.float32))

    embeddings = np.stack([table.data[f"x{i}"].to_numpy() for i in range(3)], axis=1)
    found, run = audit(one, embeddings=embeddings)
    assert found.loc[0, ["example", "suggested"]].tolist() == [0, "a"]
    assert not notes(run)
    with pytest.raises(ValueError, match="row 3 holds nan"):
        audit(one, embeddings=np.where(np.arange(120)[:, None] == 3, np.nan, embeddings))
    with pytest.raises(ValueError, match="each of the 120 rows of table; got 119 x 3"):
        audit(one, probabilities=sure[1:])
    both, _ = audit(table, probabilities={"fine": sure})
    assert 0 in both.loc[both["task"] == "fine", "example"].tolist()


def test_in_sample_probabilities_are_noted():
    codes = np.arange(300) % 3
    table = LabelTable.from_columns({"y": codes}, [Task("y", "single", ("a", "b", "c"))])
    with pytest.warns(UserWarning, match="look in-sample"):
        _, run = audit(table, probabilities=np.eye(3)[codes])
    assert any("look in-sample" in note for note in read_json(run / "notes.json"))


def test_weak_models_are_noted():
    random = make().with_labels("fine", np.random.default_rng(0).integers(0, 3, 120))
    _, run = audit(random)
    assert any("The models predict only" in note and "'fine'" in note for note in read_json(run / "notes.json"))


def test_labels_alone_tell_contradictions():
    findings, run = audit(make(), labels_only=True)
    assert findings["kind"].unique().tolist() == ["taxonomy"]
    assert "Only labels were looked at" in read_json(run / "notes.json")[0]
    assert read_json(run / "metrics.json")["audit"]["tasks"] == {}
    without = LabelTable(make().data.select(["fine", "coarse"]), make().tasks)
    with pytest.warns(UserWarning, match="no feature columns"):
        findings, run = audit(without)
    assert findings["kind"].unique().tolist() == ["taxonomy"]
    assert any("no feature columns" in note for note in read_json(run / "notes.json"))


def test_what_cannot_be_learned_is_refused_or_noted():
    table = make()
    with pytest.raises(ValueError, match="table has no task; name the columns"):
        audit(table.with_tasks([]))
    with pytest.raises(ValueError, match="has no rows"):
        audit(table.select([]))
    for codes, message in ((np.zeros(120, int), "holds only one class, 'a'"), (np.full(120, -1), "no label at all")):
        changed = table.with_labels("fine", codes)
        with pytest.raises(ValueError, match=message):
            audit(changed.with_tasks([Task("fine", "single", ("a", "b", "c"))]))
        findings, run = audit(changed)
        assert any(message in note for note in read_json(run / "notes.json"))
        assert "coarse" in read_json(run / "metrics.json")["audit"]["tasks"]
        assert set(findings.loc[findings["kind"] == "label", "task"]) <= {"coarse"}


def test_numbers_alone_are_described_or_refused_before_there_is_a_folder(tmp_path):
    table = LabelTable.from_columns({"y": np.arange(30.0), "x": np.arange(30.0)}, [Task("y", kind="real")])
    with pytest.raises(ValueError, match=r"'y' is of kind 'real'. An audit of labels alone \(--labels-only\)"):
        audit(table, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    findings, run = audit(table, run=tmp_path / "run", labels_only=True)
    assert len(findings) == 0
    assert any(note.startswith("Wrong labels of 'y' were not looked for") for note in notes(run))


def test_an_empty_class_and_tiny_classes_survive():
    table = make()
    codes = table.labels("fine").copy()
    codes[5], codes[6] = 3, 4
    tasks = [Task("fine", "single", ("a", "b", "c", "rare", "also rare", "empty"))]
    columns = {name: table.data[name] for name in table.feature_names}
    findings, _ = audit(LabelTable.from_columns(columns | {"fine": codes}, tasks), models=None)
    assert not {5, 6} & set(findings["example"])
    assert 0 in findings["example"].tolist()


def test_duplicates_are_found_and_equal_ones_counted():
    table = make()
    rows = np.concatenate([np.arange(120), [10, 11]])
    double = table.select(rows)
    fine = double.labels("fine").copy()
    fine[120] = (fine[120] + 1) % 3
    findings, run = audit(double.with_labels("fine", fine))
    same = findings[(findings["kind"] == "duplicate") & (findings["task"] == "fine")]
    assert same[["example", "suggested"]].to_numpy().tolist() == [[120, "b"]]
    assert read_json(run / "metrics.json")["audit"]["repeated_rows_with_equal_labels"] == 1


def test_corrupt_and_blank_pictures_are_findings_and_the_run_goes_on(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            pixels = (level + generator.normal(0, 20, (12, 12))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i:02}.png")
    broken = tmp_path / "pictures" / "dark" / "07.png"
    broken.write_bytes(broken.read_bytes()[:60])
    Image.new("L", (12, 12), 40).save(tmp_path / "pictures" / "dark" / "11.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = read(tmp_path / "pictures", quiet=True)
    findings, run = audit(table, models=None)
    unreadable = findings[findings["kind"] == "unreadable"]
    assert unreadable["task"].tolist() == [None, None]
    row, blank = unreadable["example"]
    assert "07.png" in table.ids[row]
    assert "11.png" in table.ids[blank]
    assert unreadable["why"].tolist()[1] == "one colour throughout"
    assert not findings.loc[findings["kind"] != "unreadable", "example"].isin([row, blank]).any()
    assert apply_corrections(table, findings).labels()[[row, blank]].tolist() == [-1, -1]
    shown = pd.read_parquet(run / "items.parquet").set_index("example")["kind"]
    assert (shown[row], shown[blank]) == ("row", "image")


def test_outliers_are_findings_and_what_is_wrong_with_columns_and_classes_is_kept_beside():
    table = make()
    codes = table.labels("fine")
    columns = {name: table.data[name].to_numpy().copy() for name in table.feature_names}
    columns["x0"][7] = 300
    columns["file"] = np.argsort(np.argsort(codes, kind="stable"))
    table = LabelTable.from_columns(columns | {"fine": codes}, [Task("fine", "single", ("a", "b", "c"))])
    findings, run = audit(table)
    assert findings.loc[findings["kind"] == "outlier", "example"].tolist() == [7]
    assert apply_corrections(table, findings[findings["kind"] == "outlier"]).labels().tolist() == codes.tolist()
    (leak,) = [each for each in read_json(run / "data_issues.json") if each["kind"] == "leak"]
    assert (leak["task"], leak["subject"]) == ("fine", "file")
    assert read_json(run / "metrics.json")["audit"]["data_issues"]["leak"] == 1


def test_annotators_are_checked_before_anything_is_computed(tmp_path):
    with pytest.raises(ValueError, match="at least two annotators"):
        audit(make(), annotators=["fine"], run=tmp_path / "run")
    with pytest.raises(ValueError, match="name one of the tasks fine, coarse; got 'ann'"):
        audit(make(), annotators=["fine", "ann"], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_model_alone_is_noted(tmp_path):
    labels = np.arange(90) % 3
    table = LabelTable.from_columns({"y": labels}, [Task("y", "single", ("a", "b", "c"))])
    one, two = (
        read_json(audit(table, run=tmp_path / str(n), probabilities=np.full((n, 90, 3), 1 / 3)).run / "notes.json")
        for n in (1, 2)
    )
    assert [note for note in one if note not in two] == [
        "One model alone judged the labels of 'y', so no vote of several was counted: its wrong labels are those of "
        "confident learning."
    ]


def test_beyond_the_most_rows_no_neighbours_are_looked_for_and_that_is_noted(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    table = LabelTable.from_columns({"y": np.arange(90) % 3}, [Task("y", "single", ("a", "b", "c"))])
    given = {"probabilities": generator.dirichlet(np.ones(3), 90), "embeddings": generator.standard_normal((90, 4))}
    assert (audit(table, run=tmp_path / "few", **given).run / "neighbours.parquet").exists()
    for module in ("pipeline", "further", "near_duplicates"):
        monkeypatch.setattr(f"labelwise.audit.{module}.MOST_ROWS", 80)
    run = audit(table, run=tmp_path / "many", **given).run
    assert not (run / "neighbours.parquet").exists()
    assert "Which rows the flagged ones are like was not looked for: that is done up to 80 rows." in read_json(
        run / "notes.json"
    )


def test_planted_errors_are_found():
    recipe = {"symmetric": 0.03, "pair": 0.03, "pseudo_class": 15, "spoil": 0.02}
    table, truth = plant(bundled("digits"), "digit", recipe, seed=0)
    findings, _ = audit(table, models=None, folds=5)
    planted, flagged = set(truth["example"]), set(findings["example"])
    assert len(planted & flagged) / len(planted) >= 0.88
    assert len(planted & flagged) / len(flagged) >= 0.8
    clean, given = bundled("digits").labels("digit"), table.labels("digit")
    corrected = apply_corrections(table, findings).labels("digit")
    kept = corrected >= 0
    assert (corrected != clean)[kept].sum() < 0.25 * (given != clean).sum()
    assert kept.mean() > 0.95


@pytest.mark.data
@pytest.mark.parametrize(("name", "flagged", "errors"), [("mnist", 15, 7), ("imdb", 1309, 725), ("20news", 95, 55)])
@pytest.mark.filterwarnings("ignore:.*rescaled")
def test_published_probabilities(data, name, flagged, errors):
    with np.load(data / "label-errors" / f"{name}_test.npz") as file:
        labels, probabilities = file["labels"].astype(int), file["pred_probs"]
    names = tuple(f"class {k}" for k in range(probabilities.shape[1]))
    table = LabelTable.from_columns({"y": labels}, [Task("y", "single", names)])
    findings, _ = audit(table, probabilities=probabilities)
    assert len(findings) == flagged
    with gzip.open(data / "label-errors" / f"{name}_verdicts.json.gz") as file:
        wrong = {item["id"] for item in json.load(file) if item["mturk"]["given"] < 3}
    assert len(wrong & set(findings["example"])) == errors


@pytest.mark.data
@pytest.mark.slow
def test_frog_calls(data):
    table = read(data / "frog-calls" / "frogs_mfcc.csv.gz", ["Family", "Genus", "Species"], group="RecordID")
    findings, run = audit(table)
    tasks = read_json(run / "metrics.json")["audit"]["tasks"]
    assert list(tasks) == ["Family", "Genus", "Species"]
    assert all(0.7 < each["accuracy_out_of_sample"] < 0.95 for each in tasks.values())
    assert not (findings["kind"] == "taxonomy").any()
