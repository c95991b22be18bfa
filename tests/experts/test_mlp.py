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
    torch.testing.assert_close(
        experts.each(inputs.repeat(n, 1), torch.arange(n).repeat_interleave(5), [5] * n), torch.cat(expected)
    )
    chosen = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    torch.testing.assert_close(experts(inputs, chosen), torch.stack([expected[i] for i in chosen]))


@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize("width", [8, 5])  # the first can be computed in groups
@pytest.mark.parametrize("counts", [[3, 0, 7, 1], [0, 0, 11, 0], [0, 0, 0, 0]])
def test_rows_of_their_own_give_what_all_experts_would_say_of_them(width, counts, activate):
    torch.manual_seed(0)
    experts = MLPExperts(4, width, 8, width, activate)
    rows = torch.randn(sum(counts), width, requires_grad=True)
    of_expert = torch.arange(4).repeat_interleave(torch.tensor(counts))
    assert experts._can_group(rows) == (width == 8 and len(rows) > 0)
    found, gradients = [], []
    for said in (experts.each(rows, of_expert, counts), experts(rows)[of_expert, torch.arange(len(rows))]):
        found.append(said)
        said.sum().backward()  # whose gradient is expanded
        gradients.append([rows.grad, *(parameter.grad for parameter in experts.parameters())])
        rows.grad = None
        experts.zero_grad()
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)


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
