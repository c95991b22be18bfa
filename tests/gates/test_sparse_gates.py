import copy
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.gates import Entmax, Softmax, Sparsemax

alphas = st.sampled_from([1.2, 1.5, 2.0, 3.0])


def static(alpha: float, logits: torch.Tensor) -> Entmax:
    gate = Entmax(len(logits), alpha=alpha).to(logits.dtype)
    with torch.no_grad():
        gate.logits.copy_(logits)
    return gate


@given(
    alpha=alphas, n=st.integers(1, 9), scale=st.sampled_from([0.1, 1.0, 1e3]), in_features=st.sampled_from([None, 3])
)
@settings(max_examples=40)
def test_weights_lie_on_the_simplex(alpha, n, scale, in_features):
    gate = Entmax(n, in_features, alpha).double()
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    weights, penalty, selectors = gate(torch.randn(5, 3, dtype=torch.float64) if in_features else None)
    assert weights.shape == ((5, n) if in_features else (n,))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
    assert penalty == 0
    assert selectors is None


@given(alpha=alphas, seed=st.integers(0, 99))
@settings(max_examples=40)
def test_weights_maximise_the_logits_plus_tsallis_entropy(alpha, seed):
    # At the maximum, w^(alpha - 1) / (alpha - 1) is the logit minus one and the same threshold, or 0 below that.
    torch.manual_seed(seed)
    logits = torch.randn(6, dtype=torch.float64)
    weights = static(alpha, logits)().weights.detach()
    used = weights > 0
    thresholds = logits - weights ** (alpha - 1) / (alpha - 1)
    threshold = thresholds[used].mean()
    torch.testing.assert_close(thresholds[used], threshold.expand(int(used.sum())), atol=1e-7, rtol=0)
    assert (logits[~used] <= threshold + 1e-9).all()


def test_sparsemax_by_hand():
    # Thresholds by hand: (0.8 + 0.6 - 1) / 2 = 0.2 for the first, (3 - 1) / 1 = 2 for the second.
    for logits, expected in (([0.8, 0.6, 0.1], [0.6, 0.4, 0.0]), ([3.0, 1.0, 0.0], [1.0, 0.0, 0.0])):
        gate = Sparsemax(3)
        with torch.no_grad():
            gate.logits.copy_(torch.tensor(logits))
        torch.testing.assert_close(gate().weights, torch.tensor(expected))


def test_near_alpha_one_it_is_softmax():
    logits = torch.randn(5, dtype=torch.float64)
    torch.testing.assert_close(static(1.0001, logits)().weights.detach(), torch.softmax(logits, 0), atol=1e-3, rtol=0)


def test_bisection_agrees_with_the_exact_solutions():
    logits = torch.randn(7, dtype=torch.float64)
    for exact in (1.5, 2.0):
        close = static(exact + 1e-9, logits)
        torch.testing.assert_close(static(exact, logits)().weights, close().weights, atol=1e-6, rtol=0)


@given(alpha=alphas, shift=st.floats(-100, 100))
@settings(max_examples=20)
def test_adding_a_constant_to_all_logits_changes_nothing(alpha, shift):
    logits = torch.randn(5, dtype=torch.float64)
    torch.testing.assert_close(static(alpha, logits)().weights, static(alpha, logits + shift)().weights)


@pytest.mark.parametrize("alpha", [1.3, 1.5, 2.0])
def test_gradients_match_finite_differences(alpha):
    gate = Entmax(4, alpha=alpha).double()
    logits = torch.tensor([0.3, 0.1, -0.2, -4.0], dtype=torch.float64, requires_grad=True)

    def run(logits):
        return torch.func.functional_call(gate, {"logits": logits}, ()).weights

    assert torch.autograd.gradcheck(run, logits, atol=1e-4)
    (run(logits) @ torch.randn(4, dtype=torch.float64)).backward()
    assert run(logits)[3] == logits.grad[3] == 0


def test_it_can_be_copied_compiled_and_autocast():
    inputs = torch.randn(6, 3)
    for gate in (Sparsemax(5, 3), Entmax(5, 3)):
        torch.testing.assert_close(copy.deepcopy(gate)(inputs).weights, gate(inputs).weights)
        torch.testing.assert_close(torch.compile(gate, backend="eager")(inputs).weights, gate(inputs).weights)
        with torch.autocast("cpu", torch.bfloat16):
            cast = gate(inputs).weights
        assert torch.equal(cast, gate(inputs).weights)
        soft = Softmax(5, 3)
        soft.load_state_dict(gate.state_dict())
        assert (gate(inputs).weights.argmax(-1) == soft(inputs).weights.argmax(-1)).all()


def test_errors_say_what_to_do(monkeypatch):
    with pytest.raises(ValueError, match=r"alpha must be above 1.*got 1\.0"):
        Entmax(4, alpha=1.0)
    monkeypatch.setitem(sys.modules, "entmax", None)
    with pytest.raises(ValueError, match=r"need an extra: pip install 'labelwise\[entmax\]'"):
        Sparsemax(4)
