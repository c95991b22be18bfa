import shutil

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from tests.methods.boxes.samples import squares
from tests.review.served import Client, serve

from labelwise.audit import write_box_audit
from labelwise.audit.boxes import box_audit_roles, read_rows
from labelwise.bench.mock_runs import make_run
from labelwise.labels import Boxes, read_boxes
from labelwise.labels.coco import from_coco
from labelwise.review.app import create_app
from labelwise.review.content import Contents
from labelwise.review.database import open_database
from labelwise.review.exporting import corrected_boxes, export
from labelwise.review.filling import fill
from labelwise.review.importing import import_verdicts
from labelwise.review.preparing import prepare, write_contents
from labelwise.review.schema import question
from labelwise.review.verdicts import record, undo
from labelwise.runs import RunFolder, read_json


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An audit of squares in an .npz, with a wrong class, a box around nothing, one badly placed and a missing one."""
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "cache"))
    table = squares(6)
    found = [one._replace(scores=np.full(len(one.labels), 0.9, np.float32)) for one in table.boxes]
    given = list(table.boxes)
    given[0] = Boxes(given[0].corners, np.array([1, 1]))
    given[1] = Boxes(given[1].corners - np.array([[0, 0, 0, 0], [6, 0, 6, 0]], np.float32), given[1].labels)
    given[2] = Boxes(given[2].corners[:1], given[2].labels[:1])
    given[5] = Boxes(np.array([[1, 1, 9, 9]], np.float32), np.array([0]))
    source = tmp_path / "squares.npz"
    np.savez(
        source,
        jpeg=np.frombuffer(b"".join(table.images), np.uint8),
        jpeg_offsets=np.cumsum([0, *map(len, table.images)]),
        boxes=np.concatenate([own.corners for own in given]),
        box_label=np.concatenate([own.labels for own in given]),
        box_offsets=np.cumsum([0, *(len(own.labels) for own in given)]),
        class_names=np.array(table.classes),
        names=np.array(table.names),
    )
    table = read_boxes(source)
    data = {"data": {"source": str(source), "fingerprint": table.fingerprint()}}
    folder = RunFolder.start(tmp_path / "run", data | box_audit_roles(tmp_path / "run"))
    write_box_audit(folder, table, found)
    return folder.path


def test_people_are_asked_about_each_and_their_word_is_exported(run, tmp_path):
    with open_database(run) as database:
        fill(database, sample=2)
        asked = database.rows(sa.select(question).where(~question.c.sampled))
        told = {each.kinds: (each.given, each.suggested) for each in asked}
        assert told == {
            "label": ("light", "dark"),
            "misplaced_box": ("light", None),
            "missing_box": (None, "light"),
            "spurious_box": ("dark", None),
        }
        contents = Contents(write_contents(run, [each.item_id for each in asked], quiet=True))
        assert contents.note == ""
        for each in asked:
            item = contents.item(each.item_id)
            assert (item["kind"], max(item["width"], item["height"])) == ("image", 320)
            record(database, "ada", each.id, RIGHT[each.kinds])
    export(run, tmp_path / "out.parquet", tmp_path / "diff.csv")
    said = pd.read_parquet(tmp_path / "out.parquet").set_index("id")["class"]
    assert [said[key] for key in ("00.png#1", "01.png#1", missing(run))] == ["dark", "dark", "light"]
    assert pd.isna(said["05.png#1"])
    changes = pd.read_csv(tmp_path / "diff.csv").set_index("id")["action"].to_dict()
    assert changes == {"00.png#1": "label", "01.png#2": "move", missing(run): "label", "05.png#1": "spoiled"}


def missing(run):
    """The id of the box that is missing."""
    (key,) = (key for key in read_rows(run).ids if "+" in key)
    return key


RIGHT = {"label": "take", "misplaced_box": "move", "missing_box": "take", "spurious_box": "spoiled"}


WORDS = {
    "label": "<span>Take <bdi>dark</bdi>",
    "misplaced_box": "Move the box",
    "missing_box": "Add a box of <bdi>light</bdi>",
    "spurious_box": "Remove the box",
}


def questions(database):
    """The number of the question about each kind of finding."""
    return {each.kinds: each.id for each in database.rows(sa.select(question).where(question.c.kinds != ""))}


def boxes_of(run, file):
    """How many boxes changed how in an export to this file, and the boxes of each picture, as lists."""
    changed = export(run, file)["boxes"]
    return changed, [listed(own) for own in from_coco(read_json(file), "")[1]]


def listed(boxes):
    return list(zip(boxes.corners.tolist(), boxes.labels.tolist(), strict=True))


def test_the_boxes_are_mended_as_people_say(run, tmp_path):
    right = [listed(own) for own in squares(6).boxes]
    with open_database(run) as database:
        fill(database, sample=2)
        changed, given = boxes_of(run, tmp_path / "given.json")
        assert (set(changed.values()), given == right) == ({0}, False)
        for kind, number in questions(database).items():
            record(database, "ada", number, RIGHT[kind])
    changed, mended = boxes_of(run, tmp_path / "mended.json")
    assert changed == {"relabelled": 1, "moved": 1, "added": 1, "removed": 1}
    assert mended == right
    table, plain = corrected_boxes(run), squares(6)
    assert (table.names, table.images, table.classes) == (plain.names, plain.images, plain.classes)
    assert [listed(own) for own in table.boxes] == right


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_kept_undone_unsure_several_or_in_conflict_stays_as_it_was_given(run, tmp_path, kind):
    with open_database(run) as database:
        fill(database, sample=2)
        given = boxes_of(run, tmp_path / "given.json")
        number = questions(database)[kind]
        record(database, "ada", number, RIGHT[kind])
        assert boxes_of(run, tmp_path / "said.json") != given
        record(database, "bo", number, "keep")  # in conflict with ada
        assert boxes_of(run, tmp_path / "said.json") == given
        for action, classes in (("keep", ()), ("unsure", ()), ("several", ("dark", "light"))):
            for person in ("ada", "bo"):
                record(database, person, number, action, classes)
            assert boxes_of(run, tmp_path / "said.json") == given
        record(database, "cy", number, RIGHT[kind], final=True)
        assert boxes_of(run, tmp_path / "said.json") != given
        undo(database, "cy")
        assert boxes_of(run, tmp_path / "said.json") == given


def test_a_box_may_be_of_a_class_that_there_was_not(run, tmp_path):
    with open_database(run) as database:
        fill(database, sample=2)
        record(database, "ada", questions(database)["missing_box"], "new_class", ["grey"])
        record(database, "ada", questions(database)["spurious_box"], "choose", ["light"])
    changed, mended = boxes_of(run, tmp_path / "mended.json")
    assert changed == {"relabelled": 1, "moved": 0, "added": 1, "removed": 0}
    assert [label for _, label in mended[2]] == [0, 2]
    assert [label for _, label in mended[5]] == [1]
    assert [each["name"] for each in read_json(tmp_path / "mended.json")["categories"]] == ["dark", "light", "grey"]


def test_only_badly_placed_boxes_move(run, tmp_path):
    with open_database(run) as database:
        fill(database, sample=2)
        with pytest.raises(ValueError, match="no other place is suggested for question"):
            record(database, "ada", questions(database)["label"], "move")
    (tmp_path / "said.csv").write_text("id,action\n00.png#1,move\n")
    with pytest.raises(ValueError, match=r"said\.csv, line 2, column action: the audit found no other place for '00"):
        import_verdicts(run, tmp_path / "said.csv")


def test_verdicts_on_boxes_can_be_brought_elsewhere(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    with open_database(run) as database:
        fill(database, sample=2)
        for kind, number in questions(database).items():
            record(database, "ada", number, RIGHT[kind])
    mended = boxes_of(run, tmp_path / "mended.json")
    export(run, tmp_path / "out.csv", tmp_path / "diff.csv", only_verdicts=True)
    assert import_verdicts(other, tmp_path / "diff.csv").new == 4
    assert boxes_of(other, tmp_path / "again.json") == mended
    assert import_verdicts(other, run / "review.sqlite").new == 4
    assert boxes_of(other, tmp_path / "again.json") == mended


def test_a_verdict_on_a_missing_box_is_not_taken_for_one_on_another_in_the_same_picture(run, tmp_path):
    table = read_boxes(RunFolder(run).config["data"]["source"])
    found = [one._replace(scores=np.full(len(one.labels), 0.9, np.float32)) for one in squares(6).boxes]
    found[2].corners[1] = [50, 18, 63, 31]
    other = RunFolder.start(tmp_path / "other", RunFolder(run).config | box_audit_roles(tmp_path / "other"))
    write_box_audit(other, table, found)
    with open_database(run) as database, open_database(other.path) as theirs:
        fill(database, sample=2)
        fill(theirs, sample=2)
        for kind, number in questions(database).items():
            record(database, "ada", number, RIGHT[kind])
    found = import_verdicts(other.path, run / "review.sqlite")
    assert (found.new, found.foreign) == (3, 1)
    changed, _ = boxes_of(other.path, tmp_path / "mended.json")
    assert changed == {"relabelled": 1, "moved": 1, "added": 0, "removed": 1}


def test_what_cannot_be_written_is_told_before_anything_is(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no review at"):
        export(run, tmp_path / "out.json")
    labels = make_run(tmp_path / "labels")
    with open_database(labels) as database, open_database(run) as own:
        fill(database)
        fill(own)
    with pytest.raises(ValueError, match="labels is not a run of `labelwise audit --task boxes`"):
        export(labels, tmp_path / "out.json", tmp_path / "diff.csv")
    with pytest.raises(ValueError, match=r"written as \.parquet or \.csv; got 'diff\.json'"):
        export(run, tmp_path / "out.json", tmp_path / "diff.json")
    with pytest.raises(ValueError, match="holds the review of another audit"):
        export(run, tmp_path / "out.json", url=f"sqlite:///{labels / 'review.sqlite'}")
    assert not list(tmp_path.glob("*.json")) + list(tmp_path.glob("*.csv"))


def test_boxes_are_judged_on_the_page_and_taken_out_of_it(run, tmp_path):
    prepare(run, sample=2, quiet=True)
    with open_database(run) as database:
        running = serve(create_app(run, database))
        try:
            page = Client(running.port).say_name("ada")
            for kind, number in questions(database).items():
                page("GET", f"/?kind={kind}")
                shown = page.text
                assert [kind for kind, word in WORDS.items() if word in shown] == [kind]
                assert shown.count('value="spoiled"') == 1
                assert ('value="move"' in (page("GET", f"/grid?kind={kind}"), page.text)[1]) == (
                    kind == "misplaced_box"
                )
                page.form("/verdict", question=number, action=RIGHT[kind], token=kind)
            assert "moved the box" in (page("GET", f"/questions/{questions(database)['misplaced_box']}"), page.text)[1]
            page("GET", "/progress")
            assert "/export/annotations.json" in page.text
            taken = page("GET", "/export/annotations.json")
        finally:
            running.stop()
    assert page.headers["Content-Disposition"] == 'attachment; filename="annotations.json"'
    export(run, tmp_path / "mended.json")
    assert taken == read_json(tmp_path / "mended.json")
