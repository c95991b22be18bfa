import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.gates import DSelectK, Fixed, Gate, LinearRamp, Softmax, TopK


@given(
    n=st.integers(1, 12), in_features=st.sampled_from([None, 3]), scale=st.sampled_from([0.1, 1.0, 1e4]), data=st.data()
)
def test_weights_lie_on_the_simplex(n, in_features, scale, data):
    k = data.draw(st.integers(1, n))
    gates: list[Gate] = [Softmax(n, in_features), TopK(n, k, in_features)]
    inputs = scale * torch.randn(5, 3) if in_features else None
    for gate in gates:
        weights, penalty, selectors = gate(inputs)
        assert weights.shape == ((5, n) if in_features else (n,))
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert penalty == 0
        assert selectors is None


def test_softmax_is_the_softmax_of_its_logits():
    gate = Softmax(4)
    torch.testing.assert_close(gate().weights, torch.softmax(gate.logits, 0))
    gate = Softmax(4, 3)
    inputs = torch.randn(2, 3)
    torch.testing.assert_close(gate(inputs).weights, torch.softmax(gate.proj(inputs), -1))


def test_top_k_is_the_softmax_of_the_largest_logits_and_zero_elsewhere():
    gate = TopK(5, 2).double()
    with torch.no_grad():
        gate.logits.copy_(torch.tensor([0.1, 2.0, -1.0, 1.0, 0.0]))
    weights = gate().weights
    on = torch.softmax(torch.tensor([2.0, 1.0], dtype=torch.float64), 0).tolist()
    assert weights.tolist() == [0, on[0], 0, on[1], 0]
    (weights @ torch.randn(5, dtype=torch.float64)).backward()
    assert (gate.logits.grad[[0, 2, 4]] == 0).all()
    assert (gate.logits.grad[[1, 3]] != 0).all()


def test_top_n_is_softmax():
    top, soft = TopK(6, 6, 3), Softmax(6, 3)
    soft.load_state_dict(top.state_dict())
    inputs = torch.randn(4, 3)
    torch.testing.assert_close(top(inputs).weights, soft(inputs).weights)


@pytest.mark.parametrize("k", [0, 5])
def test_top_k_needs_k_within_the_number_of_experts(k):
    with pytest.raises(ValueError, match=f"k must be from 1 to n_experts = 4; got {k}"):
        TopK(4, k)


def test_autocast_leaves_logits_in_full_precision():
    inputs = torch.randn(50, 3)
    for gate in (Softmax(7, 3), TopK(7, 2, 3)):
        with torch.autocast("cpu", torch.bfloat16):
            cast = gate(inputs).weights
        assert torch.equal(cast, gate(inputs).weights)


def test_fixed_weights_are_given_back_and_not_learned():
    gate = Fixed([0.25, 0.0, 0.75])
    assert gate(torch.randn(2, 9)).weights.tolist() == [0.25, 0.0, 0.75]
    assert gate.n_experts == 3
    assert not list(gate.parameters())
    assert list(gate.state_dict()) == ["weights"]


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [[1.0]], [float("nan"), 1.0], []])
def test_fixed_weights_must_be_on_the_simplex(weights):
    with pytest.raises(ValueError, match="weights must be numbers >= 0 with sum 1"):
        Fixed(weights)


def test_printing_shows_what_a_gate_is():
    assert repr(DSelectK(4, 2)) == "DSelectK(n_experts=4, in_features=None, k=2, gamma=1.0, entropy=0.0)"
    assert "k=2" in repr(TopK(4, 2))


def test_the_ramp_rises_evenly_and_stays():
    ramp = LinearRamp(0.05, 10)
    assert [ramp(step) for step in (0, 1, 5, 10, 11, 10**9)] == pytest.approx([0, 0.005, 0.025, 0.05, 0.05, 0.05])
    assert LinearRamp(1.0, 4, start=3.0)(2) == 2.0
    assert LinearRamp(**dataclasses.asdict(ramp)) == ramp


@pytest.mark.parametrize("numbers", [{"end": 1.0, "steps": 0}, {"end": -1.0, "steps": 5}])
def test_a_ramp_needs_steps_and_strengths(numbers):
    with pytest.raises(ValueError, match="steps must be at least 1, start and end at least 0"):
        LinearRamp(**numbers)
