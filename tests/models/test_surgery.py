import pytest
import torch
from torch import nn

from labelwise.models import MLP, SmallCNN, feature_tap, with_extra_input_channels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("make", "shape"), [(lambda: SmallCNN(3, 32, size=20), (3, 20, 20)), (lambda: MLP(11, (16,), 8), (11,))]
)
def test_new_channels_of_weight_zero_change_no_bit(make, shape, seed):
    torch.manual_seed(seed)
    model = make().eval()
    wider = with_extra_input_channels(model, 2)
    seen = torch.randn(5, *shape)
    extra = 100 * torch.randn(5, 2, *shape[1:])
    assert torch.equal(wider(torch.cat([seen, extra], 1)), model(seen))
    assert not {id(p) for p in wider.parameters()} & {id(p) for p in model.parameters()}
    assert torch.equal(model(seen), model(seen))


def test_the_new_channels_are_learned_from():
    model = SmallCNN(1, 8, size=8).requires_grad_(False)
    wider = with_extra_input_channels(model, 1)
    wider(torch.randn(4, 2, 8, 8)).square().sum().backward()
    first = next(one for one in wider.modules() if isinstance(one, nn.Conv2d))
    assert first.in_channels == 2
    assert first.weight.grad[:, 1].abs().sum() > 0


def test_kaiming_draws_the_whole_layer_anew():
    layer = nn.Conv2d(3, 64, 5)
    wider = with_extra_input_channels(layer, 1, "kaiming")
    assert wider.weight.shape == (64, 4, 5, 5)
    assert not torch.equal(wider.weight[:, :3], layer.weight)
    assert wider.weight.std().item() == pytest.approx((2 / (64 * 25)) ** 0.5, rel=0.05)
    assert torch.equal(wider.bias, layer.bias)


def test_a_first_layer_that_is_not_the_first_by_order_is_named():
    model = nn.ModuleDict({"head": nn.Linear(4, 2), "stem": nn.Conv2d(3, 4, 3)})
    wider = with_extra_input_channels(model, 1, path="stem")
    assert (wider["head"].in_features, wider["stem"].in_channels) == (4, 4)
    with pytest.raises(ValueError, match="no module 'sten'; did you mean 'stem'"):
        with_extra_input_channels(model, 1, path="sten")


@pytest.mark.parametrize(
    ("model", "n", "init", "message"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), 1, "zero", "not in groups"),
        (nn.ReLU(), 1, "zero", "the first layer must be a convolution"),
        (nn.Linear(2, 2), 0, "zero", "n must be at least 1; got 0"),
        (nn.Linear(2, 2), 1, "ones", "init must be zero or kaiming; got 'ones'"),
    ],
)
def test_what_cannot_be_widened_is_refused(model, n, init, message):
    with pytest.raises(ValueError, match=message):
        with_extra_input_channels(model, n, init)


def test_a_tap_notes_what_a_module_gives_and_is_gone_after():
    model = MLP(3, (4,), 2)
    seen = torch.randn(5, 3)
    with feature_tap(model, "layers.1") as tap:
        with pytest.raises(ValueError, match=r"'layers\.1' has not been run"):
            _ = tap.features
        model(seen)
    torch.testing.assert_close(tap.features, model.layers[1](seen))
    kept = tap.features
    model(seen + 1)
    assert tap.features is kept
    tap.features.sum().backward()
    assert model.layers[1].weight.grad is not None
    with pytest.raises(ValueError, match=r"no module 'layer\.1'"), feature_tap(model, "layer.1"):
        pass


def test_of_several_outputs_the_first_tensor_is_noted():
    class Nested(nn.Module):
        def forward(self, x):
            return {"hidden": (x + 1, x), "other": x}

    model = nn.Sequential(Nested())
    with feature_tap(model, "0") as tap:
        model(torch.zeros(2))
    assert tap.features.tolist() == [1, 1]


def test_a_module_that_notes_something_of_each_channel_is_told_of_new_ones():
    class Scaled(nn.Conv2d):
        scales = (2.0, 2.0, 2.0)

        def more_channels(self, n):
            self.scales = (*self.scales, *[1.0] * n)

    model = nn.Sequential(Scaled(3, 4, 1))
    assert with_extra_input_channels(model, 2)[0].scales == (2, 2, 2, 1, 1)
    assert model[0].scales == (2, 2, 2)
