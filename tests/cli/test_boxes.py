import json

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.cli.conftest import result
from tests.methods.boxes.samples import squares

from labelwise.labels import read_boxes
from labelwise.labels.coco import write_coco
from labelwise.review.database import open_database
from labelwise.review.filling import fill
from labelwise.review.schema import question
from labelwise.review.verdicts import record

FAST = ("--set", "epochs=1", "--set", "side=64")


@pytest.fixture
def source(tmp_path):
    """Squares as a COCO file with pictures beside it."""
    table = squares(12)
    (tmp_path / "images").mkdir()
    for name, image in zip(table.names, table.images, strict=True):
        (tmp_path / "images" / name).write_bytes(image)
    write_coco(tmp_path / "squares.json", table.names, table.sizes(), table.boxes, table.classes)
    return "squares.json"


def test_a_detector_is_fitted_and_finds_boxes_in_a_folder_of_pictures(labelwise, tmp_path, source):
    words = ("--task", "boxes", "--method", "lupi", "--set", "alpha=0.5", "--set", "feature=map", *FAST)
    told = result(labelwise("fit", source, *words, "--out", "run", "--json"))
    assert told["alpha"] == 0.5
    assert 0 <= told["boxes"]["test"]["map_50"] <= 1
    assert (tmp_path / "run" / "report.html").is_file()
    shown = labelwise("fit", source, *words, "--out", "run").stdout
    assert "teacher (oracle)" in shown
    assert result(labelwise("predict", "run", "images", "--out", "found.json", "--json"))["pictures"] == 12
    found = json.loads((tmp_path / "found.json").read_text())
    assert {each["file_name"] for each in found["images"]} == {f"{at:02}.png" for at in range(12)}
    assert all(0 <= each["score"] <= 1 for each in found["annotations"])


def test_a_plain_detector_is_what_is_fitted_by_default(labelwise, source):
    told = result(labelwise("fit", source, "--task", "boxes", *FAST, "--out", "run", "--json"))
    assert (told["method"], told["detector"]) == ("detection", "compact")


def test_boxes_are_audited(labelwise, tmp_path, source):
    words = ("--task", "boxes", "--folds", "2", *FAST, "--out", "run")
    told = result(labelwise("audit", source, *words, "--json"))
    assert told["audit"]["flagged"] == len(pq.read_table(tmp_path / "run" / "issues.parquet").column("id").unique())
    assert (tmp_path / "run" / "report.html").is_file()
    assert "picture" in labelwise("audit", source, *words).stdout
    refused = labelwise("audit", source, *words, "--label", "kind", code=2).stderr
    assert "--label cannot be given with --task boxes" in " ".join(refused.replace("│", " ").split())


def test_what_people_said_of_boxes_is_exported_and_learned_from(labelwise, tmp_path, source):
    labelwise("audit", source, "--task", "boxes", "--folds", "2", *FAST, "--out", "run")
    told = labelwise("export", "run", "--corrected", "mended.json", code=1).stderr
    assert "there is no review at run/review.sqlite; start one with `labelwise review run`" in told
    assert not (tmp_path / "mended.json").exists()
    with open_database(tmp_path / "run") as database:
        fill(database)
        asked = database.rows(sa.select(question).where(question.c.given == "dark"))
        record(database, "ada", asked[0].id, "spoiled")
        record(database, "ada", asked[1].id, "new_class", ["grey"])
    changed = result(labelwise("export", "run", "--corrected", "mended.json", "--json"))["changed"]
    assert changed == {"boxes": {"relabelled": 1, "moved": 0, "added": 0, "removed": 1}}
    shown = labelwise("export", "run", "--corrected", "mended.json").stdout
    assert all(word in shown for word in ("relabelled", "moved", "added", "removed"))
    table = read_boxes(tmp_path / "mended.json")
    assert (table.classes, sum(len(own.labels) for own in table.boxes)) == (("dark", "light", "grey"), 21)
    words = ("--task", "boxes", *FAST)
    # Of the audit it need not be said that it is of boxes.
    calls = (("mended.json", *words), ("run", *FAST))
    fitted = [result(labelwise("fit", *call, "--json"))["run"] for call in calls]
    weights = [(tmp_path / each / "model.safetensors").read_bytes() for each in fitted]
    assert weights[0] == weights[1]
    told = labelwise("fit", "mended.json", *words, "--database", "sqlite:///x", code=2).stderr
    assert "give the run folder in place of SOURCE" in " ".join(told.replace("│", " ").split())

    (tmp_path / "images" / "00.png").write_bytes((tmp_path / "images" / "01.png").read_bytes())
    told = labelwise("fit", "run", *words, code=1).stderr
    place = tmp_path / "squares.json"
    assert f"pictures or boxes in {str(place)!r} have changed since the audit in run; audit again" in told
    (tmp_path / source).unlink()
    told = labelwise("fit", "run", *words, code=1).stderr
    assert f"the audit in run is of {str(place)!r}, which cannot be read again; put it back" in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--task", "boxes", "--detector", "compakt"), 1, "did you mean 'compact'"),
        (("--task", "boxes", "--method", "dselect-k"), 1, "no method 'dselect-k' for boxes"),
        (("--task", "boxes", "--label", "kind"), 2, "--label cannot be given with --task boxes"),
        (("--task", "box"), 2, "must be labels or boxes; got 'box'"),
        (("--detector", "compact"), 2, "--detector is for boxes"),
    ],
)
def test_options_that_do_not_fit_are_told(labelwise, source, words, code, message):
    told = labelwise("fit", source, *words, code=code).stderr
    assert message in " ".join(told.replace("│", " ").split())


def test_a_coco_file_without_the_task_is_told_how(labelwise, source):
    told = labelwise("fit", source, "--label", "class", code=1).stderr
    assert told.rstrip().endswith("boxes in a COCO .json are for --task boxes")


def test_broken_annotations_are_told_with_their_place(labelwise, tmp_path, source):
    document = json.loads((tmp_path / source).read_text())
    broken = {
        "empty": document | {"annotations": []},
        "class": document | {"annotations": [document["annotations"][0] | {"category_id": 9}]},
    }
    for name, content in broken.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "nothing.json").write_text("")
    told = {
        name: labelwise("fit", f"{name}.json", "--task", "boxes", "--out", "run", code=1).stderr
        for name in ("empty", "class", "nothing")
    }
    assert "pictures of empty.json have no box at all" in told["empty"]
    assert "class.json, annotation 1: there is no category of id 9" in told["class"]
    assert "nothing.json is no COCO file" in told["nothing"]
    assert not (tmp_path / "run").exists()
