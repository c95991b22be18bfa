import io
import json

import numpy as np
import pytest
from PIL import Image

from labelwise.labels import data_path, read_boxes

CLASSES = ("cat", "dog")
# Two pictures of 40 x 20; the second is empty.
CORNERS = np.array([[2, 3, 12, 13], [20, 0, 40, 10]], np.float32)


def picture(size=(40, 20)):
    file = io.BytesIO()
    Image.new("RGB", size, (9, 99, 200)).save(file, "PNG")
    return file.getvalue()


def coco(folder, **changes):
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in CORNERS.tolist()]
    document = {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
        "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": boxes[0]},
            {"id": 2, "image_id": 7, "category_id": 5, "bbox": boxes[1]} | changes,
            {"id": 3, "image_id": 9, "category_id": 5, "bbox": [0, 0, 40, 20], "iscrowd": 1},
        ],
    }
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        (folder / "images" / name).write_bytes(picture())
    (folder / "boxes.json").write_text(json.dumps(document))
    return folder / "boxes.json"


def voc(folder, last="40"):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    things = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1 + 1:.0f}</xmin><ymin>{y1 + 1:.0f}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2:.0f}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in zip(CLASSES, [[*CORNERS[0]], [*CORNERS[1][:2], last, CORNERS[1][3]]], strict=True)
    )
    for stem, inside in (("a", things), ("b", "")):
        (folder / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><filename>{stem}.png</filename>{inside}</annotation>"
        )
        (folder / "JPEGImages" / f"{stem}.png").write_bytes(picture())
    (folder / "ImageSets/Main/train.txt").write_text("a\n")
    (folder / "ImageSets/Main/val.txt").write_text("b\n")
    return folder


def yolo(folder, last="1 0.75 0.25 0.5 0.5"):
    for name in ("images/train", "images/val", "labels/train"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "images/train/a.png").write_bytes(picture())
    (folder / "images/val/b.png").write_bytes(picture())
    (folder / "labels/train/a.txt").write_text(f"0 0.175 0.4 0.25 0.5\n{last}\n")
    (folder / "data.yaml").write_text("names: {1: dog, 0: cat}\n")
    return folder


def npz(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    content = np.frombuffer(picture(), np.uint8)
    arrays = {
        "jpeg": np.tile(content, 2),
        "jpeg_offsets": np.array([0, len(content), 2 * len(content)]),
        "boxes": CORNERS,
        "box_label": np.array([0, 1], np.uint8),
        "box_offsets": np.array([0, 2, 2]),
        "class_names": np.array(CLASSES),
        "split": np.array([0, 1]),
        "split_names": np.array(["train", "val"]),
    }
    np.savez(folder / "boxes.npz", **(arrays | changes))
    return folder / "boxes.npz"


@pytest.mark.parametrize("write", [coco, voc, yolo, npz])
def test_every_form_says_the_same(tmp_path, write):
    table = read_boxes(write(tmp_path / "data"))
    assert len(table) == 2
    assert table.classes == CLASSES
    full, empty = table.boxes
    np.testing.assert_allclose(full.corners, CORNERS, atol=1e-4)
    assert full.labels.tolist() == [0, 1]
    assert len(empty.labels) == 0
    assert table.sizes() == [(40, 20)] * 2
    assert list(table.split) == (["", ""] if write is coco else ["train", "validation"])
    assert table.rows("train").tolist() == ([] if write is coco else [0])
    assert "2 pictures, 2 boxes of 2 classes" in repr(table)
    turned = table.select([1, 0])
    assert turned.names == table.names[::-1]
    pixels, boxes = turned.pixels((40, 20))
    assert (pixels.shape, pixels.dtype) == ((2, 3, 40, 20), np.uint8)
    np.testing.assert_allclose(boxes[1].corners, CORNERS * [0.5, 2, 0.5, 2], atol=1e-4)


@pytest.mark.parametrize(
    ("write", "changes", "message"),
    [
        (coco, {"bbox": [20, 0, 0, 10]}, r"boxes\.json, picture a\.png, box 1: its width and height must be above 0"),
        (coco, {"bbox": [20, 0, 30, 10]}, r"picture a\.png, box 1: it must lie within the picture of 40 x 20 pixels"),
        (coco, {"bbox": [20, 0, 30]}, r"annotation 2, picture a\.png: bbox must be .* got \[20, 0, 30\]"),
        (coco, {"bbox": [20, 0, "30", 9]}, r"annotation 2, picture a\.png: bbox must be .* got \[20, 0, '30', 9\]"),
        (coco, {"category_id": 3}, r"annotation 2: there is no category of id 3"),
        (coco, {"image_id": 1}, r"annotation 2: there is no image of id 1"),
        (coco, {"image_id": [1]}, r"annotation 2: there is no image of id \[1\]"),
        (voc, {"last": "20"}, r"picture a\.png, box 1: its width and height must be above 0"),
        (voc, {"last": "far"}, r"a\.xml, box 1: bndbox must hold four numbers; got .*'far'"),
        (yolo, {"last": "2 0.5 0.5 0.1 0.1"}, r"a\.txt, line 2: the class must be in \[0, 2\); got 2"),
        (yolo, {"last": "1 0.5 0.5 0.1"}, r"a\.txt, line 2: it must be `class x y width height`; got '1 0.5"),
        (yolo, {"last": "1 0.5 0.5 -0.1 0.1"}, r"picture train/a\.png, box 1: its width and height"),
        (npz, {"box_label": np.array([0, 7])}, r"picture 0, box 1: its class must be in \[0, 2\); got .* of class 7"),
        (npz, {"jpeg": np.zeros(9, np.uint8), "jpeg_offsets": np.array([0, 4, 9])}, "picture 0: no known image format"),
    ],
)
def test_what_is_broken_is_named_by_file_picture_and_box(tmp_path, write, changes, message):
    with pytest.raises(ValueError, match=message):
        read_boxes(write(tmp_path / "data", **changes))


def test_what_is_missing_is_named(tmp_path):
    path = coco(tmp_path / "data")
    (tmp_path / "data/images/b.png").unlink()
    with pytest.raises(ValueError, match=r"there is no picture b\.png in .*images"):
        read_boxes(path)
    folder = yolo(tmp_path / "yolo")
    (folder / "data.yaml").unlink()
    with pytest.raises(ValueError, match=r"does not name its classes; write them under `names` in data\.yaml"):
        read_boxes(folder)
    with pytest.raises(ValueError, match="holds no boxes in a form that is known"):
        read_boxes(tmp_path)
    np.savez(tmp_path / "other.npz", boxes=CORNERS)
    with pytest.raises(ValueError, match="has no array 'jpeg'; boxes need jpeg, jpeg_offsets"):
        read_boxes(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        read_boxes(tmp_path / "nowhere.json")


@pytest.mark.data
def test_blood_cells_are_read():
    table = read_boxes(data_path("bccd") / "bccd.npz")
    assert [len(table.rows(part)) for part in ("train", "validation", "test")] == [205, 87, 72]
    assert table.classes == ("RBC", "WBC", "Platelets")
    assert sum(len(boxes.labels) for boxes in table.boxes) == 4886
