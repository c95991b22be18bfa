import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.boxes.samples import CLASSES, squares, with_errors

from labelwise.audit import write_box_audit
from labelwise.audit.box_corrections import audited_boxes, correct_boxes
from labelwise.audit.boxes import PLACES, box_audit_roles, read_rows
from labelwise.bench.mock_runs import make_run
from labelwise.labels import Boxes, BoxTable, read_boxes
from labelwise.labels.coco import write_document
from labelwise.runs import RunFolder, read_json

SAID = ("nothing", "dark", "light", "grey", "move", "remove")


def spoiled(table):
    """Squares with an error of each kind, a found box that leaves the picture, and what a sure detector finds."""
    given, found = with_errors(table, 5)
    given[1].corners[1, 3] += 0.1
    found[3] = Boxes(*(np.concatenate(each) for each in zip(found[3], outside(), strict=True)))
    return BoxTable(table.names, table.images, given, table.classes, table.split, "squares.npz"), found


def outside():
    corners = np.array([[40, 20.3, 90, 70], [70, 40, 90, 50]], np.float32)  # partly, and wholly
    return corners, np.array([0, 1]), np.array([0.9, 0.9], np.float32)


def as_anyone_writes_it(table):
    """The table as COCO json whose ids, order, and further entries are none that we would choose; a crowd among it."""
    images = [{"file_name": name, "id": 90 - 7 * at, "coco_url": f"x/{at}"} for at, name in enumerate(table.names)]
    rows = [
        {
            "segmentation": [[1, 2, 3, 4, 5, 6]],
            "image_id": images[at]["id"],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "category_id": 3 + 5 * label,
            "id": 100 + 3 * at - box,
            "area": 7,
        }
        for at, boxes in enumerate(table.boxes)
        for box, ((x1, y1, x2, y2), label) in enumerate(
            zip(boxes.corners.astype(float).tolist(), boxes.labels.tolist(), strict=True)
        )
    ]
    crowd = {"image_id": 90, "bbox": [0, 0, 9, 9], "category_id": 8, "id": 55, "iscrowd": 1}
    return {
        "info": {"year": 1999},
        "categories": [{"id": 8, "name": CLASSES[1], "supercategory": "s"}, {"id": 3, "name": CLASSES[0]}],
        "annotations": [*rows[::-2], crowd, *rows[-2::-2]],
        "images": images,
    }


@pytest.fixture(scope="module", params=["coco", "npz"])
def case(request, tmp_path_factory):
    """An audited table, its run, and a folder where what is exported finds its pictures."""
    folder = tmp_path_factory.mktemp("boxes")
    plain = squares(6)
    for name, image in zip(plain.names, plain.images, strict=True):
        (folder / name).write_bytes(image)
    table, found = spoiled(plain)
    if request.param == "coco":
        (folder / "given.json").write_text(json.dumps(as_anyone_writes_it(table), indent=1))
        table = read_boxes(folder / "given.json")
    run = RunFolder.start(folder / "run", box_audit_roles(folder / "run"))
    write_box_audit(run, table, found)
    return table, run.path, folder


def corrected(case, said):
    """What `correct_boxes` makes of what was said of each row, written and read again; the document; the counts."""
    _, run, folder = case
    classes = {row: what for row, what in enumerate(said) if what in ("dark", "light", "grey")}
    moved, removed = ([row for row, what in enumerate(said) if what == each] for each in ("move", "remove"))
    document, counts = correct_boxes(RunFolder(run), classes, moved, removed)
    write_document(folder / "mended.json", document)
    return read_boxes(folder / "mended.json"), document, counts


def expected(case, said):
    """The boxes of each picture after this, by hand."""
    table, run, _ = case
    places = read_json(run / PLACES)
    names = [*table.classes, "grey"]
    rows, boxes = enumerate(said), []
    for own in table.boxes:
        boxes.append([])
        for corners, label in zip(own.corners.tolist(), own.labels.tolist(), strict=True):
            row, what = next(rows)
            if what != "remove":
                place = places[str(row)]["corners"] if what == "move" else corners
                boxes[-1].append((place, names.index(what) if what in names else label))
    for row, what in rows:
        if what in names:
            boxes[places[str(row)]["picture"]].append((places[str(row)]["corners"], names.index(what)))
    return [Boxes.of(own) for own in boxes]


def test_the_case_has_what_there_is_to_be_decided(case):
    _, run, _ = case
    kinds = RunFolder(run).metrics["audit"]["by_kind"]
    assert kinds == {"label": 1, "misplaced_box": 1, "missing_box": 2, "spurious_box": 1}
    places = [np.array(place["corners"]) for place in read_json(run / PLACES).values()]
    assert len(places) == 3
    assert all((corners >= 0).all() and (corners <= [64, 32, 64, 32]).all() for corners in places)


def test_without_verdicts_all_is_as_it_was_given(case):
    table, _, folder = case
    again, document, counts = corrected(case, [])
    same(again, table.names, table.boxes, table.classes, table.split)
    assert set(counts.values()) == {0}
    if (folder / "given.json").is_file():
        assert json.dumps(document) == json.dumps(read_json(folder / "given.json"))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_verdicts_change_what_they_are_about_and_nothing_else(case, data):
    table, run, _ = case
    rows = len(read_rows(run))
    count = sum(len(own.labels) for own in table.boxes)
    places = read_json(run / PLACES)
    said = [
        data.draw(st.sampled_from([each for each in SAID if each != "move" or (row < count and str(row) in places)]))
        for row in range(rows)
    ]
    again, document, counts = corrected(case, said)
    classes = (*table.classes, "grey") if "grey" in said else table.classes
    same(again, table.names, expected(case, said), classes, table.split)

    before = read_json(run / "annotations.json")
    assert document["images"] == before["images"]
    assert document["categories"][: len(table.classes)] == before["categories"]
    keys = [each["id"] for each in before["annotations"]]
    after = {each["id"]: each for each in document["annotations"]}
    assert len(after) == len(document["annotations"])
    assert [key for key in after if key in keys] == [key for key in keys if key in after]
    assert all(key > max(keys) for key in after if key not in keys)
    touched = sum(after.get(each["id"]) != each for each in before["annotations"])
    assert touched == counts["relabelled"] + counts["moved"] + counts["removed"]
    assert len(after) == len(keys) - counts["removed"] + counts["added"]


def same(table, names, boxes, classes, split):
    assert [*table.names] == [*names]
    assert (table.classes, [*table.split]) == (tuple(classes), [*split])
    for own, other in zip(table.boxes, boxes, strict=True):
        np.testing.assert_array_equal(own.corners, other.corners)
        np.testing.assert_array_equal(own.labels, other.labels)


def test_a_box_that_moves_loses_the_outline_of_where_it_was(case):
    _, run, _ = case
    row = int(next(iter(sorted(read_json(run / PLACES), key=int))))
    _, document, _ = corrected(case, ["nothing"] * row + ["move"])
    before = read_json(run / "annotations.json")["annotations"]
    (moved,) = [new for old, new in zip(before, document["annotations"], strict=True) if old != new]
    assert "segmentation" not in moved
    assert moved["area"] == pytest.approx(moved["bbox"][2] * moved["bbox"][3], abs=1e-3)


def test_coco_tools_read_it(case):
    from faster_coco_eval import COCO

    _, _, folder = case
    again, document, _ = corrected(case, ["grey", "remove"])
    shown = COCO(str(folder / "mended.json"))
    assert len(shown.getImgIds()) == len(again)
    assert len(shown.getAnnIds(iscrowd=False)) == sum(len(own.labels) for own in again.boxes)
    assert shown.getCatIds(catNms=["grey"]) == [max(each["id"] for each in document["categories"])]


@pytest.mark.parametrize("kind", [str, float])
def test_ids_may_be_text_or_real_numbers(tmp_path, kind):
    """What is new comes last and has ids of its own all the same."""
    table, found = spoiled(squares(6))
    document = as_anyone_writes_it(table)
    for part in ("images", "annotations", "categories"):
        for each in document[part]:
            each |= {name: kind(each[name]) for name in ("id", "image_id", "category_id") if name in each}
    for name, image in zip(table.names, table.images, strict=True):
        (tmp_path / name).write_bytes(image)
    (tmp_path / "given.json").write_text(json.dumps(document))
    table = read_boxes(tmp_path / "given.json")
    run = RunFolder.start(tmp_path / "run", box_audit_roles(tmp_path / "run"))
    write_box_audit(run, table, found)
    case = table, run.path, tmp_path
    said = ["grey"] * len(read_rows(run.path))
    again, mended, _ = corrected(case, said)
    same(again, table.names, expected(case, said), (*table.classes, "grey"), table.split)
    keys = [each["id"] for each in mended["annotations"]]
    assert len(set(keys)) == len(keys) > len(document["annotations"])


def test_pictures_of_one_name_are_not_taken_for_each_other(tmp_path):
    table, found = spoiled(squares(6))
    looks = []
    for names in (table.names, ["same.png"] * 6):
        run = RunFolder.start(tmp_path / names[0], box_audit_roles(tmp_path / names[0]))
        write_box_audit(run, BoxTable(names, table.images, table.boxes, table.classes, table.split), found)
        looks.append(pq.read_table(run / "boxes.parquet")["image"])
    assert looks[0] == looks[1]


def test_a_source_that_says_something_else_by_now_is_not_taken_for_what_was_audited(tmp_path):
    table, found = spoiled(squares(6))
    for name, content in (("broken.json", "[]"), ("other.json", json.dumps(as_anyone_writes_it(squares(6))))):
        (tmp_path / name).write_text(content)
        named = BoxTable(table.names, table.images, table.boxes, table.classes, table.split, str(tmp_path / name))
        run = RunFolder.start(tmp_path / f"{name}-run", box_audit_roles(tmp_path / f"{name}-run"))
        write_box_audit(run, named, found)
        assert [each["id"] for each in read_json(run / "annotations.json")["images"]] == [1, 2, 3, 4, 5, 6]


def test_a_run_of_a_table_that_came_from_nowhere_is_told(case):
    with pytest.raises(ValueError, match=r"run does not say where its pictures are; export its boxes as \.json"):
        audited_boxes(RunFolder(case[1]))


def test_a_run_without_boxes_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"run is not a run of `labelwise audit --task boxes`.* \.parquet or \.csv"):
        correct_boxes(RunFolder(make_run(tmp_path / "run")), {}, (), ())
