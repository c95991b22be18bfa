import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelwise.functional import binary_codes, reach_penalty, selector_entropy, smooth_step
from labelwise.gates import DSelectK, LinearRamp

shapes = {"n_experts": st.integers(1, 18), "k": st.integers(1, 5), "in_features": st.sampled_from([None, 3])}


def published(z_logits: Tensor, w_logits: Tensor, n: int, gamma: float) -> tuple[list[float], list[list[float]]]:
    """Weights and selectors of one example, written from the published equations with Python floats."""
    digits = math.ceil(math.log2(n))
    selectors = []
    for logits in z_logits.tolist():
        row = []
        for expert in range(n):
            product = 1.0
            for position, t in enumerate(logits):
                if t <= -gamma / 2:
                    on = 0.0
                elif t >= gamma / 2:
                    on = 1.0
                else:
                    on = -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 1 / 2
                product *= on if expert // 2 ** (digits - 1 - position) % 2 else 1 - on
            row.append(product)
        selectors.append(row)
    total = sum(math.exp(w) for w in w_logits.tolist())
    shares = [math.exp(w) / total for w in w_logits.tolist()]
    weights = [sum(share * row[i] for share, row in zip(shares, selectors, strict=True)) for i in range(n)]
    return weights, selectors


@given(**shapes, gamma=st.sampled_from([0.5, 1.0, 4.0]), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_weights_selectors_and_penalty_are_the_published_ones(n_experts, k, in_features, gamma, seed):
    torch.manual_seed(seed)
    gate = DSelectK(n_experts, k, in_features, gamma, entropy=0.3).double()
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter, std=0.4 * gamma)
    batch = 4
    inputs = torch.randn(batch, 3, dtype=torch.float64) if in_features else None
    said = gate(inputs)
    if inputs is None:
        rows = [(gate.z_logits, gate.w_logits, said.weights, said.selectors)]
    else:
        z = (inputs @ gate.z_proj.weight.T + gate.z_proj.bias).reshape(batch, k, -1)
        w = inputs @ gate.w_proj.weight.T + gate.w_proj.bias
        rows = list(zip(z, w, said.weights, said.selectors, strict=True))
    penalty = 0.0
    for z_logits, w_logits, weights, selectors in rows:
        expected_weights, expected_selectors = published(z_logits, w_logits, n_experts, gamma)
        torch.testing.assert_close(weights.tolist(), expected_weights, atol=1e-13, rtol=0)
        torch.testing.assert_close(selectors.tolist(), expected_selectors, atol=1e-13, rtol=0)
        for row in expected_selectors:
            penalty -= 0.3 * sum(r * math.log(r + 1e-6) for r in row)
            if n_experts & (n_experts - 1):
                penalty += min(1 / sum(row), 1e6) if sum(row) else 1e6
    assert said.penalty.item() == pytest.approx(penalty, rel=1e-10, abs=1e-12)


@given(**shapes, scale=st.sampled_from([0.1, 1.0, 1e6]), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_weights_lie_on_the_simplex(n_experts, k, in_features, scale, seed):
    torch.manual_seed(seed)
    gate = DSelectK(n_experts, k, in_features).double()
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    weights, penalty, selectors = gate(torch.randn(5, 3, dtype=torch.float64) if in_features else None)
    lead = (5,) if in_features else ()
    assert weights.shape == (*lead, n_experts)
    assert selectors.shape == (*lead, k, n_experts)
    assert (weights >= 0).all()
    total = weights.sum(-1)
    if n_experts & (n_experts - 1) == 0:
        torch.testing.assert_close(total, torch.ones_like(total), atol=1e-12, rtol=0)
        assert penalty == 0
    else:
        assert (total <= 1 + 1e-12).all()
        assert penalty >= (k * 5 if in_features else k) * (1 - 1e-12)


@given(n_experts=st.integers(1, 18), k=st.integers(1, 5), seed=st.integers(0, 99), gamma=st.sampled_from([0.01, 1.0]))
@settings(max_examples=40)
def test_settled_digits_choose_at_most_k_experts_and_stay(n_experts, k, seed, gamma):
    torch.manual_seed(seed)
    gate = DSelectK(n_experts, k, gamma=gamma, entropy=1.0)
    with torch.no_grad():
        gate.z_logits.copy_((torch.rand_like(gate.z_logits) - 0.5).sign() * gamma * (0.5 + torch.rand(())))
        reachable = ((gate.z_logits > 0) * 2 ** torch.arange(gate.z_logits.shape[1] - 1, -1, -1)).sum(-1) < n_experts
    weights, penalty, selectors = gate()
    assert (weights != 0).sum() <= k
    assert set(selectors.flatten().tolist()) <= {0.0, 1.0}
    assert selectors.sum(-1).tolist() == reachable.float().tolist()
    entropy = selector_entropy(selectors).item()
    assert abs(entropy) < 2e-6 * k
    (penalty + weights @ torch.randn(n_experts)).backward()
    assert gate.w_logits.grad.isfinite().all()
    if n_experts > 1:
        assert (gate.z_logits.grad == 0).all()


def test_two_experts_and_one_selector_are_a_smooth_step():
    gate = DSelectK(2, 1).double()
    for t in (-0.7, -0.2, 0.0, 0.3, 0.5):
        torch.nn.init.constant_(gate.z_logits, t)
        on = smooth_step(torch.tensor(t, dtype=torch.float64))
        assert gate().weights.tolist() == [1 - on, on]


def test_the_first_digit_is_the_most_significant():
    gate = DSelectK(4, 1).double()
    with torch.no_grad():
        gate.z_logits.copy_(torch.tensor([[0.1, -0.4]]))
    a, b = smooth_step(gate.z_logits[0]).tolist()
    expected = [(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]
    assert gate().weights.tolist() == pytest.approx(expected, abs=1e-15)


def test_only_logits_relative_to_gamma_matter():
    torch.manual_seed(0)
    narrow, wide = DSelectK(6, 2, gamma=0.5).double(), DSelectK(6, 2, gamma=5.0).double()
    with torch.no_grad():
        narrow.z_logits.normal_(std=0.2)
        wide.z_logits.copy_(10 * narrow.z_logits)
        wide.w_logits.copy_(narrow.w_logits)
    torch.testing.assert_close(narrow().weights, wide().weights)


@pytest.mark.parametrize("n_experts", [1, 4, 5])
@pytest.mark.parametrize("in_features", [None, 3])
def test_gradients_match_finite_differences(n_experts, in_features):
    torch.manual_seed(1)
    gate = DSelectK(n_experts, 2, in_features, entropy=0.7, reduction="batchmean").double()
    inputs = torch.randn(3, 3, dtype=torch.float64) if in_features else None
    names, values = zip(*((name, p.detach() * 20) for name, p in gate.named_parameters()), strict=True)
    values = [value.requires_grad_() for value in values]

    def run(*values):
        said = torch.func.functional_call(gate, dict(zip(names, values, strict=True)), (inputs,))
        return said.weights, said.penalty, said.selectors

    assert torch.autograd.gradcheck(run, values)


@pytest.mark.parametrize("in_features", [None, 50])
def test_it_starts_undecided_as_published(in_features):
    torch.manual_seed(0)
    gate = DSelectK(16, 500, in_features, gamma=2.0)
    digits = [gate.z_logits] if in_features is None else list(gate.z_proj.parameters())
    shares = [gate.w_logits] if in_features is None else list(gate.w_proj.parameters())
    for parameters, bound in ((digits, 0.02), (shares, 0.05)):
        for values in parameters:
            assert values.abs().max() <= bound
            assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
            assert abs(values.mean().item()) < 0.1 * bound
    weights = gate(None if in_features is None else torch.zeros(2, 50)).weights
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 16), atol=0.01, rtol=0)


def test_parameters_have_the_names_and_shapes_promised():
    assert {n: tuple(p.shape) for n, p in DSelectK(5, 2).named_parameters()} == {"z_logits": (2, 3), "w_logits": (2,)}
    expected = {"z_proj.weight": (6, 7), "z_proj.bias": (6,), "w_proj.weight": (2, 7), "w_proj.bias": (2,)}
    assert {n: tuple(p.shape) for n, p in DSelectK(5, 2, 7).named_parameters()} == expected


def test_logits_per_example_are_laid_out_selector_by_selector():
    gate = DSelectK(8, 2, 1)
    with torch.no_grad():
        gate.z_proj.weight.zero_()
        gate.z_proj.bias.copy_(torch.tensor([1.0, 1, 1, -1, -1, 1]))  # 7, then 1
    chosen = gate(torch.zeros(1, 1)).selectors[0].argmax(-1)
    assert chosen.tolist() == [7, 1]


def test_penalty_in_training_mode_only_and_step_counts_those_calls():
    steps = []

    def schedule(step: int) -> float:
        steps.append(step)
        return 0.1 * step

    gate = DSelectK(5, 2, entropy=schedule)
    for expected in (1, 2, 3):
        said = gate()
        entropy, reach = selector_entropy(said.selectors), reach_penalty(said.selectors)
        torch.testing.assert_close(said.penalty, 0.1 * expected * entropy + reach)
        gate.eval()
        assert gate().penalty == 0
        gate.train()
    assert steps == [1, 2, 3]
    assert gate.step == 3


def test_without_entropy_and_with_all_codes_taken_nothing_moves():
    gate = DSelectK(8, 2)
    assert gate().penalty == 0
    assert not gate().penalty.requires_grad


@pytest.mark.parametrize("reduction", ["sum", "batchmean"])
def test_reduction_over_the_batch(reduction):
    gate = DSelectK(5, 2, 3, entropy=0.5, reduction=reduction)
    inputs = torch.randn(4, 3)
    once, twice = gate(inputs).penalty, gate(inputs.repeat(2, 1)).penalty
    torch.testing.assert_close(twice, once * (2 if reduction == "sum" else 1))


@pytest.mark.parametrize(
    ("n_experts", "k", "optimiser", "rate"),
    [(8, 2, torch.optim.Adam, 0.01), (8, 2, torch.optim.SGD, 0.05), (20, 3, torch.optim.Adam, 0.01)],
)
def test_entropy_alone_settles_every_digit(n_experts, k, optimiser, rate):
    for seed in range(3):
        torch.manual_seed(seed)
        gate = DSelectK(n_experts, k, entropy=1.0)
        steps = optimiser(gate.parameters(), rate)
        for _ in range(600):
            steps.zero_grad()
            gate().penalty.backward()
            steps.step()
        said = gate()
        assert said.selectors.amax(-1).tolist() == [1.0] * k
        assert (said.selectors != 0).sum(-1).tolist() == [1] * k
        assert said.weights.sum().item() == pytest.approx(1)


def test_entropy_alone_settles_nearly_every_example():
    torch.manual_seed(0)
    gate = DSelectK(8, 2, 5, entropy=1.0, reduction="batchmean")
    inputs = torch.randn(64, 5)
    steps = torch.optim.Adam(gate.parameters(), 0.01)
    for _ in range(1500):
        steps.zero_grad()
        gate(inputs).penalty.backward()
        steps.step()
    assert gate(inputs).selectors.amax(-1).mean() > 0.999


@pytest.mark.parametrize("in_features", [None, 6])
def test_autocast_changes_neither_weights_nor_penalty(in_features):
    gate = DSelectK(6, 2, in_features, gamma=1e-3, entropy=0.1)
    inputs = torch.randn(5, 6) if in_features else None
    plain = gate(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        cast = gate(inputs)
    assert cast.weights.dtype == torch.float32
    for a, b in zip(plain, cast, strict=True):
        assert torch.equal(a, b)


def test_a_gate_in_half_precision_still_sums_to_one():
    gate = DSelectK(8, 2, 3).to(torch.bfloat16)
    weights = gate(torch.randn(4, 3, dtype=torch.bfloat16)).weights
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(4))


def test_one_expert_and_more_selectors_than_experts():
    for in_features in (None, 3):
        inputs = torch.randn(4, 3) if in_features else None
        said = DSelectK(1, 3, in_features)(inputs)
        torch.testing.assert_close(said.weights, torch.ones_like(said.weights))
        assert said.penalty == 0
        said = DSelectK(2, 5, in_features)(inputs)
        assert said.selectors.shape[-2:] == (5, 2)


def test_a_batch_of_none():
    said = DSelectK(5, 2, 3, entropy=1.0, reduction="batchmean")(torch.zeros(0, 3))
    assert said.weights.shape == (0, 5)
    assert said.penalty == 0


@pytest.mark.parametrize("in_features", [None, 3])
def test_state_comes_back(in_features):
    torch.manual_seed(0)
    gate, other = (DSelectK(6, 2, in_features, entropy=LinearRamp(1.0, 10)) for _ in range(2))
    inputs = torch.randn(4, 3)
    for _ in range(4):
        gate(inputs)
    other.load_state_dict(gate.state_dict())
    for a, b in zip(gate(inputs), other(inputs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_experts": 0}, "n_experts must be at least 1; got 0"),
        ({"k": 0}, "k must be at least 1; got 0"),
        ({"gamma": 0.0}, "gamma must be above 0; got 0.0"),
        ({"gamma": math.nan}, "gamma must be above 0; got nan"),
        ({"entropy": -1.0}, "entropy must be at least 0"),
        ({"reduction": "mean"}, "reduction must be 'sum' or 'batchmean'; got 'mean'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DSelectK(**{"n_experts": 4, "k": 2} | arguments)


def test_inputs_missing_or_of_the_wrong_width():
    gate = DSelectK(4, 2, 3)
    for inputs, got in ((None, "none"), (torch.zeros(2, 5), r"\[2, 5\]"), (torch.zeros(2, 1, 3), r"\[2, 1, 3\]")):
        with pytest.raises(ValueError, match=rf"inputs \[batch, 3\]; got {got}"):
            gate(inputs)


@given(**shapes)
@settings(max_examples=20)
def test_eval_mode_leaves_no_trace(n_experts, k, in_features):
    gate = DSelectK(n_experts, k, in_features, entropy=1.0).eval()
    inputs = torch.randn(2, 3)
    before = {name: value.clone() for name, value in gate.state_dict().items()}
    first, second = gate(inputs), gate(inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(before[name], value) for name, value in gate.state_dict().items())


def test_every_expert_can_be_spelled():
    for n, k in itertools.product((3, 4, 7), (1, 2)):
        gate = DSelectK(n, k)
        for expert in range(n):
            with torch.no_grad():
                gate.z_logits.copy_(binary_codes(n)[expert].float() * 2 - 1)
            assert gate().weights.argmax() == expert


@pytest.mark.parametrize("in_features", [None, 3])
def test_it_compiles_as_one_graph(in_features):
    gate = DSelectK(6, 2, in_features, entropy=0.5)
    inputs = torch.randn(4, 3)
    compiled = torch.compile(gate, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(inputs), gate(inputs))
    assert gate.step == 2
