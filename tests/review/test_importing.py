import json
import shutil

import pytest

from labelwise.bench.mock_runs import make_run, say
from labelwise.review.database import open_database
from labelwise.review.deciding import answered
from labelwise.review.exporting import export
from labelwise.review.filling import fill
from labelwise.review.importing import import_verdicts
from labelwise.review.people import events
from labelwise.review.queue import Filter, page
from labelwise.review.schema import item, question, verdict
from labelwise.review.verdicts import record, undo

FOUND = [
    say(0, "animal", "label", 0.9, "cat", "dog"),
    say(1, "animal", "label", 0.8, "dog", None),
    say(2, "family", "taxonomy", 0.7, "bird", "mammal"),
    say(3, None, "outlier", 0.6, None, None),
]


@pytest.fixture
def review(tmp_path, url):
    with open_database(make_run(tmp_path / "run", rows=16, findings=FOUND), url) as opened:
        fill(opened, sample=0)
        yield opened


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def decided(database):
    return {(row["key"], row["task"]): (row["action"], row["classes"], row["reviewers"]) for row in answered(database)}


def verdicts(database):
    return database.rows(verdict.select().order_by(verdict.c.id))


def ask(database, row, task="animal"):
    (found,) = database.rows(question.select().where(question.c.item_id == row, question.c.task == task))
    return found.id


CSV = '''id,task,action,corrected,who,when,why
row 0,animal,take,,ada,2026-01-31T12:00:00Z,"a dog, ""surely"""
row 1,animal,keep,,bo,,
row 2,family,,mammal,ada,2026-01-31 13:00:00+02:00,
row 3,,spoiled,,ada,,blurred
row 4,animal,several,"[""cat"", ""yak""]",ada,,
row 5,animal,new_class,gnu,ada,,
row 6,animal,choose,gnu,bo,,
row 8,animal,unsure,,ada; bo,,
row 9,animal,label,dog,ada,,
'''


def test_csv(review, url, tmp_path):
    path = write(tmp_path / "said.csv", CSV)
    assert import_verdicts(review.run, path, url, who="cy") == (10, 0, 0, 0)
    assert decided(review) == {
        ("row 0", "animal"): ("label", ("dog",), ("ada",)),
        ("row 1", "animal"): ("label", ("dog",), ("bo",)),
        ("row 2", "family"): ("label", ("mammal",), ("ada",)),
        ("row 3", ""): ("spoiled", (), ("ada",)),
        ("row 4", "animal"): ("several", ("cat", "yak"), ("ada",)),
        ("row 5", "animal"): ("label", ("gnu",), ("ada",)),
        ("row 6", "animal"): ("label", ("gnu",), ("bo",)),
        ("row 8", "animal"): ("unsure", (), ("ada", "bo")),
        ("row 9", "animal"): ("label", ("dog",), ("ada",)),
    }
    first = next(row for row in answered(review) if row["key"] == "row 0")
    assert (first["at"], first["notes"]) == (1769860800.0, ('a dog, "surely"',))
    assert review.classes("animal")[-1] == "gnu"
    (event,) = [each for each in events(review) if each.what == "import"]
    assert (event.who, event.detail) == ("cy", {"source": "said.csv", "new": 10, "known": 0, "older": 0, "foreign": 0})


def test_what_nobody_was_asked_becomes_a_question_at_the_end(review, url, tmp_path):
    before = page(review, Filter(state="all"), 0, 100)
    import_verdicts(review.run, write(tmp_path / "said.csv", CSV), url)
    after = page(review, Filter(state="all"), 0, 100)
    assert [each.id for each in after[: len(before)]] == [each.id for each in before]
    assert {(each.key, each.task) for each in after[len(before) :]} == {(f"row {n}", "animal") for n in (4, 5, 6, 8, 9)}
    new = after[-1]
    assert (new.kinds, new.sampled, new.state, new.given) == ((), False, "decided", "dog")
    (held,) = review.rows(item.select().where(item.c.id == 9))
    assert held.labels == {"animal": "dog", "family": "mammal"}
    assert "row 9" in held.search
    record(review, "cy", new.id, "keep")  # as any other


def test_importing_twice_doubles_nothing(review, url, tmp_path):
    path = write(tmp_path / "said.csv", CSV + CSV.split("\n", 1)[1])
    assert import_verdicts(review.run, path, url, who="cy") == (10, 10, 0, 0)
    before = verdicts(review)
    assert import_verdicts(review.run, path, url, who="cy") == (0, 20, 0, 0)
    undo(review, "bo")
    assert import_verdicts(review.run, path, url, who="cy") == (0, 20, 0, 0)  # what was taken back stays so
    assert verdicts(review)[:-1] == before


def test_newer_words_of_the_same_person_stand(review, url, tmp_path):
    number = ask(review, 0)
    record(review, "ada", number, "keep", at=2e9)
    record(review, "bo", number, "keep", at=1e9)
    lines = "id,corrected,task,who,when\n"
    lines += "row 0,owl,animal,ada,2026-01-31\nrow 0,yak,animal,bo,2026-01-30\nrow 0,owl,animal,bo,2026-01-29\n"
    assert import_verdicts(review.run, write(tmp_path / "said.csv", lines), url) == (2, 0, 1, 0)
    said = {each.reviewer: each for each in verdicts(review)}
    assert (said["ada"].classes, said["bo"].classes) == (["cat"], ["yak"])


def test_keep_means_the_label_that_was_given_then(review, url, tmp_path):
    path = write(tmp_path / "said.csv", "id,task,given,action\nrow 0,animal,dog,keep\nrow 1,animal,dog,keep\n")
    import_verdicts(review.run, path, url)
    assert [each.action for each in verdicts(review)] == ["choose", "keep"]
    assert decided(review)["row 0", "animal"][1] == ("dog",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "should have the columns id, corrected or action"),
        ("id,corected\nrow 0,dog\n", "got id, corected"),
        ("task,action\nanimal,keep\n", "should have the columns"),
        ("id,action,task\nrow 0,keep\n", "line 2: should have 3 values"),
        ("id,action,task\nrow 0,keep,animal,x\n", "line 2: should have 3 values"),
        ("id,action,task\nrow 77,keep,animal\n", r"line 2, column id: 'row 77' is no example of this run.*'row 7'"),
        ("id,action,task\n,keep,animal\n", "line 2, column id: is empty"),
        ("id,action,task\n\nrow 0,keep,animl\n", r"line 3, column task: should be one of animal, family; got 'animl'"),
        ("id,action\nrow 0,take\n", "line 2, column task: should be one of animal, family; it is empty"),
        ("id,action,task\nrow 0,kep,animal\n", "line 2, column action: should be one of label, keep, .*; got 'kep'"),
        ("id,action,task\nrow 0,skip,animal\n", "column action"),
        ("id,action,task\nrow 0,choose,animal\n", "line 2, column corrected: needs a class"),
        ("id,action,task\nrow 1,take,animal\n", "line 2, column action: nothing is suggested here"),
        ("id,corrected,task\nrow 0,dgo,animal\n", "line 2, column corrected: 'dgo' is no class of 'animal'.*'dog'"),
        ("id,action,corrected,task\nrow 0,several,dog,animal\n", "column corrected: several classes are a JSON list"),
        ("id,corrected,task,when\nrow 0,dog,animal,yesterday\n", "column when: should be a time .*; got 'yesterday'"),
        ("id,corrected,task,who\nrow 0,dog,animal,a\tb\n", "column who: should be a printable name"),
        (f"id,corrected,task,why\nrow 0,dog,animal,{'x' * 2001}\n", "column why: a note has at most 2000"),
        ('id,corrected\nrow 0,"dog\n', "is not valid CSV"),
    ],
)
def test_csv_that_does_not_fit_is_told_with_its_place_and_nothing_is_kept(tmp_path, text, why):
    run = make_run(tmp_path / "run", rows=16, findings=FOUND)
    with pytest.raises(ValueError, match=r"said\.csv.*" + why):
        import_verdicts(run, write(tmp_path / "said.csv", text))
    with open_database(run) as database:
        assert not verdicts(database)


def test_other_files_are_refused(tmp_path):
    run = make_run(tmp_path / "run", findings=FOUND)
    with pytest.raises(ValueError, match=r"come from a \.csv, \.json or \.sqlite file or a database's URL; got"):
        import_verdicts(run, tmp_path / "said.xlsx")
    (tmp_path / "latin.csv").write_bytes(b"id,corrected\nrow 0,\xe9\n")
    with pytest.raises(ValueError, match=r"latin\.csv is not UTF-8 text"):
        import_verdicts(run, tmp_path / "latin.csv")
    with pytest.raises(FileNotFoundError):
        import_verdicts(run, tmp_path / "none.csv")


def test_one_task_need_not_be_named_and_an_ambiguous_id_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = make_run(tmp_path / "run", findings=FOUND[:2])
    described = json.loads((run / "describe.json").read_text())
    described["tasks"] = [described["tasks"][0] | {"parent": None}]
    (run / "describe.json").write_text(json.dumps(described))
    labels = pq.read_table(run / "labels.parquet").select(["id", "animal"])
    ids = labels["id"].to_pylist()
    ids[5] = "row 6"
    pq.write_table(labels.set_column(0, "id", pa.array(ids)), run / "labels.parquet")
    assert import_verdicts(run, write(tmp_path / "said.csv", "id,corrected\nrow 0,dog\n")).new == 1
    with pytest.raises(ValueError, match="'row 6' stands for several examples"):
        import_verdicts(run, write(tmp_path / "said.csv", "id,corrected\nrow 6,dog\n"))


def test_new_classes_come_in_if_one_says_so(review, url, tmp_path):
    path = write(tmp_path / "said.csv", "id,task,corrected\nrow 0,animal,gnu\nrow 1,animal,gnu\n")
    with pytest.raises(ValueError, match="'gnu' is no class"):
        import_verdicts(review.run, path, url)
    assert import_verdicts(review.run, path, url, new_classes=True).new == 2
    assert decided(review)["row 1", "animal"][1] == ("gnu",)


def test_a_diff_can_be_brought_back(review, url, tmp_path):
    import_verdicts(review.run, write(tmp_path / "said.csv", CSV), url)
    export(review.run, tmp_path / "out.csv", tmp_path / "diff.csv", url, only_verdicts=True)
    other = make_run(tmp_path / "other", rows=16, findings=FOUND)
    with pytest.raises(ValueError, match="'gnu' is no class"):
        import_verdicts(other, tmp_path / "diff.csv")
    import_verdicts(other, tmp_path / "diff.csv", new_classes=True)
    export(other, tmp_path / "again.csv", only_verdicts=True)
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "out.csv").read_text()


def annotation(*chosen, who=7, **facts):
    result = [{"from_name": name, "to_name": "x", "type": kind, "value": value} for name, kind, value in chosen]
    times = {"created_at": "2026-01-30T10:00:00.5Z", "updated_at": "2026-01-31T12:00:00Z"}
    return {"id": 1, "completed_by": who, "result": result, "was_cancelled": False} | times | facts


def choose(*names, control="animal"):
    return (control, "choices", {"choices": list(names)})


def entry(data, *said):
    return {"id": 1, "data": data, "annotations": said, "predictions": [{"result": [choose("yak")]}]}


def studio(path, *entries):
    return write(path, json.dumps(entries))


def test_label_studio(review, url, tmp_path):
    box = ("animal", "rectanglelabels", {"rectanglelabels": ["cat"], "x": 1})
    taxonomy = ("family", "taxonomy", {"taxonomy": [["alive", "bird"]]})
    bo = annotation(choose("cat"), who={"email": "bo@example.org"})
    path = studio(
        tmp_path / "export.json",
        entry({"id": "row 0", "text": "x"}, annotation(choose("dog"), taxonomy, box), bo),
        entry({"id": "row 1"}, annotation(choose("cat", "dog"), choose("very", control="mood"))),
        entry({"id": "row 2"}, annotation(choose("cat"), was_cancelled=True), annotation()),
    )
    assert import_verdicts(review.run, path, url) == (4, 0, 0, 0)
    assert decided(review) == {
        ("row 0", "animal"): (None, None, ("Label Studio user 7", "bo@example.org")),
        ("row 0", "family"): ("label", ("bird",), ("Label Studio user 7",)),
        ("row 1", "animal"): ("several", ("cat", "dog"), ("Label Studio user 7",)),
    }
    assert {each.created_at for each in verdicts(review)} == {1769860800.0}
    assert import_verdicts(review.run, path, url) == (0, 4, 0, 0)


def test_label_studio_finds_the_id_under_the_name_of_its_column(tmp_path):
    run = make_run(tmp_path / "run", rows=16, findings=FOUND, id="photo")
    path = studio(tmp_path / "export.json", entry({"photo": "row 3", "id": 99}, annotation(choose("owl"))))
    assert import_verdicts(run, path).new == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"id": 1}', r"should be a list of entries with `annotations`.*not as JSON-MIN"),
        ('[{"id": 1, "animal": "cat"}]', "should be a list of entries with `annotations`"),
        ("[", "is not valid JSON"),
        ('[{"annotations": [3], "data": {}}]', "is not as Label Studio exports JSON"),
        ([entry({"id": "row 0"}, {"result": [{"value": {"choices": ["cat"]}}]})], "KeyError"),
        ([entry({"text": "row 0"}, annotation(choose("dog")))], "entry 1: data should hold the id .*; it holds text"),
        ([entry({"id": "row 0"}, annotation(choose("dgo")))], "entry 1, column corrected: 'dgo' is no class"),
        ([entry({"id": "nobody"}, annotation(choose("dog")))], "entry 1, column id: 'nobody' is no example"),
        ([entry({"id": "row 0"}, annotation(choose("dog", control="tier")))], "the controls tier, of which none"),
        ([entry({"id": "row 0"}, annotation(choose("dog"), updated_at=5))], "column when"),
    ],
)
def test_json_that_does_not_fit_is_told_with_its_place(tmp_path, content, why):
    run = make_run(tmp_path / "run", rows=16, findings=FOUND)
    with pytest.raises(ValueError, match=r"export\.json.*" + why):
        import_verdicts(
            run, write(tmp_path / "export.json", content if isinstance(content, str) else json.dumps(content))
        )


def test_another_database(review, url, tmp_path):
    other = make_run(tmp_path / "other", rows=20, findings=[*FOUND, say(18, "animal", "label", 0.5, "owl", "dog")])
    with open_database(other) as theirs:
        fill(theirs, sample=3)
        record(theirs, "ada", ask(theirs, 0), "take", note="sure", at=1e9)
        record(theirs, "ada", ask(theirs, 1), "new_class", ["gnu"], at=1e9)
        record(theirs, "ada", ask(theirs, 2, "family"), "choose", ["mammal"])
        undo(theirs, "ada")
        record(theirs, "bo", ask(theirs, 3, ""), "spoiled", final=True)
        record(theirs, "bo", ask(theirs, 18), "keep")  # which this run has not
    assert import_verdicts(review.run, other / "review.sqlite", url) == (3, 0, 0, 1)
    assert decided(review) == {
        ("row 0", "animal"): ("label", ("dog",), ("ada",)),
        ("row 1", "animal"): ("label", ("gnu",), ("ada",)),
        ("row 3", ""): ("spoiled", (), ("bo",)),
    }
    assert [(each.note, each.final) for each in verdicts(review)] == [("sure", False), ("", False), ("", True)]
    assert import_verdicts(review.run, f"sqlite:///{other / 'review.sqlite'}", url) == (0, 3, 0, 1)
    # And back, where they come from: nothing is new there.
    back = f"sqlite:///{review.run / 'review.sqlite'}" if url is None else url
    assert import_verdicts(other, back).new == 0


def test_a_copy_of_the_database_holds_nothing_new(tmp_path):
    run = make_run(tmp_path / "run", rows=16, findings=FOUND)
    with open_database(run) as database:
        fill(database)
        record(database, "ada", ask(database, 0), "keep")
    shutil.copy(run / "review.sqlite", tmp_path / "copy.sqlite")
    assert import_verdicts(run, tmp_path / "copy.sqlite") == (0, 1, 0, 0)


def test_what_is_no_review_database_is_refused(review, url, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no review at"):
        import_verdicts(review.run, tmp_path / "none.sqlite", url)
    (tmp_path / "broken.sqlite").write_text("no database " * 1000)
    with pytest.raises(ValueError, match=r"broken\.sqlite is damaged"):
        import_verdicts(review.run, tmp_path / "broken.sqlite", url)
