import pytest
import torch

from labelwise.mixing import CutMix, Mixup, SMMix, TransMix


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_shares_follow_attention():
    mixed = CutMix(1.0, mode="example")(torch.randn(6, 1, 8, 8), seeded(1))
    even = torch.full((6, 64), 1 / 64)  # patches of one pixel
    torch.testing.assert_close(TransMix(1.0)(mixed, even).label_weight, mixed.label_weight)
    assert torch.equal(TransMix(0.0)(mixed, torch.rand(6, 64)).label_weight, mixed.label_weight)
    own = mixed.mask.flatten(1).float() + 1e-9
    torch.testing.assert_close(TransMix(1.0)(mixed, own).label_weight, torch.ones(6))
    half = TransMix(0.5)(mixed, own).label_weight
    torch.testing.assert_close(half, (1 + mixed.label_weight) / 2)
    assert torch.equal(TransMix()(mixed, own).inputs, mixed.inputs)
    with pytest.raises(ValueError, match="have no mask"):
        TransMix()(Mixup()(torch.randn(2, 3)), torch.rand(2, 4))
    with pytest.raises(ValueError, match="square of patches; got 5"):
        TransMix()(mixed, torch.rand(6, 5))


@pytest.mark.parametrize("n", [2, 5])
def test_smmix_moves_whole_windows(n):
    inputs, attention = torch.randn(n, 3, 12, 18), torch.rand(n, 36)
    before = inputs.clone()
    for seed in range(8):
        mixed = SMMix(6)(inputs, attention, seeded(seed))
        own = SMMix(6).patches(mixed)
        assert torch.equal(inputs, before)
        side = round(float((~own[0]).sum()) ** 0.5)
        assert ((~own).sum(1) == side**2).all()
        torch.testing.assert_close(own.float().mean(1), mixed.label_weight)
        torch.testing.assert_close(mixed.mask.float().mean((1, 2, 3)), mixed.label_weight)
        kept = mixed.mask.expand_as(inputs)
        assert torch.equal(mixed.inputs[kept], inputs[kept])
        pasted = mixed.inputs[~kept].reshape(n, 3, 2 * side, 3 * side)
        for row in range(n):
            scores = attention[n - 1 - row].reshape(6, 6).unfold(0, side, 1).unfold(1, side, 1).sum((2, 3))
            top, left = divmod(int(scores.argmax()), scores.shape[1])
            source = inputs[n - 1 - row, :, 2 * top : 2 * (top + side), 3 * left : 3 * (left + side)]
            assert torch.equal(pasted[row], source)


def test_even_attention_takes_the_first_window():
    inputs = torch.randn(4, 1, 8, 8)
    mixed = SMMix(4, 0.5, 0.5)(inputs, torch.ones(4, 16), seeded())
    expected = inputs.clone()
    expected[:, :, :4, :4] = inputs.flip(0)[:, :, :4, :4]
    assert torch.equal(mixed.inputs, expected)


def test_what_is_seen_is_pasted_and_not_covered():
    attention = torch.zeros(2, 6, 6)
    attention[0, 1:3, 3:5], attention[1, 4:6, 0:2] = 1, 1
    inputs = torch.zeros(2, 1, 6, 6)
    inputs[attention[:, None] == 1] = 5
    mixed = SMMix(6, 0.34, 0.34)(inputs, attention.flatten(1), seeded())
    assert (mixed.inputs == 5).flatten(1).sum(1).tolist() == [8, 8]


def test_a_reversed_batch_gives_reversed_mixtures():
    inputs, attention = torch.randn(5, 1, 6, 6), torch.rand(5, 36)
    one, two = SMMix(6)(inputs, attention, seeded()), SMMix(6)(inputs.flip(0), attention.flip(0), seeded())
    assert torch.equal(one.inputs.flip(0), two.inputs)


def test_pictures_must_divide_into_the_grid():
    with pytest.raises(ValueError, match="9 x 8 pixels do not divide into 4 x 4"):
        SMMix(4)(torch.zeros(2, 1, 9, 8), torch.ones(2, 16))
    with pytest.raises(ValueError, match="ratio must be"):
        TransMix(2.0)
    with pytest.raises(ValueError, match="0 < smallest"):
        SMMix(4, 0.5, 1.0)
