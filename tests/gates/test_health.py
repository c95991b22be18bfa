import pytest
import torch

from labelwise.gates import DSelectK, LinearRamp


def fault(gate: DSelectK, inputs: torch.Tensor | None = None) -> str:
    faults = gate.health(inputs)
    assert len(faults) == 1
    return faults[0]


@pytest.mark.parametrize("n_experts", [1, 5, 8])
@pytest.mark.parametrize("in_features", [None, 3])
def test_nothing_is_wrong_with_a_new_gate(n_experts, in_features):
    torch.manual_seed(0)
    gate = DSelectK(n_experts, 2, in_features, permute=True)
    inputs = torch.randn(9, 3) if in_features else None
    before = {name: value.clone() for name, value in gate.state_dict().items()}
    assert gate.health(inputs) == []
    assert all(torch.equal(before[name], value) for name, value in gate.state_dict().items())


def test_a_selector_that_begins_settled_is_dead():
    gate = DSelectK(8, 3)
    with torch.no_grad():
        gate.z_logits[1] = torch.tensor([0.5, -0.5, 3.0])
        gate.z_logits[2] = torch.tensor([0.5, -0.5, 0.49])  # one digit can still learn
    (gate().weights @ torch.randn(8)).backward()
    assert (gate.z_logits.grad[1] == 0).all()
    assert "selectors [1] have settled after 1 steps" in fault(gate)
    assert "begin anew with a learning rate well below gamma, now 1" in fault(gate)
    gate.reset_parameters()
    assert gate.health() == []


def test_one_step_of_adam_beyond_a_small_gamma_is_found():
    gate = DSelectK(8, 2, gamma=1e-3)
    steps = torch.optim.Adam(gate.parameters(), 0.01)
    (gate().weights @ torch.randn(8)).backward()
    assert gate.health() == []
    steps.step()
    assert "selectors [0, 1] have settled" in fault(gate)
    assert "learning rate well below gamma, now 0.001" in fault(gate)


def test_having_settled_late_is_well():
    gate = DSelectK(8, 2)
    torch.nn.init.constant_(gate.z_logits, 1.0)
    gate.step.fill_(500)
    assert gate.health() == []


def test_a_gate_per_example_is_dead_if_it_is_for_all_examples():
    gate = DSelectK(4, 2, 1)
    with torch.no_grad():
        gate.z_proj.weight.copy_(torch.tensor([[0.0], [0], [1], [0]]))
        gate.z_proj.bias.copy_(torch.tensor([1.0, 1, 0, -1]))
    assert "selectors [0] have settled" in fault(gate, torch.tensor([[0.1], [5.0]]))
    assert "selectors [0, 1] have settled" in fault(gate, torch.tensor([[3.0], [5.0]]))


def test_numbers_that_no_expert_has():
    gate = DSelectK(5, 2)
    gate.step.fill_(50)
    torch.nn.init.constant_(gate.z_logits[1], 1.0)  # spells 7
    assert gate().weights.sum() < 0.8
    assert "selectors [1] lie on numbers that none of the 5 experts has, for 100% of examples" in fault(gate)
    gate = DSelectK(3, 1, 1)
    gate.step.fill_(50)
    with torch.no_grad():
        gate.z_proj.weight.fill_(1.0)
    assert "for 25% of examples" in fault(gate, torch.tensor([[-1.0], [-2], [3], [-1]]))


def test_digits_that_never_moved():
    gate = DSelectK(8, 2, entropy=0.1)
    for _ in range(1000):
        gate().penalty.backward()  # and no optimiser
    assert "no digit has left the range it was drawn from in 1000 steps" in fault(gate)
    torch.nn.init.constant_(gate.z_logits, 0.2)
    assert gate.health() == []


def test_a_gate_that_stays_soft_after_its_schedules():
    gate = DSelectK(8, 2, gamma=5.0, entropy=LinearRamp(0.1, 50))
    with torch.no_grad():
        gate.z_logits.normal_()
    gate.step.fill_(99)
    assert gate.health() == []
    gate.step.fill_(100)
    assert "up to 8 experts are in use, more than k = 2" in fault(gate)
    gate.gamma = LinearRamp(0.0, 50, start=1.0)
    assert gate.health() == []


def test_a_gate_has_a_few_steps_to_settle_however_short_its_schedules():
    gate = DSelectK(8, 2, entropy=LinearRamp(0.1, 1))
    with torch.no_grad():
        gate.z_logits.fill_(0.1)
    gate.step.fill_(10)
    assert gate.health() == []
    gate.step.fill_(11)
    assert "train for longer, raise entropy or lower gamma" in fault(gate)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(bad):
    gate = DSelectK(4, 2)
    with torch.no_grad():
        gate.w_logits[0] = bad
    assert "logits are not finite" in fault(gate)


def test_a_gate_per_example_needs_examples():
    with pytest.raises(ValueError, match=r"inputs \[batch, 3\]; got none"):
        DSelectK(4, 2, 3).health()
    assert DSelectK(4, 2, 3).health(torch.zeros(0, 3)) == []
