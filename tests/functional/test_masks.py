import torch

from labelwise.functional import (
    contrast_saliency,
    extreme_window,
    fourier_field,
    largest_share,
    masked_mean,
    window_sums,
)


def test_fields_are_smoother_with_more_decay():
    noise = torch.randn(4, 16, 9, dtype=torch.complex64)
    rough, smooth = (fourier_field(noise, 16, 16, decay) for decay in (0.0, 3.0))
    assert rough.shape == smooth.shape == (4, 16, 16)
    for field in (rough, smooth):
        assert torch.equal(field.flatten(1).amin(1), torch.zeros(4))
        torch.testing.assert_close(field.flatten(1).amax(1), torch.ones(4))
    assert smooth.diff(dim=1).abs().mean() < 0.5 * rough.diff(dim=1).abs().mean()
    assert fourier_field(torch.randn(2, 5, 4, dtype=torch.complex64), 5, 7).shape == (2, 5, 7)


def test_the_largest_values_are_marked():
    field = torch.tensor([[[0.1, 0.9], [0.5, 0.3], [0.2, 0.0]]]).expand(4, 3, 2)
    weight = torch.tensor([0.0, 0.5, 0.6, 0.6])
    mask = largest_share(field, weight, torch.tensor([True, True, True, False]))
    assert mask.dtype == torch.bool
    assert mask.flatten(1).sum(1).tolist() == [0, 3, 4, 3]
    assert mask[1].tolist() == [[False, True], [True, True], [False, False]]
    soft = largest_share(torch.rand(3, 10, 10), torch.tensor([0.0, 0.3, 1.0]), torch.ones(3, dtype=torch.bool), 0.2)
    torch.testing.assert_close(soft.mean((1, 2)), torch.tensor([0.0, 0.3, 1.0]), atol=1e-6, rtol=0)
    assert ((soft[1] > 0) & (soft[1] < 1)).sum() == 40


def test_windows():
    maps = torch.rand(3, 5, 7, dtype=torch.float64)
    sums = maps.unfold(1, 2, 1).unfold(2, 2, 1).sum((3, 4))
    torch.testing.assert_close(window_sums(maps, 2), sums)
    for largest, pick in ((True, sums.flatten(1).argmax(1)), (False, sums.flatten(1).argmin(1))):
        assert torch.equal(extreme_window(maps, 2, largest), torch.stack([pick // 6, pick % 6], 1))
        assert extreme_window(torch.ones(2, 4, 4), 2, largest).tolist() == [[0, 0], [0, 0]]


def test_flat_pictures_have_no_saliency_and_a_dot_has():
    assert contrast_saliency(torch.full((1, 3, 9, 9), 7.0)).abs().max() < 1e-5
    dot = torch.zeros(1, 1, 40, 40)
    dot[0, 0, 11, 30] = 1
    assert int(contrast_saliency(dot).argmax()) == 11 * 40 + 30


def test_means_of_marked_tokens():
    tokens = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    torch.testing.assert_close(masked_mean(tokens, mask)[0], tokens[0, [0, 2]].mean(0))
    assert (masked_mean(tokens, mask)[1] == 0).all()
