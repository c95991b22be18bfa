import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.methods.boxes.samples import squares, with_errors

from labelwise import report
from labelwise.audit import examples, write_box_audit
from labelwise.audit.boxes import box_audit_roles
from labelwise.labels import Boxes, BoxTable
from labelwise.runs import RunFolder


def spoiled():
    table = squares(8)
    given, found = with_errors(table, 7)
    return BoxTable(table.names, table.images, given, table.classes, table.split, "squares.json"), found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("audit") / "run"
    write_box_audit(RunFolder.start(path, {"task": "boxes"} | box_audit_roles(path)), *spoiled())
    return path


def test_each_error_is_a_finding_with_what_would_be_right(run):
    issues = pd.read_parquet(run / "issues.parquet").set_index("kind")
    told = {kind: tuple(row[["id", "given", "suggested"]]) for kind, row in issues.iterrows()}
    assert told["label"] == ("00.png#1", "light", "dark")
    corners = " ".join(f"{value:.0f}" for value in spoiled()[1][2].corners[1])
    assert told["missing_box"][0] == f"02.png+{corners}"
    assert told["missing_box"][2] == "light"
    assert told["misplaced_box"][:2] == ("01.png#2", "light")
    assert told["spurious_box"][:2] == ("07.png#1", "dark")
    assert [pd.isna(told[kind][2]) for kind in ("misplaced_box", "spurious_box")] == [True] * 2
    assert len(issues) == 4
    assert issues["score"].between(0, 1).all()
    found = spoiled()[1]
    seen = " ".join(f"{value:.0f}" for value in found[1].corners[1])
    assert f"{seen} (orange) instead" in issues.loc["misplaced_box", "why"]


def test_rows_are_the_given_boxes_and_then_the_missing_ones_each_with_a_picture(run):
    table, _ = spoiled()
    listed = examples(run)
    rows = listed.data.to_pandas()
    given = sum(len(boxes.labels) for boxes in table.boxes)
    assert rows["class"].notna().tolist() == [True] * given + [False]
    corners = rows.loc[rows["id"] == "03.png#2", ["x1", "y1", "x2", "y2"]].to_numpy()[0]
    assert corners.tolist() == table.boxes[3].corners[1].tolist()
    assert listed.media == ("image", "image")
    assert listed.group == "picture"
    for content in rows["image"]:
        with Image.open(io.BytesIO(content)) as look:
            assert max(look.size) == 320
    assert RunFolder(run).metrics["audit"]["by_kind"]["missing_box"] == 1


def test_the_report_shows_the_findings(run):
    facts = report.to_dict(run)
    assert set(facts["findings"]["kinds"]) == {"label", "missing_box", "misplaced_box", "spurious_box"}
    assert not any(reason["broken"] for reason in facts["not_shown"])
    text = report.write(run).read_text(encoding="utf-8")
    assert "Box probably missing" in text
    assert text.count('data-part="image"') > 4
    assert "data:image/" in text


def test_pictures_of_any_size_and_boxes_at_their_edge_are_drawn(tmp_path):
    table = squares(2, size=(32, 64))
    edge = Boxes(np.array([[-0.5, 31, 3, 32.5], [60, 0, 64.5, 1]], np.float32), np.array([0, 1]))
    table = BoxTable(table.names, table.images, [edge, Boxes.none()], table.classes, table.split, "edge.json")
    found = [Boxes.none()._replace(scores=np.zeros(0, np.float32))] * 2
    write_box_audit(RunFolder.start(tmp_path / "run", box_audit_roles(tmp_path / "run")), table, found)
    assert len(pd.read_parquet(tmp_path / "run" / "boxes.parquet")) == 2
    assert len(pd.read_parquet(tmp_path / "run" / "issues.parquet")) == 0


@pytest.mark.parametrize("classes", [("thing",), ("rare", "thing", "none yet")])
def test_a_class_may_be_the_only_one_and_one_may_have_no_boxes(tmp_path, classes):
    table, found = spoiled()
    kind = classes.index("thing")
    given, found = (
        [one._replace(labels=np.full(len(one.labels), kind)) for one in boxes] for boxes in (table.boxes, found)
    )
    table = BoxTable(table.names, table.images, given, classes, table.split, "things.json")
    write_box_audit(RunFolder.start(tmp_path / "run", box_audit_roles(tmp_path / "run")), table, found)
    assert examples(tmp_path / "run").task("class").classes == classes
    assert set(pd.read_parquet(tmp_path / "run" / "issues.parquet")["kind"]) == {
        "missing_box",
        "misplaced_box",
        "spurious_box",
    }
    assert not any(reason["broken"] for reason in report.to_dict(tmp_path / "run")["not_shown"])
    assert "Box probably missing" in report.write(tmp_path / "run").read_text(encoding="utf-8")
