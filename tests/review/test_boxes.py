import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from tests.methods.boxes.samples import squares

from labelwise.audit import write_box_audit
from labelwise.audit.boxes import box_audit_roles
from labelwise.labels import Boxes
from labelwise.review.content import Contents
from labelwise.review.database import open_database
from labelwise.review.exporting import export
from labelwise.review.filling import fill
from labelwise.review.preparing import write_contents
from labelwise.review.schema import question
from labelwise.review.verdicts import record
from labelwise.runs import RunFolder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An audit of squares with a wrong class, a box around nothing, one badly placed and a missing one."""
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "cache"))
    table = squares(6)
    found = [one._replace(scores=np.full(len(one.labels), 0.9, np.float32)) for one in table.boxes]
    given = list(table.boxes)
    given[0] = Boxes(given[0].corners, np.array([1, 1]))
    given[1] = Boxes(given[1].corners - np.array([[0, 0, 0, 0], [6, 0, 6, 0]], np.float32), given[1].labels)
    given[2] = Boxes(given[2].corners[:1], given[2].labels[:1])
    given[5] = Boxes(np.array([[1, 1, 9, 9]], np.float32), np.array([0]))
    table = type(table)(table.names, table.images, given, table.classes, table.split, "squares.json")
    folder = RunFolder.start(tmp_path / "run", box_audit_roles(tmp_path / "run"))
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
            action = {"spurious_box": "spoiled", "misplaced_box": "keep"}.get(each.kinds, "take")
            record(database, "ada", each.id, action)
    export(run, tmp_path / "out.parquet")
    said = pd.read_parquet(tmp_path / "out.parquet").set_index("id")["class"]
    assert (said["00.png#1"], said["02.png+1"]) == ("dark", "light")
    assert pd.isna(said["05.png#1"])
