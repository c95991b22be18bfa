import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import boxes_to_mask

SIZE = (40, 60)


def draw(boxes, labels, **more):
    return boxes_to_mask(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.long), SIZE, 3, **more)


@st.composite
def scenes(draw_):
    """Boxes with whole corners, some of them partly outside, and their classes."""
    n = draw_(st.integers(0, 6))
    x = draw_(st.lists(st.integers(-5, 55), min_size=n, max_size=n))
    y = draw_(st.lists(st.integers(-5, 35), min_size=n, max_size=n))
    sides = draw_(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=n, max_size=n))
    labels = draw_(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    boxes = [[float(a), float(b), float(a + w), float(b + h)] for a, b, (w, h) in zip(x, y, sides, strict=True)]
    return torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.long)


@given(scenes(), st.sampled_from([0, 1, 7]))
def test_only_shades_of_classes_that_are_there_are_seen(scene, outline):
    mask = boxes_to_mask(*scene, SIZE, 3, outline=outline)
    assert (mask.shape, mask.dtype) == ((1, *SIZE), torch.uint8)
    # Three classes and background make steps of 200 / 4.
    assert set(mask.unique().tolist()) <= {0} | {205 - 50 * k for k in scene[1].tolist()}
    binary = boxes_to_mask(*scene, SIZE, 3, "binary", outline)
    assert torch.equal(binary, (mask > 0).to(torch.uint8) * 255)


@given(scenes(), st.sampled_from([0, 7]))
def test_a_mirrored_scene_has_the_mirrored_mask(scene, outline):
    boxes, labels = scene
    mirrored = boxes.clone()
    mirrored[:, [0, 2]] = SIZE[1] - boxes[:, [2, 0]]
    masks = [boxes_to_mask(each, labels, SIZE, 3, outline=outline) for each in (boxes, mirrored)]
    assert torch.equal(masks[0].flip(-1), masks[1])


def test_the_fill_is_the_box_and_the_outline_a_round_rim_around_it():
    box = [[10.0, 12.0, 20.0, 17.0]]
    plain, rimmed = draw(box, [1], outline=0), draw(box, [1])
    expected = torch.zeros_like(plain)
    expected[0, 12:17, 10:20] = 155
    assert torch.equal(plain, expected)
    assert rimmed[0, 9:20, 12].tolist() == [155] * 11
    assert (rimmed[0, 8, 12], rimmed[0, 20, 12], rimmed[0, 9, 7], rimmed[0, 10, 8]) == (0, 0, 0, 155)


def test_later_boxes_hide_earlier_ones():
    boxes = [[5.0, 5.0, 20.0, 20.0], [10.0, 10.0, 30.0, 30.0]]
    assert (draw(boxes, [0, 2])[0, 15, 15], draw(boxes[::-1], [2, 0])[0, 15, 15]) == (105, 205)


def test_boxes_too_small_to_fill_are_marked_by_their_outline_alone():
    speck = [[10.4, 10.4, 11.2, 11.2]]
    assert draw(speck, [0], outline=0).sum() == 0
    assert draw(speck, [0])[0, 10, 10] == 205
    assert draw([[-50.0, -50.0, -40.0, -40.0], [90.0, 90.0, 99.0, 99.0]], [0, 0]).sum() == 0
    assert draw([], []).sum() == 0


def test_many_classes_are_never_darker_than_50():
    labels = torch.arange(150)
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]]).expand(150, 4)
    shades = [int(boxes_to_mask(boxes[:1], one[None], (9, 9), 150).max()) for one in labels]
    assert min(shades) >= 50
    assert len(set(shades)) == 150


@pytest.mark.parametrize(
    ("boxes", "labels", "more", "message"),
    [
        ([1.0, 2.0, 3.0, 4.0], [3], {}, r"labels must be in \[0, 3\); got 3"),
        ([1.0, 2.0, 3.0, 4.0], [0, 1], {}, r"got \[1, 4\] and \[2\]"),
        ([1.0, 2.0, 3.0, 4.0], [0], {"encoding": "shade"}, "binary or class_shade; got 'shade'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(boxes, labels, more, message):
    with pytest.raises(ValueError, match=message):
        draw(boxes, labels, **more)
