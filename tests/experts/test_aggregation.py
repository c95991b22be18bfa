import sys

import pytest
import torch
from torch import Tensor, nn

from labelwise.experts import AGGREGATORS, Aggregation, MLPExperts, MultiTaskMixture, make_balance
from labelwise.gates import DSelectK

TASKS = ("a", "b", "c")


def make(balance: object, per_example: bool = True) -> tuple[MultiTaskMixture, Tensor, dict[str, Tensor]]:
    torch.manual_seed(0)
    gates = {task: DSelectK(5, 2, 3 if per_example else None, gamma=0.5) for task in TASKS}
    for gate in gates.values():
        for parameter in gate.parameters():
            nn.init.normal_(parameter, std=0.5)
    heads = {task: nn.Linear(4, 1) for task in TASKS}
    model = MultiTaskMixture(MLPExperts(5, 3, 6, 4), gates, heads, balance=balance).double()
    inputs = torch.randn(7, 3, dtype=torch.float64)
    return model, inputs, {task: torch.randn(7, 1, dtype=torch.float64) for task in TASKS}


def task_losses(model: MultiTaskMixture, inputs: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
    answers = model(inputs).outputs
    return {task: (answers[task] - targets[task]).square().mean() for task in TASKS}


def gradients_by_task(model: MultiTaskMixture, inputs: Tensor, targets: dict[str, Tensor]) -> Tensor:
    rows = []
    for loss in task_losses(model, inputs, targets).values():
        model.zero_grad()
        loss.backward(retain_graph=True)
        rows.append(torch.cat([parameter.grad.flatten() for parameter in model.experts.parameters()]))
    return torch.stack(rows)


@pytest.mark.parametrize("per_example", [False, True])
def test_shared_parameters_get_the_aggregate_and_others_the_sum(per_example):
    def largest(gradients: Tensor) -> Tensor:
        return gradients[gradients.norm(dim=1).argmax()]

    model, inputs, targets = make("equal", per_example)
    expected = largest(gradients_by_task(model, inputs, targets))
    model.zero_grad()
    sum(task_losses(model, inputs, targets).values()).backward()
    own = [parameter.grad.clone() for part in (model.gates, model.heads) for parameter in part.parameters()]
    model.balance = Aggregation(TASKS, largest)
    for scale in (1.0, 4.0):  # as under loss scaling
        model.zero_grad()
        losses = task_losses(model, inputs, targets)
        joint = model.joint_loss(losses)
        assert joint.item() == pytest.approx(sum(losses.values()).item())
        (scale * joint).backward()
        found = torch.cat([parameter.grad.flatten() for parameter in model.experts.parameters()])
        torch.testing.assert_close(found, scale * expected)
        for part, gradient in zip([*model.gates.parameters(), *model.heads.parameters()], own, strict=True):
            torch.testing.assert_close(part.grad, scale * gradient)


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
def test_every_aggregator_of_torchjd_gives_the_gradient_that_it_says(name):
    aggregation = pytest.importorskip("torchjd.aggregation", reason="needs the extra 'aggregation'")
    model, inputs, targets = make(name)
    gradients = gradients_by_task(model, inputs, targets)
    class_name, arguments = AGGREGATORS[name]
    model.zero_grad()
    torch.manual_seed(1)
    model.joint_loss(task_losses(model, inputs, targets)).backward()
    found = torch.cat([parameter.grad.flatten() for parameter in model.experts.parameters()])
    torch.manual_seed(1)
    torch.testing.assert_close(found, getattr(aggregation, class_name)(**arguments(3))(gradients))
    assert found.isfinite().all()


@pytest.mark.parametrize("name", ["mgda", "upgrad"])
def test_no_task_loses_by_a_small_step(name):
    pytest.importorskip("torchjd", reason="needs the extra 'aggregation'")
    aggregate = make_balance(name, "ab").aggregator
    conflict = torch.tensor([[1.0, 0.0, 2.0], [-6.0, 1.0, 0.0]], dtype=torch.float64)
    assert (conflict @ aggregate(conflict) >= -1e-3).all()
    assert (conflict @ conflict.sum(0) < 0).any()


def test_pcgrad_projects_conflicts_away():
    pytest.importorskip("torchjd", reason="needs the extra 'aggregation'")
    aggregate = make_balance("pcgrad", "ab").aggregator
    a, b = torch.tensor([[1.0, 0.0, 2.0], [-6.0, 1.0, 0.0]], dtype=torch.float64)
    expected = a - (a @ b) / (b @ b) * b + b - (a @ b) / (a @ a) * a
    torch.testing.assert_close(aggregate(torch.stack([a, b])), expected)


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_no_gradient_at_all_and_eval_mode_give_the_sum(name):
    pytest.importorskip("torchjd", reason="needs the extra 'aggregation'")
    shared = nn.Parameter(torch.ones(4))
    balance = make_balance(name, TASKS)
    flat = {task: 0 * shared.sum() + i for i, task in enumerate(TASKS)}
    assert balance(flat, [shared]) == 3
    with torch.no_grad():
        assert balance(flat, [shared]) == 3
    assert balance.eval()(flat) == 3


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(
        ImportError, match=r"'upgrad' needs the package torchjd: pip install 'labelwise\[aggregation\]'"
    ):
        make_balance("upgrad", TASKS)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"unknown aggregator 'sum'; choose from aligned-mtl, cagrad"):
        Aggregation(TASKS, "sum")
    shared = nn.Parameter(torch.ones(4))
    with pytest.raises(ValueError, match="give it the parameters that tasks share"):
        Aggregation("ab", lambda gradients: gradients[0])({task: shared.sum() for task in "ab"})
