import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.functional import mix_selectors
from labelwise.gates import DSelectK

shapes = {"n_experts": st.integers(1, 9), "k": st.integers(1, 3), "in_features": st.sampled_from([None, 3])}


def pair(n_experts: int, k: int, in_features: int | None, **options) -> tuple[DSelectK, DSelectK]:
    """A gate with permutations and one without, of equal digits and shares, drawn wide."""
    permuted = DSelectK(n_experts, k, in_features, permute=True, **options).double()
    plain = DSelectK(n_experts, k, in_features, **options).double()
    for name, parameter in permuted.named_parameters():
        if not name.startswith("permutation"):
            torch.nn.init.normal_(parameter, std=0.3)
    plain.load_state_dict(permuted.state_dict(), strict=False)
    return permuted, plain


@given(**shapes, seed=st.integers(0, 99))
@settings(max_examples=40)
def test_a_hard_permutation_only_renames_experts(n_experts, k, in_features, seed):
    torch.manual_seed(seed)
    permuted, plain = pair(n_experts, k, in_features)
    order = torch.stack([torch.randperm(n_experts) for _ in range(k)])
    with torch.no_grad():
        permuted.permutation.logits.copy_(torch.eye(n_experts)[order] * 5)
    inputs = torch.randn(4, 3, dtype=torch.float64) if in_features else None
    found, expected = permuted.eval()(inputs), plain.eval()(inputs)
    for s in range(k):
        assert torch.equal(found.selectors[..., s, order[s]], expected.selectors[..., s, :])
    same = order[:1].expand(k, -1)
    permuted.permutation.order.copy_(same)
    assert torch.equal(permuted(inputs).weights[..., same[0]], expected.weights)


@given(**shapes, step=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_while_learning_sums_and_penalties_stay_as_without(n_experts, k, in_features, step, seed):
    torch.manual_seed(seed)
    permuted, plain = pair(n_experts, k, in_features, entropy=0.5, permute_steps=10)
    permuted.step.fill_(step - 1)
    inputs = torch.randn(4, 3, dtype=torch.float64) if in_features else None
    found, expected = permuted(inputs), plain(inputs)
    torch.testing.assert_close(found.penalty, expected.penalty)
    torch.testing.assert_close(found.selectors.sum(-1), expected.selectors.sum(-1))
    torch.testing.assert_close(found.weights.sum(-1), expected.weights.sum(-1))
    assert (found.weights >= 0).all()


@pytest.mark.parametrize("in_features", [None, 3])
@pytest.mark.parametrize("step", [3, 20])
def test_gradients_match_finite_differences(in_features, step):
    torch.manual_seed(1)
    gate = DSelectK(5, 2, in_features, entropy=0.7, permute=True, permute_steps=20).double()
    inputs = torch.randn(3, 3, dtype=torch.float64) if in_features else None
    names, values = zip(*((name, p.detach() + 0.1) for name, p in gate.named_parameters()), strict=True)
    values = [value.requires_grad_() for value in values]

    def run(*values):
        gate.step.fill_(step)
        said = torch.func.functional_call(gate, dict(zip(names, values, strict=True)), (inputs,))
        return said.weights, said.penalty

    assert torch.autograd.gradcheck(run, values)


@pytest.mark.parametrize("in_features", [None, 3])
def test_it_hardens_and_then_stays(in_features):
    torch.manual_seed(0)
    gate = DSelectK(6, 2, in_features, permute=True, permute_steps=30)
    inputs = torch.randn(16, 3) if in_features else None
    steps = torch.optim.Adam(gate.parameters(), 0.01)
    target = torch.randn(6)
    for step in range(60):
        fixed = gate.permutation.order.clone()
        assert bool((fixed >= 0).all()) == (step >= 30)
        steps.zero_grad()
        said = gate(inputs)
        ((said.weights * target).sum() + said.penalty).backward()
        assert all(p.grad is not None for p in gate.parameters())  # as data-parallel training expects
        steps.step()
        if step >= 30:
            assert torch.equal(gate.permutation.order, fixed)
            assert (gate.permutation.logits.grad == 0).all()
    assert gate.permutation.order.sort(-1).values.tolist() == [list(range(6))] * 2
    assert torch.equal(gate(inputs).weights, gate.eval()(inputs).weights)


def test_it_slides_into_the_permutation_without_a_jump():
    torch.manual_seed(0)
    gate = DSelectK(8, 2, permute=True, permute_steps=1000)
    gate.step.fill_(998)
    with torch.no_grad():
        gate.z_logits.fill_(1.0)  # each selector wholly on the last number
    before = gate().selectors
    assert before.amax(-1).min() > 0.99
    torch.testing.assert_close(gate().selectors, before, atol=2e-3, rtol=0)


def test_settled_digits_choose_at_most_k_experts_in_eval_mode_and_once_hard():
    gate = DSelectK(8, 2, permute=True, permute_steps=1)
    with torch.no_grad():
        gate.z_logits.copy_(torch.randn(2, 3).sign())
    for said in (gate.eval()(), gate.train()()):
        assert set(said.selectors.flatten().tolist()) == {0.0, 1.0}
        torch.testing.assert_close(said.weights, mix_selectors(said.selectors, gate.w_logits))


def test_eval_mode_leaves_no_trace_and_state_comes_back():
    gate, other = (DSelectK(6, 2, permute=True, permute_steps=3) for _ in range(2))
    for training_calls in range(5):
        gate.eval()()
        assert (gate.permutation.order >= 0).any() == (training_calls >= 3)
        other.load_state_dict(gate.state_dict())
        assert torch.equal(gate().weights, other.eval()().weights)
        gate.train()()
    gate.reset_parameters()
    assert (gate.permutation.order == -1).all()


@pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace")  # the assignment runs outside the graph
def test_it_compiles():
    gate = DSelectK(6, 2, 3, permute=True, entropy=0.5)
    inputs = torch.randn(4, 3)
    compiled = torch.compile(gate, backend="eager")
    said = compiled(inputs)
    gate.step.fill_(0)
    torch.testing.assert_close(said, gate(inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    gate = DSelectK(6, 2, 3, permute=True).to(dtype)
    inputs = torch.randn(4, 3, dtype=dtype)
    plain = gate(inputs).weights
    gate.step.fill_(0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gate(inputs).weights, plain)
    assert plain.dtype == torch.float32


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="permute_steps must be at least 1; got 0"):
        DSelectK(4, 2, permute=True, permute_steps=0)
