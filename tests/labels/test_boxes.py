import numpy as np
import pytest

from labelwise.labels import Boxes, check_boxes


def boxes(*corners, labels=None):
    return Boxes(np.array(corners, np.float32).reshape(-1, 4), np.array(labels or [0] * len(corners), np.int64))


def test_flips_undo_themselves_and_stay_good():
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 20, (30, 2))
    one = Boxes(np.hstack([low, low + generator.uniform(1, 10, (30, 2))]).astype(np.float32), np.zeros(30, np.int64))
    for turn in (lambda each: each.mirrored(40), lambda each: each.upside_down(32)):
        check_boxes(turn(one), 40, 32, 1, "here")
        np.testing.assert_allclose(turn(turn(one)).corners, one.corners, atol=1e-5)
        assert not np.allclose(turn(one).corners, one.corners)
    assert one.mirrored(40).upside_down(32).corners == pytest.approx(one.upside_down(32).mirrored(40).corners)
    assert one.scaled(2, 0.5).scaled(0.5, 2).corners == pytest.approx(one.corners)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (boxes([1, 1, 2, 2], [5, 5, 5, 9]), r"cells.json, picture a.jpg, box 1: its width and height must be above 0"),
        (boxes([5, 5, 2, 9]), r"box 0: its width .* got x1, y1, x2, y2 = \[5.0, 5.0, 2.0, 9.0\]"),
        (boxes([0, 0, 9, 30]), r"box 0: it must lie within the picture of 40 x 20 pixels"),
        (boxes([0, 0, np.nan, 3]), r"box 0: its corners must be finite numbers"),
        (boxes([0, 0, 3, 3], labels=[2]), r"box 0: its class must be in \[0, 2\); got .* of class 2"),
        (Boxes(np.zeros((2, 4)), np.zeros(1, int)), r"boxes must be \[n, 4\] with n labels; got \[2, 4\] and 1"),
    ],
)
def test_bad_boxes_are_refused_by_picture_and_box(bad, message):
    with pytest.raises(ValueError, match=message):
        check_boxes(bad, 40, 20, 2, "cells.json, picture a.jpg")


def test_an_empty_picture_is_good():
    check_boxes(Boxes.none(), 40, 20, 2, "cells.json, picture a.jpg")
    assert Boxes.none().mirrored(40).corners.shape == (0, 4)
