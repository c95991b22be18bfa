import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.functional import smooth_step
from labelwise.gates import DSelectK, LinearRamp, ask


@given(
    n_experts=st.integers(1, 17),
    k=st.integers(1, 4),
    in_features=st.sampled_from([None, 3]),
    entropy=st.sampled_from([0.0, LinearRamp(1.0, 10)]),
    loss=st.sampled_from(["none", "fixed", "changing"]),
    optimiser=st.sampled_from([torch.optim.SGD, torch.optim.Adam]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_gamma_that_falls_to_zero_makes_any_gate_exactly_sparse_in_time(
    n_experts, k, in_features, entropy, loss, optimiser, seed
):
    torch.manual_seed(seed)
    gate = DSelectK(n_experts, k, in_features, LinearRamp(0.0, 20, start=1.0), entropy, "batchmean")
    steps = optimiser(gate.parameters(), 0.01)
    costs = torch.randn(n_experts)
    for _ in range(20):
        inputs = torch.randn(8, 3) if in_features else None
        steps.zero_grad()
        said = gate(inputs)
        if loss == "changing":
            costs = torch.randn(n_experts)
        total = said.penalty + (0.0 if loss == "none" else (said.weights @ costs).mean())
        if total.requires_grad:
            total.backward()
        steps.step()
    assert gate.step == 20
    for training in (True, False):
        said = gate.train(training)(inputs)
        assert ((said.weights != 0).sum(-1) <= k).all()
        assert set(said.selectors.flatten().tolist()) <= {0.0, 1.0}
        assert ((said.selectors != 0).sum(-1) <= 1).all()


def test_the_penalty_leads_to_numbers_that_experts_have_before_gamma_reaches_zero():
    for seed in range(10):
        torch.manual_seed(seed)
        gate = DSelectK(5, 3, gamma=LinearRamp(0.0, 300, start=1.0), entropy=LinearRamp(0.5, 300))
        steps = torch.optim.Adam(gate.parameters(), 0.005)
        for _ in range(300):
            steps.zero_grad()
            gate().penalty.backward()
            steps.step()
        said = gate()
        assert said.selectors.sum(-1).tolist() == [1.0] * 3
        assert gate.health() == []


def test_a_learned_choice_outlives_the_fall_of_gamma():
    torch.manual_seed(0)
    gate = DSelectK(8, 1, gamma=LinearRamp(0.0, 300, start=1.0))
    costs = torch.tensor([3.0, 2, 2, 3, 1, 0, 2, 1])
    steps = torch.optim.Adam(gate.parameters(), 0.01)
    for _ in range(300):
        steps.zero_grad()
        (gate().weights @ costs).backward()
        steps.step()
    assert gate().weights.tolist() == torch.eye(8)[5].tolist()


def test_gamma_follows_its_schedule_and_eval_mode_does_not_advance_it():
    gammas = {0: 2.0, 1: 1.0, 2: 0.5, 3: 0.25}
    gate = DSelectK(2, 1, gamma=lambda step: gammas[step])
    torch.nn.init.constant_(gate.z_logits, 0.1)
    for step in range(3):
        for _ in range(2):
            assert gate.eval()().weights[1] == smooth_step(torch.tensor(0.1), gammas[step])
        assert gate.train()().weights[1] == smooth_step(torch.tensor(0.1), gammas[step + 1])


def test_gates_of_different_gammas_keep_their_own_when_asked_together():
    gates = {f"{start}": DSelectK(4, 2, 3, LinearRamp(0.0, 2, start=start)) for start in (1.0, 1.0 + 1e-9, 5.0)}
    inputs = torch.randn(6, 3)
    for steps in range(3):
        said = ask(gates, inputs)
        for name, gate in gates.items():
            alone = DSelectK(4, 2, 3, gate.gamma)
            alone.load_state_dict(gate.state_dict())
            alone.step.fill_(steps)
            torch.testing.assert_close(said[name].weights, alone(inputs).weights)


def test_it_starts_within_a_hundredth_of_the_first_gamma():
    gate = DSelectK(16, 100, gamma=LinearRamp(0.0, 10, start=4.0))
    assert 0.03 < gate.z_logits.abs().max() <= 0.04


def test_the_step_and_so_the_schedule_comes_back_with_the_state():
    ramp = LinearRamp(0.1, 10, start=1.0)
    gate, other = DSelectK(5, 2, gamma=ramp), DSelectK(5, 2, gamma=LinearRamp(**dataclasses.asdict(ramp)))
    for _ in range(4):
        gate()
    other.load_state_dict(gate.state_dict())
    assert torch.equal(gate().weights, other().weights)


def test_a_ramp_ends_exactly():
    for end, start in ((0.0, 1.0), (0.3, 0.1), (1e-9, 7.0)):
        ramp = LinearRamp(end, 7, start=start)
        assert ramp(7) == ramp(8) == end
        assert ramp(0) == start


def test_values_out_of_range():
    with pytest.raises(ValueError, match=r"gamma must be above 0 at step 0; got 0\.0"):
        DSelectK(4, 2, gamma=LinearRamp(1.0, 5))
    for bad in (-1.0, math.nan):
        gate = DSelectK(4, 2, gamma=lambda step, bad=bad: bad if step else 1.0)
        with pytest.raises(ValueError, match=f"gamma must be at least 0 at every step; got {bad} at step 1"):
            gate()
