import pytest
import torch
from torch import nn

from labelwise.models import Attending, SmallViT, vit_for


@pytest.mark.parametrize(("size", "grid"), [((8, 8), 4), ((14, 14), 7), ((28, 28), 7), ((32, 48), 8), ((45, 50), 5)])
def test_pictures_are_cut_into_the_most_patches_that_divide_them(size, grid):
    network = vit_for((3, *size), width=24)
    assert isinstance(network, Attending)
    assert not isinstance(nn.Flatten(), Attending)
    assert network.grid == grid
    seen = network.attend(torch.randn(2, 3, *size))
    assert seen.features.shape == (2, network.out_features) == (2, 24)
    assert seen.tokens.shape == (2, grid**2, 24)
    assert seen.attention.shape == (2, 1 + grid**2, 1 + grid**2)
    torch.testing.assert_close(seen.attention.sum(-1), torch.ones(2, 1 + grid**2))


def test_features_are_those_of_attend_and_every_parameter_gets_a_gradient():
    network = vit_for((1, 8, 8), width=30).double()
    pictures = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(network(pictures), network.attend(pictures).features)
    network(pictures).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in network.parameters())


def test_tokens_are_in_reading_order():
    network = SmallViT(1, 8, (4, 6), grid=2, depth=1).eval()
    with torch.no_grad():
        for parameter in (network.places, network.blocks[0].join.weight, network.blocks[0].layer[2].weight):
            parameter.zero_()
    picture = torch.zeros(1, 1, 4, 6)
    picture[..., 2:, :3] = 1  # the lower left
    tokens = network.attend(picture).tokens[0]
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(tokens[0], tokens[3])
    assert not torch.allclose(tokens[0], tokens[2])


def test_without_places_shuffled_patches_have_shuffled_attention():
    torch.manual_seed(0)
    network = SmallViT(1, 16, (4, 4), grid=4, depth=2).double().eval()
    with torch.no_grad():
        network.places.zero_()
    picture, order = torch.randn(1, 1, 4, 4, dtype=torch.float64), torch.randperm(16)
    one, other = network.attend(picture), network.attend(picture.flatten()[order].reshape(1, 1, 4, 4))
    torch.testing.assert_close(other.features, one.features)
    torch.testing.assert_close(other.tokens[0], one.tokens[0, order])
    torch.testing.assert_close(other.attention[0, 1:, 1:], one.attention[0, 1:, 1:][order][:, order])


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match=r"sees pictures \[channels, height, width\]; got features \[7\]"):
        vit_for((7,))
    with pytest.raises(ValueError, match=r"37 x 37 pixels cannot be cut .* resize them"):
        vit_for((1, 37, 37))
    with pytest.raises(ValueError, match="9 x 8 pixels do not divide into 4 x 4"):
        SmallViT(1, 8, (9, 8), grid=4)
    with pytest.raises(ValueError, match="must be 8 x 8 pixels; got"):
        vit_for((1, 8, 8), 8)(torch.zeros(1, 1, 8, 16))
