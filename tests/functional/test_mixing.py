import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import cut_box, five_crops, mix, random_shift


def test_weights_are_shares_of_the_own_example():
    own, other = torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    weight = torch.tensor([0.0, 1.0, 0.25, 0.5, 1.0])
    mixed = mix(own, other, weight)
    assert torch.equal(mixed[[1, 4]], own[[1, 4]])
    assert torch.equal(mixed[0], other[0])
    torch.testing.assert_close(mixed[2], 0.25 * own[2] + 0.75 * other[2])


def test_a_permutation_keeps_the_mean():
    own = torch.randn(8, 3, dtype=torch.float64)
    mixed = mix(own, own[torch.randperm(8)], torch.full((8,), 0.3))
    torch.testing.assert_close(mixed.mean(0), own.mean(0))


@pytest.mark.parametrize(
    ("weight", "row", "column", "expected"),
    [
        (1.0, 3, 3, (slice(3, 3), slice(3, 3))),
        (0.0, 4, 5, (slice(0, 8), slice(0, 10))),
        (0.0, 0, 0, (slice(0, 4), slice(0, 5))),
        (0.0, 7, 9, (slice(3, 8), slice(4, 10))),
        (0.75, 4, 5, (slice(2, 6), slice(3, 7))),
        (0.75, 0, 9, (slice(0, 2), slice(7, 10))),
    ],
)
def test_boxes_are_cut_off_at_the_borders(weight, row, column, expected):
    assert cut_box(8, 10, weight, row, column) == expected


@given(st.floats(0, 1), st.integers(0, 8), st.integers(0, 10))
def test_boxes_cover_at_most_their_share(weight, row, column):
    down, across = cut_box(9, 11, weight, row, column)
    area = (down.stop - down.start) * (across.stop - across.start)
    assert 0 <= area <= (1 - weight) * 99 + 1e-9


def test_crops_lie_in_the_corners_and_the_middle():
    pictures = torch.arange(16.0).reshape(1, 1, 4, 4)
    crops = five_crops(pictures, 0.25)
    assert crops.shape == (5, 1, 1, 4, 4)
    assert [crop.unique().tolist() for crop in crops] == [[0.0], [3.0], [12.0], [15.0], [5.0]]
    assert torch.equal(five_crops(pictures, 1.0), pictures.expand(5, 1, 1, 4, 4))
    torch.testing.assert_close(five_crops(torch.ones(2, 3, 5, 7), 0.6), torch.ones(5, 2, 3, 5, 7))


def test_shifted_pictures_move_by_whole_pixels_each_way_alike():
    pictures = torch.arange(1.0, 31.0).reshape(1, 1, 5, 6).expand(2000, 2, 5, 6)
    moved = random_shift(pictures, 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(random_shift(pictures, 0.0), pictures)
    middle = moved[:, 0, 2, 3] - 1
    down, across = middle // 6 - 2, middle % 6 - 3
    for ways in (down, across):
        counts = torch.bincount((ways + 2).long(), minlength=5)
        assert len(counts) == 5
        assert (counts - 400).abs().max() < 90
    one = moved[(down == 1) & (across == -2)][0]
    expected = torch.zeros(2, 5, 6)
    expected[:, :4, 2:] = pictures[0, :, 1:, :4]
    assert torch.equal(one, expected)
