import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.labels import Boxes
from labelwise.labels.coco import as_spans, from_coco, read_coco, to_coco, write_coco

NUMBERS = st.floats(0, 5000, width=32)
CORNERS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=5).map(
    lambda rows: np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in rows], np.float32)
)


@given(CORNERS)
def test_given_boxes_come_back_to_the_last_bit(corners):
    boxes = Boxes(corners.reshape(-1, 4), np.arange(len(corners)) % 2)
    split = ["train", "test"]
    document = to_coco(["a", "b"], [(9, 9)] * 2, [boxes, Boxes.none()], ("x", "y"), split)
    names, (again, empty), classes, parts = from_coco(document, "here")
    assert (names, classes, parts, len(empty.labels)) == (["a", "b"], ("x", "y"), split, 0)
    np.testing.assert_array_equal(again.corners, boxes.corners)
    np.testing.assert_array_equal(again.labels, boxes.labels)


def test_numbers_are_short_where_that_says_the_same():
    assert as_spans(np.array([[0.1, 2, 10.3, 4.5]], np.float32)) == [[0.1, 2.0, 10.2, 2.5]]
    third = np.array([[1 / 3, 0, 1, 1]], np.float32)
    assert as_spans(third, exact=False) == [[0.333, 0.0, 0.667, 1.0]]
    assert as_spans(third)[0][0] == float(np.float32(1 / 3))


def test_found_boxes_keep_their_scores(tmp_path):
    found = Boxes(np.array([[1, 2, 3, 4.25]], np.float32), np.array([1]), np.array([0.75], np.float32))
    write_coco(tmp_path / "found.json", ["a"], [(9, 9)], [found], ("x", "y"))
    (again,), classes, split = read_coco(tmp_path / "found.json")
    assert (classes, split) == (("x", "y"), [""])
    for one, other in zip(again, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "changes",
    [{"images": [{"id": 1}]}, {"images": [{"file_name": "a"}]}, {"categories": [{"id": 3}]}],
)
def test_entries_without_what_they_need_are_told(changes):
    document = {"images": [], "annotations": [], "categories": []} | changes
    with pytest.raises(ValueError, match=r"here: each image needs an id and a file_name, each category an id and a"):
        from_coco(document, "here")


@pytest.mark.parametrize("document", [[], {}, {"images": [], "annotations": None, "categories": []}])
def test_what_is_no_coco_file_is_told(document):
    with pytest.raises(ValueError, match="here is no COCO file: it must hold images, annotations, categories, each a"):
        from_coco(document, "here")
    whole = {"images": [{"id": 1, "file_name": "a"}], "annotations": ["a box"], "categories": []}
    with pytest.raises(ValueError, match="here is no COCO file"):
        from_coco(whole, "here")


@pytest.mark.parametrize("what", ["images", "categories"])
def test_ids_that_stand_for_several_are_told(what):
    entries = [{"id": each, "file_name": f"{at}.png", "name": f"{at}"} for at, each in enumerate((4, 7, 7))]
    document = {"images": [], "annotations": [], "categories": []} | {what: entries}
    with pytest.raises(ValueError, match=f"here: several {what} have the id 7; give each its own"):
        from_coco(document, "here")


def test_classes_are_in_the_order_of_their_ids_and_where_these_are_no_numbers_of_the_file():
    for ids, order in (((9, 2.5, 4), "bca"), (("9", "10", 4), "abc")):
        categories = [{"id": each, "name": name} for each, name in zip(ids, "abc", strict=True)]
        document = {"images": [], "annotations": [], "categories": categories}
        assert from_coco(document, "here")[2] == tuple(order)


@pytest.mark.parametrize(("given", "ours"), [("val", "validation"), ("test", "test"), ("restval", ""), (None, "")])
def test_a_split_is_taken_in_our_words(given, ours):
    image = {"id": 1, "file_name": "a"} | ({} if given is None else {"split": given})
    document = {"images": [image], "annotations": [], "categories": []}
    assert from_coco(document, "here")[3] == [ours]
