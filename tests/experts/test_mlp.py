import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labelwise.experts import MLPExperts


@given(
    n=st.integers(1, 6),
    hidden=st.one_of(st.integers(1, 5), st.lists(st.integers(1, 5), max_size=3)),
    activate=st.booleans(),
    data=st.data(),
)
@settings(max_examples=30)
def test_stacked_experts_are_separate_networks(n, hidden, activate, data):
    experts = MLPExperts(n, 4, hidden, 3, activate).double()
    inputs = torch.randn(5, 4, dtype=torch.float64)
    expected = []
    for i in range(n):
        layers: list[nn.Module] = []
        for weight, bias in zip(experts.weights, experts.biases, strict=True):
            layer = nn.Linear(*weight.shape[1:]).double()
            layer.load_state_dict({"weight": weight[i].T, "bias": bias[i]})
            layers += [layer, nn.ReLU()]
        expected.append(nn.Sequential(*layers[: len(layers) if activate else -1])(inputs))
    assert len(experts) == n
    torch.testing.assert_close(experts(inputs), torch.stack(expected))
    torch.testing.assert_close([run(inputs) for run in experts.separate()], expected)
    chosen = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    torch.testing.assert_close(experts(inputs, chosen), torch.stack([expected[i] for i in chosen]))


def test_they_start_as_linear_layers_do():
    torch.manual_seed(0)
    experts = MLPExperts(50, 30, 40, 20)
    linear = nn.Linear(30, 40)
    for ours, theirs in ((experts.weights[0], linear.weight), (experts.biases[0], linear.bias)):
        assert ours.abs().max() <= 30**-0.5
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.2)


@pytest.mark.parametrize("arguments", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, [4, 0], 5), (2, 3, 4, 0)])
def test_sizes_must_be_positive(arguments):
    with pytest.raises(ValueError, match="number and widths of experts must be at least 1"):
        MLPExperts(*arguments)


def test_printing_shows_the_widths():
    assert "2 experts, widths [3, 4, 5], activate_output=True" in repr(MLPExperts(2, 3, 4, 5))
