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
    [{"images": [{"id": 1}]}, {"images": [{"file_name": "a"}]}, {"categories": [{"id": 3}]}, {"categories": ["cat"]}],
)
def test_entries_without_what_they_need_are_told(changes):
    document = {"images": [], "annotations": [], "categories": []} | changes
    with pytest.raises(ValueError, match=r"here: each image needs an id and a file_name, each category an id and a"):
        from_coco(document, "here")


@pytest.mark.parametrize(("given", "ours"), [("val", "validation"), ("test", "test"), ("restval", ""), (None, "")])
def test_a_split_is_taken_in_our_words(given, ours):
    image = {"id": 1, "file_name": "a"} | ({} if given is None else {"split": given})
    document = {"images": [image], "annotations": [], "categories": []}
    assert from_coco(document, "here")[3] == [ours]
