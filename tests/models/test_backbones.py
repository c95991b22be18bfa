import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from labelwise.models import MLP, SmallCNN, backbone_for


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(1, 9), max_size=3), st.integers(1, 9), st.integers(1, 5))
def test_shapes_of_an_mlp(in_features, hidden, out_features, batch):
    network = MLP(in_features, hidden, out_features, dropout=0.1)
    assert network.out_features == out_features
    assert network(torch.randn(batch, in_features)).shape == (batch, out_features)
    assert sum(p.numel() for p in network.parameters()) == sum(
        (before + 1) * after for before, after in zip([in_features, *hidden], [*hidden, out_features], strict=True)
    )


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (8, 12), (28, 28), (40, 40), (48, 48), (96, 96), (97, 65)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_of_a_small_cnn(size, channels):
    network = backbone_for((channels, *size), width=24)
    assert isinstance(network, SmallCNN)
    assert network(torch.randn(2, channels, *size)).shape == (2, network.out_features) == (2, 24)


@pytest.mark.parametrize(("size", "blocks"), [(4, 2), (8, 2), (16, 3), (28, 3), (32, 4), (48, 4), (96, 4)])
def test_depth_follows_from_the_size(size, blocks):
    convolutions = [layer for layer in SmallCNN(1, 8, size).layers if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 2 * blocks


def test_every_parameter_gets_a_gradient():
    for shape in ((7,), (3, 8, 8), (1, 96, 96)):
        network = backbone_for(shape).double()
        network(torch.randn(4, *shape, dtype=torch.float64)).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_place_of_a_thing_in_the_picture_hardly_matters():
    torch.manual_seed(0)
    network = SmallCNN(1, 16, size=32).eval()
    picture = torch.zeros(1, 1, 64, 64)
    picture[..., 24:32, 24:32] = 1
    moved = picture.roll((16, 16), dims=(2, 3))
    torch.testing.assert_close(network(picture), network(moved), atol=1e-3, rtol=1e-2)


def test_dropout_acts_in_training_only():
    network = backbone_for((6,), width=64, dropout=0.5)
    inputs = torch.randn(3, 6)
    assert (network(inputs) != network(inputs)).any()
    network.eval()
    assert (network(inputs) == network(inputs)).all()


def test_digits_are_learned():
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 16 - 0.3, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    backbone = backbone_for((1, 8, 8), width=64)
    network = torch.nn.Sequential(backbone, torch.nn.Linear(backbone.out_features, 10))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(8):
        for rows in torch.randperm(1200).split(64):
            optimizer.zero_grad()
            cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        assert (network(images[1200:]).argmax(1) == labels[1200:]).float().mean() > 0.94


@pytest.mark.parametrize("shape", [(), (3, 4), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"features must have shape \[d\] or \[channels, height, width\]; got"):
        backbone_for(shape)
