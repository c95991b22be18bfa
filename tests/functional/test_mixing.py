import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import box_mask, cut_boxes, five_crops, mix, mix_partners, random_shift


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
        (1.0, 3, 3, [3, 3, 3, 3]),
        (0.0, 4, 5, [0, 8, 0, 10]),
        (0.0, 0, 0, [0, 4, 0, 5]),
        (0.0, 7, 9, [3, 8, 4, 10]),
        (0.75, 4, 5, [2, 6, 3, 7]),
        (0.75, 0, 9, [0, 2, 7, 10]),
    ],
)
def test_boxes_are_cut_off_at_the_borders(weight, row, column, expected):
    assert cut_boxes(8, 10, torch.tensor([weight]), torch.tensor([row]), torch.tensor([column])).tolist() == [expected]


@given(st.floats(0, 1), st.integers(0, 8), st.integers(0, 10))
def test_boxes_cover_at_most_their_share(weight, row, column):
    places = torch.tensor([[row], [column]])
    boxes = cut_boxes(9, 11, torch.tensor([weight], dtype=torch.float64), *places)
    area = int(box_mask(boxes, 9, 11).sum())
    assert area == (boxes[0, 1] - boxes[0, 0]) * (boxes[0, 3] - boxes[0, 2])
    assert 0 <= area <= (1 - weight) * 99 + 1e-9


@pytest.mark.parametrize("n", [0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4, 6)])
def test_partners_are_mixed_as_if_they_had_been_gathered(n, shape):
    own = torch.randn(n, *shape, requires_grad=True, dtype=torch.float64)
    partner, weight = torch.randperm(n), torch.rand(n)
    plain = mix(own, own[partner], weight)
    torch.testing.assert_close(mix_partners(own, partner, weight), plain)  # with a gradient
    before = own.detach().clone()
    assert torch.equal(mix_partners(before, partner, weight), plain)
    assert torch.equal(before, own)
    assert torch.equal(mix_partners(before, partner, torch.ones(n)), before)
    assert torch.equal(mix_partners(before, torch.arange(n), weight), before)


def test_large_batches_are_mixed_in_pieces():
    inputs, partner = torch.randn(70, 3, 64, 64), torch.randperm(70)
    weight, mask = torch.rand(70), torch.rand(70, 1, 64, 64) < 0.5
    assert torch.equal(mix_partners(inputs, partner, weight), mix(inputs, inputs[partner], weight))
    for shares in (weight[0], mask[0, 0], torch.rand(3, 1, 1)):  # for all, without an axis for examples
        assert torch.equal(mix_partners(inputs, partner, shares), mix(inputs, inputs[partner], shares))
    for masks in (mask, mask[:1]):  # one each, or one for all
        assert torch.equal(mix_partners(inputs, partner, masks), torch.where(masks, inputs, inputs[partner]))


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128]
)
def test_cutting_takes_every_bit_from_the_one_or_the_other(dtype):
    inputs = (3 * torch.randn(50, 3, 9, 7)).to(dtype).to(memory_format=torch.channels_last)
    if dtype.is_floating_point:
        inputs[0], inputs[1] = torch.nan, torch.inf
    partner, mask = torch.randperm(50), torch.rand(50, 1, 9, 7) < 0.5
    expected = torch.where(mask, inputs, inputs[partner])
    torch.testing.assert_close(mix_partners(inputs, partner, mask), expected, rtol=0, atol=0, equal_nan=True)


def test_bytes_can_be_cut_but_not_added():
    bytes_, partner = torch.randint(256, (4, 1, 2, 2), dtype=torch.uint8), torch.tensor([1, 0, 3, 2])
    with pytest.raises(ValueError, match=r"got torch.uint8: convert pictures with `inputs.float\(\) / 255`"):
        mix_partners(bytes_, partner, torch.rand(4))
    mask = torch.tensor([True, False]).expand(4, 1, 2, 2)
    cut = mix_partners(bytes_, partner, mask)
    assert cut.dtype == torch.uint8
    assert torch.equal(cut[..., 0], bytes_[..., 0])
    assert torch.equal(cut[..., 1], bytes_[partner][..., 1])


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
