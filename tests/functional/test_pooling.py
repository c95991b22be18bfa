import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from labelwise.functional import box_weights, roi_mean, span_mean, span_weights

SHARE = st.integers(0, 40).map(lambda at: at / 40)


def maps(height: int, width: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randn(batch, 3, height, width, generator=generator, dtype=torch.float64)


def box(*corners: float) -> Tensor:
    return torch.tensor([corners], dtype=torch.float64)


def one_by_one(plane: Tensor, x1: float, y1: float, x2: float, y2: float) -> Tensor:
    """RoIAlign with one output cell as it is written down: sample after sample."""
    height, width = plane.shape[1:]

    def at(y: float, x: float) -> Tensor:
        if not (-1 <= y <= height and -1 <= x <= width):
            return torch.zeros(len(plane), dtype=plane.dtype)
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        low_y, low_x = int(y), int(x)
        high_y, high_x = min(low_y + 1, height - 1), min(low_x + 1, width - 1)
        b, a = y - low_y, x - low_x
        upper = (1 - a) * plane[:, low_y, low_x] + a * plane[:, low_y, high_x]
        lower = (1 - a) * plane[:, high_y, low_x] + a * plane[:, high_y, high_x]
        return (1 - b) * upper + b * lower

    tall, wide = max((y2 - y1) * height, 1), max((x2 - x1) * width, 1)
    rows, columns = math.ceil(tall - 1e-6), math.ceil(wide - 1e-6)
    samples = [
        at(y1 * height - 0.5 + (i + 0.5) * tall / rows, x1 * width - 0.5 + (j + 0.5) * wide / columns)
        for i in range(rows)
        for j in range(columns)
    ]
    return torch.stack(samples).mean(0)


@given(st.integers(1, 7), st.integers(1, 7), SHARE, SHARE, SHARE, SHARE)
def test_it_is_the_mean_of_bilinear_samples(height, width, a, b, c, d):
    given_maps = maps(height, width)
    corners = (min(a, b), min(c, d), max(a, b), max(c, d))
    torch.testing.assert_close(roi_mean(given_maps, box(*corners))[0], one_by_one(given_maps[0], *corners))


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_whole_box_gives_the_mean_over_cells(height, width):
    given_maps = maps(height, width)
    torch.testing.assert_close(roi_mean(given_maps, box(0, 0, 1, 1)), given_maps.mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [3, 7, 15])
def test_a_box_of_one_cell_gives_that_cell(size, dtype):
    given_maps = maps(size, size + 2).to(dtype)
    for row in range(size):
        for column in range(size + 2):
            corners = torch.tensor(
                [[column / (size + 2), row / size, (column + 1) / (size + 2), (row + 1) / size]], dtype=dtype
            )
            torch.testing.assert_close(roi_mean(given_maps, corners), given_maps[:, :, row, column])


@given(st.integers(3, 6), st.integers(3, 6), SHARE, SHARE)
def test_constant_maps_do_not_depend_on_the_box(height, width, a, b):
    constant = torch.tensor([1.5, -2.0], dtype=torch.float64)[None, :, None, None].expand(1, 2, height, width)
    result = roi_mean(constant, box(min(a, b) / 2, 0.1, max(a, b) / 2 + 0.3, 0.6))
    torch.testing.assert_close(result, constant[:, :, 0, 0])


def test_shifting_map_and_box_by_a_cell_changes_nothing_inside():
    given_maps = maps(10, 8)
    there = roi_mean(given_maps, box(0.26, 0.21, 0.59, 0.47))
    shifted = roi_mean(given_maps.roll((2, 1), (2, 3)), box(0.26 + 1 / 8, 0.21 + 2 / 10, 0.59 + 1 / 8, 0.47 + 2 / 10))
    torch.testing.assert_close(there, shifted)


def test_rows_are_not_taken_for_columns():
    plane = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    plane[0, 0, 0, 3] = 1  # upper right
    assert roi_mean(plane, box(0.75, 0, 1, 0.25)).item() == 1
    assert roi_mean(plane, box(0, 0.75, 0.25, 1)).item() == 0


def test_it_is_linear_and_each_box_spreads_a_gradient_of_one():
    one, other = maps(5, 6, 4), maps(5, 6, 4).flip(2)
    boxes = torch.tensor([[0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9], [0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 1, 1]], dtype=one.dtype)
    torch.testing.assert_close(roi_mean(2 * one - other, boxes), 2 * roi_mean(one, boxes) - roi_mean(other, boxes))
    one.requires_grad_()
    roi_mean(one, boxes)[:, 1].sum().backward()
    torch.testing.assert_close(one.grad[:, 1].sum((1, 2)), torch.ones(4, dtype=one.dtype))
    assert not one.grad[:, [0, 2]].any()


def test_far_outside_there_is_nothing():
    given_maps = maps(4, 4).abs()
    assert not roi_mean(given_maps, box(1.6, 0, 1.9, 1)).any()
    assert (roi_mean(given_maps, box(0.8, 0, 1.4, 1)) > 0).all()


@given(st.integers(1, 8), SHARE, SHARE)
def test_a_span_is_a_box_of_a_map_of_one_row(length, a, b):
    sequence = maps(1, length)
    span = torch.tensor([[min(a, b), max(a, b)]], dtype=torch.float64)
    expected = roi_mean(sequence, box(min(a, b), 0, max(a, b), 1))
    torch.testing.assert_close(span_mean(sequence[:, :, 0], span), expected)


def test_weights_of_a_batch_are_those_of_each_alone():
    spans = torch.tensor([[0, 1], [0.2, 0.3], [0.1, 0.75]], dtype=torch.float64)
    alone = torch.cat([span_weights(span[None], 6) for span in spans])
    torch.testing.assert_close(span_weights(spans, 6), alone)
    assert span_weights(spans[:0], 6).shape == (0, 6)


def test_unfit_boxes_are_refused():
    with pytest.raises(ValueError, match=r"item 1 goes from 0\.5"):
        span_weights(torch.tensor([[0, 1], [0.5, 0.2]]), 4)
    with pytest.raises(ValueError, match=r"boxes must be \[batch, 4\].*got \[4\]"):
        box_weights(torch.zeros(4), 3, 3)
