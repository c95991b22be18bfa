import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.functional import (
    binary_codes,
    mix_selectors,
    reach_penalty,
    selector,
    selector_entropy,
    smooth_step,
    top_k_softmax,
)

gammas = st.sampled_from([1e-3, 0.1, 0.3, 1.0, 2.5, 10.0])


def reference_step(t: float, gamma: float) -> float:
    """The published cubic, in Python floats."""
    if t <= -gamma / 2:
        return 0.0
    if t >= gamma / 2:
        return 1.0
    return -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5


@given(gammas, st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_smooth_step_is_the_published_cubic(gamma, shares):
    t = [share * gamma for share in shares]
    found = smooth_step(torch.tensor(t, dtype=torch.float64), gamma)
    np.testing.assert_allclose(found.numpy(), [reference_step(x, gamma) for x in t], atol=1e-14)


@given(gammas, st.sampled_from([torch.float32, torch.float64]))
def test_smooth_step_is_exactly_flat_from_its_ends_on(gamma, dtype):
    outside = torch.tensor([0.5, 0.5001, 1.0, 7.0, 1e30, math.inf], dtype=dtype) * gamma
    t = torch.cat([outside, -outside]).requires_grad_()
    found = smooth_step(t, gamma)
    found.sum().backward()
    assert found.tolist() == [1.0] * 6 + [0.0] * 6
    assert t.grad.tolist() == [0.0] * 12


def test_smooth_step_never_leaves_the_unit_interval_by_rounding():
    t = torch.linspace(-0.5, 0.5, 2_000_001)
    found = smooth_step(t)
    assert found.min() >= 0
    assert found.max() <= 1


@given(gammas)
def test_smooth_step_is_symmetric_and_rises(gamma):
    t = torch.linspace(-gamma, gamma, 101, dtype=torch.float64)
    found = smooth_step(t, gamma)
    torch.testing.assert_close(smooth_step(-t, gamma), 1 - found, atol=1e-15, rtol=0)
    assert (found.diff() >= 0).all()


def test_slope_of_smooth_step_is_the_published_one_and_continuous():
    for gamma in [0.1, 1.0, 3.0]:
        t = torch.linspace(-gamma / 2, gamma / 2, 51, dtype=torch.float64, requires_grad=True)
        smooth_step(t, gamma).sum().backward()
        expected = 3 / (2 * gamma) - 6 * t.detach() ** 2 / gamma**3
        torch.testing.assert_close(t.grad, expected, atol=1e-12 / gamma, rtol=1e-9)
        assert t.grad[0] == t.grad[-1] == 0


def test_smooth_step_matches_finite_differences_up_to_the_second_derivative():
    t = torch.tensor([-3.0, -0.7, -0.31, 0.0, 0.02, 0.45, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: smooth_step(t, 1.3), t)
    assert torch.autograd.gradgradcheck(lambda t: smooth_step(t, 1.3), t)


def test_smooth_step_of_width_zero_is_the_limit_and_never_in_doubt():
    t = torch.tensor([-3.0, -1e-30, 0.0, 1e-30, 2.0], requires_grad=True)
    found = smooth_step(t, 0.0)
    found.sum().backward()
    assert found.tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert t.grad.tolist() == [0.0] * 5
    away = t.detach()[[0, 1, 3, 4]]
    assert torch.equal(smooth_step(away, 0.0), smooth_step(away, 1e-32))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow_for_a_small_gamma(dtype):
    t = torch.tensor([-1.0, -2e-4, 0.0, 2e-4, 1.0], dtype=dtype)
    found = smooth_step(t, 1e-3)
    assert found.dtype == torch.float32
    expected = [reference_step(x, 1e-3) for x in t.tolist()]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@given(st.integers(1, 300))
def test_codes_spell_their_row_with_the_most_significant_bit_first(n):
    codes = binary_codes(n)
    assert codes.dtype == torch.bool
    assert codes.shape == (n, math.ceil(math.log2(n)))
    spelled = [int("".join(str(int(bit)) for bit in row) or "0", 2) for row in codes.tolist()]
    assert spelled == list(range(n))


def test_no_codes_for_no_experts():
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        binary_codes(0)


@given(
    n=st.integers(1, 20),
    k=st.integers(1, 4),
    lead=st.lists(st.integers(0, 3), max_size=2),
    gamma=gammas,
    spread=st.sampled_from([0.01, 0.5, 1e9]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_selectors_and_their_mixture_lie_on_the_simplex(n, k, lead, gamma, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    codes = binary_codes(n)
    z = torch.randn(*lead, k, codes.shape[1], generator=generator, dtype=torch.float64) * gamma * spread
    w = torch.randn(*lead, k, generator=generator, dtype=torch.float64) * spread
    selectors = selector(z, n, gamma)
    weights = mix_selectors(selectors, w)
    assert selectors.shape == (*lead, k, n)
    assert weights.shape == (*lead, n)
    for values in (selectors, weights):
        assert (values >= 0).all()
        total = values.sum(-1)
        if n == 2 ** codes.shape[1]:
            torch.testing.assert_close(total, torch.ones_like(total), atol=1e-12, rtol=0)
        else:
            assert (total <= 1 + 1e-12).all()
    assert (1 / selectors.sum(-1) >= 1 - 1e-12).all()


def test_selector_is_the_product_over_digits():
    z = torch.randn(3, 2, 3, dtype=torch.float64) * 0.4
    found = selector(z, 6, 1.7)
    for b, s, i in itertools.product(range(3), range(2), range(6)):
        expected = 1.0
        for j, bit in enumerate(f"{i:03b}"):
            on = reference_step(z[b, s, j].item(), 1.7)
            expected *= on if bit == "1" else 1 - on
        assert found[b, s, i].item() == pytest.approx(expected, abs=1e-14)


def test_the_number_of_digits_must_be_that_of_the_experts():
    with pytest.raises(ValueError, match=r"5 experts are numbered with 3 bits.* got \[2, 4\]"):
        selector(torch.zeros(2, 4), 5)


@given(n=st.integers(1, 20), batch_last=st.booleans())
def test_memory_layout_changes_nothing(n, batch_last):
    digits = (n - 1).bit_length()
    z = torch.randn(3, 2, digits, dtype=torch.float64) * 0.3
    w = torch.randn(3, 2, dtype=torch.float64)
    order = (1, 2, 0) if batch_last else (2, 0, 1)
    back = (2, 0, 1) if batch_last else (1, 2, 0)
    moved = z.permute(order).contiguous().permute(back)
    torch.testing.assert_close(selector(moved, n), selector(z, n), atol=0, rtol=0)
    contiguous = selector(z, n).contiguous()
    torch.testing.assert_close(mix_selectors(selector(moved, n), w), mix_selectors(contiguous, w))


def test_four_experts_by_hand():
    t = torch.tensor([[0.2, -0.3]], dtype=torch.float64)
    a, b = (reference_step(x, 1.0) for x in (0.2, -0.3))
    expected = [(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]
    assert selector(t, 4)[0].tolist() == pytest.approx(expected, abs=1e-15)


@given(n=st.integers(2, 17), seed=st.integers(0, 99), scale=st.floats(0.01, 100))
def test_only_logits_relative_to_gamma_matter(n, seed, scale):
    codes = binary_codes(n)
    z = torch.randn(2, codes.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(selector(z, n, 1.5), selector(scale * z, n, scale * 1.5))


def test_gradients_of_selectors_mixture_and_penalties():
    torch.manual_seed(0)  # second derivatives of the reach penalty grow without limit as selectors leave reach
    z = (torch.randn(2, 2, 3, dtype=torch.float64) * 0.3).requires_grad_()
    w = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)

    def everything(z, w):
        selectors = selector(z, 5)
        penalties = selector_entropy(selectors, "batchmean"), reach_penalty(selectors)
        return mix_selectors(selectors, w), *penalties

    assert torch.autograd.gradcheck(everything, (z, w))
    assert torch.autograd.gradgradcheck(everything, (z, w))


def test_entropy_by_hand():
    selectors = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    expected = -math.log(0.5 + 1e-6) - math.log(0.25 + 1e-6)
    assert selector_entropy(selectors).item() == pytest.approx(expected, abs=1e-14)
    settled = torch.eye(4, dtype=torch.float64)
    assert selector_entropy(settled).item() == pytest.approx(-4 * math.log(1 + 1e-6), abs=1e-14)


def test_reach_penalty_by_hand():
    selectors = torch.tensor([[0.2, 0.3], [0.5, 0.5]], dtype=torch.float64)
    assert reach_penalty(selectors).item() == pytest.approx(1 / 0.5 + 1)


def test_reach_penalty_is_finite_where_all_weight_is_out_of_reach():
    z = torch.full((1, 2), 5.0, requires_grad=True)  # spells 3, of experts 0 to 2
    selectors = selector(z, 3)
    assert selectors.sum() == 0
    penalty = reach_penalty(selectors)
    penalty.backward()
    assert penalty.item() == pytest.approx(1e6)
    assert z.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("penalty", [selector_entropy, reach_penalty])
def test_batchmean_does_not_depend_on_the_batch(penalty):
    selectors = torch.rand(5, 3, 4, dtype=torch.float64)
    one = penalty(selectors, "batchmean")
    torch.testing.assert_close(one, penalty(selectors) / 5)
    torch.testing.assert_close(one, penalty(selectors.repeat(7, 1, 1), "batchmean"))
    torch.testing.assert_close(penalty(selectors[0], "batchmean"), penalty(selectors[0], "sum"))
    assert penalty(selectors, "none").shape == (5, 3)
    torch.testing.assert_close(penalty(selectors, "none").sum(), penalty(selectors))
    assert penalty(selectors[:0], "batchmean") == 0
    with pytest.raises(ValueError, match="'none', 'sum' or 'batchmean'; got 'mean'"):
        penalty(selectors, "mean")


@given(n=st.integers(1, 9), scale=st.sampled_from([0.1, 1e5]), data=st.data())
def test_top_k_softmax_is_the_softmax_with_the_other_logits_at_minus_infinity(n, scale, data):
    k = data.draw(st.integers(1, n))
    logits = scale * torch.randn(3, n, dtype=torch.float64)
    others = logits.argsort(-1)[:, : n - k]
    expected = torch.softmax(logits.scatter(-1, others, -math.inf), -1)
    torch.testing.assert_close(top_k_softmax(logits, k), expected)


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_a_selector_is_the_same_with_and_without_a_gradient_to_come(n: int) -> None:
    z_logits = torch.randn(7, (n - 1).bit_length(), generator=torch.Generator().manual_seed(n), requires_grad=True)
    with torch.no_grad():
        quiet = selector(z_logits, n, gamma=3.0)
    assert torch.equal(quiet, selector(z_logits, n, gamma=3.0))
