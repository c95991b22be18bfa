import copy
import math

import pytest
import torch
from torch import Tensor, nn

from labelwise.experts import (
    Balance,
    DynamicWeightAverage,
    GradNorm,
    MLPExperts,
    MultiTaskMixture,
    Uncertainty,
    Weighted,
    make_balance,
)
from labelwise.gates import Softmax


def losses(*values: float) -> dict[str, Tensor]:
    return {task: torch.tensor(value, dtype=torch.float64) for task, value in zip("abc", values, strict=False)}


def test_equal_is_the_sum_and_given_weights_weigh():
    assert make_balance("equal", "abc")(losses(1, 2, 4)) == 7
    assert make_balance({"c": 3.0, "a": 0.5, "b": 0.0}, "abc")(losses(1, 2, 4)) == 12.5


def test_uncertainty_starts_as_a_weighted_sum_and_settles_where_the_noise_is():
    balance = Uncertainty("abc", regression="c").double()
    given = losses(0.5, 3.0, 8.0)
    assert balance(given).item() == pytest.approx(0.5 + 3 + 8 / 2)
    steps = torch.optim.LBFGS(balance.parameters(), line_search_fn="strong_wolfe", max_iter=100)

    def closure() -> Tensor:
        steps.zero_grad()
        value = balance(given)
        value.backward()
        return value

    steps.step(closure)
    # The maximum-likelihood variance of a regression is its mean squared error.
    torch.testing.assert_close(balance.log_variances.exp(), torch.tensor([1.0, 6.0, 8.0]).double(), rtol=1e-4, atol=0)


def test_dynamic_weights_follow_how_fast_losses_fall():
    balance = DynamicWeightAverage("ab", steps=2, temperature=2.0).double()
    for a, b in ((4.0, 1.0), (2.0, 1.0), (1.0, 2.0), (2.0, 1.0)):  # averages 3 and 1, then 1.5 and 1.5
        assert balance(losses(a, b)).item() == pytest.approx(a + b)
    slow, fast = math.exp(1.5 / 2), math.exp(0.5 / 2)
    expected = [2 * fast / (slow + fast), 2 * slow / (slow + fast)]
    assert balance.weights.tolist() == pytest.approx(expected)
    assert balance(losses(1.0, 0.0)).item() == pytest.approx(expected[0])


def test_dynamic_weights_do_not_depend_on_the_scale_of_losses_and_sum_to_the_number_of_tasks():
    ours, scaled = DynamicWeightAverage("abc", steps=1), DynamicWeightAverage("abc", steps=1)
    for values in torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).tolist():
        ours(losses(*values))
        scaled(losses(*(v * s for v, s in zip(values, (1, 100, 0.01), strict=True))))
    torch.testing.assert_close(ours.weights, scaled.weights)
    assert ours.weights.sum().item() == pytest.approx(3)
    assert (ours.weights != 1).all()


def test_a_loss_of_zero_leaves_finite_weights():
    balance = DynamicWeightAverage("ab", steps=1)
    for values in ((0, 1), (0, 1), (1, 1)):
        assert balance(losses(*values)).isfinite()
    assert balance.weights.isfinite().all()


class Pulls(nn.Module):
    """Tasks whose gradients for the shared weights have given norms."""

    def __init__(self, *norms: float):
        super().__init__()
        self.norms = norms
        self.shared = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self) -> dict[str, Tensor]:
        return {task: 1 + norm * self.shared[i] for i, (task, norm) in enumerate(zip("abc", self.norms, strict=True))}


def test_gradnorm_has_the_value_of_the_weighted_sum_and_the_gradients_of_its_equations():
    model = Pulls(1.0, 2.0, 6.0)
    balance = GradNorm("abc", alpha=1.5).double()
    with torch.no_grad():
        balance.weights.copy_(torch.tensor([1.5, 1.0, 0.5]))
        balance.first.copy_(torch.tensor([1.0, 2.0, 0.5]))
    value = balance(model(), [model.shared])
    assert value.item() == pytest.approx(3)
    value.backward()
    torch.testing.assert_close(model.shared.grad, torch.tensor([1.5, 2.0, 3.0]).double())
    rates = torch.tensor([1.0, 0.5, 2.0]).double() / (3.5 / 3)
    goals = (1.5 + 2.0 + 3.0) / 3 * rates**1.5
    pulls = torch.tensor([1.5, 2.0, 3.0]).double()
    torch.testing.assert_close(balance.weights.grad, (pulls - goals).sign() * torch.tensor([1.0, 2.0, 6.0]).double())


def test_gradnorm_makes_tasks_pull_equally_hard():
    model = Pulls(1.0, 2.0, 4.0)
    balance = GradNorm("abc", alpha=0.0).double()
    steps = torch.optim.SGD(balance.parameters(), 1e-3)
    for _ in range(3000):
        steps.zero_grad()
        balance(model(), [model.shared]).backward()
        steps.step()
    pulls = balance.weights.detach() * torch.tensor([1.0, 2.0, 4.0]).double()
    torch.testing.assert_close(pulls, pulls.mean().expand(3), rtol=0.02, atol=0)
    assert balance.weights.sum().item() == pytest.approx(3, abs=0.02)


def test_gradnorm_needs_parameters_that_learn():
    model = Pulls(1.0, 2.0, 4.0)
    with pytest.raises(ValueError, match="give it the parameters that tasks share"):
        GradNorm("abc")(model())


@pytest.mark.parametrize("name", ["equal", "uncertainty", "dynamic-weight-average", "gradnorm"])
def test_in_eval_mode_nothing_changes(name):
    model = Pulls(1.0, 2.0, 4.0)
    balance = make_balance(name, "abc").eval()
    state = copy.deepcopy(balance.state_dict())
    with torch.no_grad():
        values = [balance(model(), [model.shared]).item() for _ in range(3)]
    assert values == [3.0] * 3
    torch.testing.assert_close(balance.state_dict(), state, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["uncertainty", "dynamic-weight-average", "gradnorm"])
def test_state_comes_back(name):
    model = Pulls(1.0, 2.0, 4.0)
    balance, other = make_balance(name, "abc"), make_balance(name, "abc")
    with torch.no_grad():
        for parameter in balance.parameters():
            parameter += torch.rand(3)
    for _ in range(3):
        balance(model(), [model.shared])
    other.load_state_dict(balance.state_dict())
    assert balance(model(), [model.shared]) == other(model(), [model.shared])


def test_a_mixture_balances_by_its_experts_and_what_is_below():
    torch.manual_seed(0)

    class Seen(Balance):
        def _one(self, losses: Tensor, shared: list[nn.Parameter]) -> Tensor:
            self.seen = shared
            return losses.prod()

    def make(balance: object) -> MultiTaskMixture:
        gates, heads = {t: Softmax(2) for t in "ab"}, {t: nn.Linear(4, 1) for t in "ab"}
        return MultiTaskMixture(MLPExperts(2, 3, 5, 4), gates, heads, balance=balance)

    backbone = nn.Linear(2, 3)
    seen = Seen("ba")
    model = make(seen)
    assert model.joint_loss(losses(3, 4), backbone.parameters()) == 12
    expected = [*backbone.parameters(), *model.experts.parameters()]
    assert all(a is b for a, b in zip(seen.seen, expected, strict=True))
    assert make("equal").joint_loss(losses(3, 4)) == 7
    assert make({"a": 2, "b": 1}).joint_loss(losses(3, 4)) == 10
    assert make("uncertainty").balance.log_variances.requires_grad
    assert make({"a": 2, "b": 1}).prune().joint_loss(losses(3, 4)) == 10
    assert not [key for key in make("equal").state_dict() if key.startswith("balance")]


def test_what_does_not_fit_is_refused():
    for arguments, message in [
        (("equl", "a"), r"unknown balance 'equl'; choose from .*cagrad.*equal"),
        (({"b": 1.0}, "a"), r"weights must be given for the tasks \['a'\]; got \['b'\]"),
        (("equal", ""), "at least one task"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_balance(*arguments)
    with pytest.raises(ValueError, match=r"one scalar for each of the tasks \['a', 'b'\]; got {'a': \[\]}"):
        Weighted("ab")(losses(1.0))
    with pytest.raises(ValueError, match=r"got {'a': \[1\]}"):
        Weighted("a")({"a": torch.ones(1)})
    with pytest.raises(ValueError, match=r"regression must name some of the tasks \['a'\]; got \['b'\]"):
        Uncertainty("a", regression=["b"])
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        DynamicWeightAverage("a", steps=0)
    with pytest.raises(ValueError, match="temperature must be above 0; got 0"):
        DynamicWeightAverage("a", temperature=0)
    with pytest.raises(ValueError, match="alpha must be at least 0; got nan"):
        GradNorm("a", alpha=math.nan)
