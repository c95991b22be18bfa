import json
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.audit import apply_corrections, export_corrected, findings, run_audit
from labelwise.audit import corrected as by_findings_alone
from labelwise.audit.reopen import finished
from labelwise.bench.mock_runs import make_run, say
from labelwise.labels import read
from labelwise.review.database import open_database
from labelwise.review.deciding import require
from labelwise.review.exporting import apply_verdicts, corrected, current_user, export, reviewed
from labelwise.review.filling import fill
from labelwise.review.people import events
from labelwise.review.schema import question
from labelwise.review.verdicts import record, undo

FOUND = [
    say(0, "animal", "label", 0.9, "cat", "dog"),
    say(1, "animal", "label", 0.8, "dog", "yak"),
    say(2, "animal", "label", 0.7, "owl", None),
    say(3, "animal", "label", 0.6, "yak", "owl"),
    say(4, "animal", "label", 0.5, "cat", "owl"),
    say(4, "family", "taxonomy", 0.4, "mammal", "bird"),
    say(5, None, "unreadable", 1.0, None, None),
    say(6, None, "unreadable", 1.0, None, None),
    say(8, "animal", "label", 0.5, "cat", "yak"),
    say(9, "animal", "label", 0.5, "dog", "owl"),
    say(10, None, "outlier", 0.5, None, None),
    say(11, "animal", "label", 0.5, "yak", "owl"),
]


@pytest.fixture
def review(tmp_path, url):
    run = make_run(tmp_path / "run", rows=16, findings=FOUND)
    with open_database(run, url) as opened:
        fill(opened, sample=3)
        yield opened


def ask(database, row, task="animal"):
    wanted = sa.select(question.c.id).where(question.c.item_id == row, question.c.task == task)
    return database.read(lambda connection: connection.execute(wanted).scalar_one())


def exported(database, url, tmp_path, **options):
    changed = export(database.run, tmp_path / "out.parquet", tmp_path / "diff.parquet", url, **options)
    labels = pd.read_parquet(tmp_path / "out.parquet")
    return labels.astype(object).where(labels.notna(), None), pd.read_parquet(tmp_path / "diff.parquet"), changed


def decide_all_kinds(database):
    record(database, "ada", ask(database, 0), "take", note="a dog, see the ears")
    record(database, "ada", ask(database, 1), "keep")
    record(database, "ada", ask(database, 2), "choose", ["yak"])
    record(database, "ada", ask(database, 3), "several", ["yak", "cat"])
    record(database, "ada", ask(database, 4), "unsure")
    record(database, "ada", ask(database, 5, ""), "keep")
    record(database, "ada", ask(database, 8), "new_class", ["gnu"], at=86_400.0)
    record(database, "ada", ask(database, 10, ""), "spoiled", note="blurred")


def test_each_decision_means_what_it_says(review, url, tmp_path):
    decide_all_kinds(review)
    labels, diff, changed = exported(review, url, tmp_path, only_verdicts=True, who="ada")
    assert labels["id"].tolist() == [f"row {row}" for row in range(16)]
    animal, family = labels["animal"].tolist(), labels["family"].tolist()
    assert animal[:5] == ["dog", "dog", "yak", None, None]
    assert family[:5] == ["mammal", "mammal", "mammal", "mammal", "mammal"]  # row 2 was an owl, and so a bird
    assert (animal[8], family[8]) == ("gnu", "mammal")  # no row says what family a gnu has
    assert (animal[10], family[10]) == (None, None)
    same = [row for row in range(16) if row not in (0, 2, 3, 4, 8, 10)]
    assert [animal[row] for row in same] == labels["given_animal"][same].tolist()
    assert [row for row, names in enumerate(labels["several_animal"]) if names is not None] == [3]
    assert labels["several_animal"][3].tolist() == ["cat", "yak"]
    assert changed == {"animal": {"relabelled": 3, "removed": 3}, "family": {"relabelled": 1, "removed": 1}}

    rows = diff.astype(object).where(diff.notna(), None).to_dict("records")
    assert [(row["id"], row["task"]) for row in rows] == [
        ("row 0", "animal"),
        ("row 2", "animal"),
        ("row 2", "family"),
        ("row 3", "animal"),
        ("row 4", "animal"),
        ("row 8", "animal"),
        ("row 10", "animal"),
        ("row 10", "family"),
    ]
    assert rows[0] | {"when": None} == {
        "id": "row 0",
        "task": "animal",
        "given": "cat",
        "corrected": "dog",
        "action": "label",
        "who": "ada",
        "when": None,
        "why": "a dog, see the ears",
    }
    assert datetime.fromisoformat(rows[0]["when"]).utcoffset().total_seconds() == 0
    assert rows[5]["when"] == "1970-01-02T00:00:00+00:00"
    assert (rows[2]["action"], rows[2]["why"]) == ("parent", "animal is 'yak'")
    assert (rows[3]["action"], json.loads(rows[3]["corrected"])) == ("several", ["cat", "yak"])
    assert [(row["corrected"], row["action"], row["why"]) for row in rows[6:]] == [(None, "spoiled", "blurred")] * 2

    (event,) = [each for each in events(review) if each.what == "export"]
    assert (event.who, event.detail["only_verdicts"]) == ("ada", True)


def test_what_nobody_decided_follows_the_findings(review, url, tmp_path):
    decide_all_kinds(review)
    labels, diff, _ = exported(review, url, tmp_path)
    animal, family = labels["animal"].tolist(), labels["family"].tolist()
    assert animal[:5] == ["dog", "dog", "yak", None, None]  # decided
    assert family[4] == "bird"  # by its own finding
    assert (animal[5], family[5]) == ("dog", "mammal")  # said to be no less readable than others
    assert (animal[6], family[6]) == (None, None)
    assert (animal[9], family[9]) == ("owl", "bird")
    why = {(row.id, row.task): (row.action, row.who, row.why) for row in diff.itertuples()}
    assert why["row 9", "animal"] == ("label", "audit", "label in row 9")
    assert why["row 9", "family"][0] == "parent"
    assert why["row 6", "family"] == ("unreadable", "audit", "unreadable in row 6")
    assert why["row 4", "family"] == ("taxonomy", "audit", "taxonomy in row 4")
    assert why["row 4", "animal"][0] == "unsure"


def test_without_verdicts_an_export_is_that_of_the_findings(review, url, tmp_path):
    changed = export(review.run, tmp_path / "a.csv", url=url)
    assert changed == export_corrected(review.run, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert export(review.run, tmp_path / "a.csv", url=url, only_verdicts=True)["animal"]["relabelled"] == 0


def test_only_what_is_decided_counts(review, url, tmp_path):
    record(review, "ada", ask(review, 0), "choose", ["owl"])
    record(review, "bo", ask(review, 0), "choose", ["yak"])  # a conflict
    record(review, "ada", ask(review, 1), "choose", ["owl"])
    record(review, "ada", ask(review, 2), "choose", ["cat"])
    undo(review, "ada")
    record(review, "ada", ask(review, 3), "skip")
    record(review, "ada", ask(review, 6, ""), "unsure")
    labels = exported(review, url, tmp_path)[0]
    assert labels["animal"][:4].tolist() == ["dog", "owl", None, "owl"]
    assert labels["animal"][6] is None
    require(review, 2)
    assert exported(review, url, tmp_path, only_verdicts=True)[0]["animal"][:4].tolist() == ["cat", "dog", "owl", "yak"]


def test_a_parent_that_was_decided_on_does_not_follow(review, url, tmp_path):
    record(review, "ada", ask(review, 4), "choose", ["owl"])
    record(review, "ada", ask(review, 4, "family"), "keep")
    labels = exported(review, url, tmp_path)[0]
    assert (labels["animal"][4], labels["family"][4]) == ("owl", "mammal")


def test_csv_holds_several_classes_as_json(review, url, tmp_path):
    record(review, "ada", ask(review, 3), "several", ["yak", "cat"])
    export(review.run, tmp_path / "out.csv", tmp_path / "diff.csv", url)
    assert json.loads(pd.read_csv(tmp_path / "out.csv")["several_animal"][3]) == ["cat", "yak"]
    assert list(pd.read_csv(tmp_path / "diff.csv")) == [
        "id",
        "task",
        "given",
        "corrected",
        "action",
        "who",
        "when",
        "why",
    ]


def test_what_cannot_be_exported_is_told_before_anything_is_written(review, url, tmp_path):
    with pytest.raises(ValueError, match=r"as \.parquet or \.csv; got 'diff\.xlsx'"):
        export(review.run, tmp_path / "out.csv", tmp_path / "diff.xlsx", url)
    bare = make_run(tmp_path / "bare")
    with pytest.raises(FileNotFoundError, match="there is no review"):
        export(bare, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    assert not (bare / "review.sqlite").exists()


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.sampled_from(["keep", "take", "cat", "dog", "owl", "yak", "unsure"])),
        max_size=12,
    )
)
def test_verdicts_that_repeat_the_findings_change_nothing_and_the_last_word_counts(tmp_path_factory, said):
    run = make_run(tmp_path_factory.mktemp("law") / "run", rows=12, findings=FOUND)
    table = finished(run)[1]
    with open_database(run) as database:
        fill(database, sample=12)
        wanted = {}
        for row, answer in said:
            try:
                number = ask(database, row)
            except sa.exc.NoResultFound:
                continue
            if answer == "take" and row not in (0, 1, 3, 4, 8, 9, 11):
                continue
            record(database, "ada", number, *(("choose", [answer]) if len(answer) == 3 else (answer,)))
            wanted[row] = answer
        labels = apply_verdicts(run, table, reviewed(run), only_verdicts=True).data["animal"].to_pylist()
        before = table.data["animal"].to_pylist()
        taken = {0: "dog", 1: "yak", 3: "owl", 4: "owl", 8: "yak", 9: "owl", 11: "owl"}
        for row in range(12):
            answer = wanted.get(row, "keep")
            assert labels[row] == {"keep": before[row], "take": taken.get(row), "unsure": None}.get(answer, answer)
        for row in taken:
            record(database, "ada", ask(database, row), "take")
        alone = apply_corrections(table, findings.read(run / "issues.parquet")).labels("animal")
        if not set(wanted) & {2, 5, 6, 7, 10}:
            assert (apply_verdicts(run, table, reviewed(run)).labels("animal") == alone).all()


def test_corrected_reads_the_source_again_with_its_features(tmp_path):
    names = np.array(["cat", "dog"])[np.arange(40) % 2]
    path = tmp_path / "pets.csv"
    pd.DataFrame({"weight": np.arange(40.0), "pet": names}).to_csv(path, index=False)
    likely = np.where((np.arange(40) % 2)[:, None] == [0, 1], 0.9, 0.1)
    likely[[4, 9]] = likely[[9, 4]]
    run = run_audit(read(path, "pet"), run=tmp_path / "run", probabilities=likely, quiet=True).run
    with open_database(run) as database:
        fill(database)
        record(database, "ada", ask(database, 4, "pet"), "keep")
        record(database, "ada", ask(database, 9, "pet"), "new_class", ["fox"])
    table = corrected(run)
    assert table.feature_names == ["weight"]
    assert table.task("pet").classes == ("cat", "dog", "fox")
    assert table.data["pet"].to_pylist()[4:10] == ["cat", "dog", "cat", "dog", "cat", "fox"]
    assert by_findings_alone(run).data["pet"].to_pylist()[4] == "dog"
    path.write_text(path.read_text().replace("0.0,cat", "0.0,dog"))
    with pytest.raises(ValueError, match="have changed since the audit"):
        corrected(run)


def test_the_user_of_this_machine_has_some_name(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert current_user()
