import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.gates import GumbelSoftmax, LinearRamp, NoisyTopK, TopK


@given(n=st.integers(1, 9), in_features=st.sampled_from([None, 3]), training=st.booleans(), data=st.data())
def test_weights_lie_on_the_simplex(n, in_features, training, data):
    k = data.draw(st.integers(1, n))
    inputs = torch.randn(5, 3) if in_features else None
    for gate in (NoisyTopK(n, k, in_features), GumbelSoftmax(n, in_features)):
        weights, penalty, _ = gate.train(training)(inputs)
        assert weights.shape == ((5, n) if in_features else (n,))
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert penalty >= 0
        if isinstance(gate, NoisyTopK):
            assert ((weights > 0).sum(-1) == k).all()
        if not training:
            assert penalty == 0
            assert torch.equal(weights, gate(inputs).weights)


def test_without_noise_it_is_top_k():
    noisy, plain = NoisyTopK(6, 2, 3).eval(), TopK(6, 2, 3)
    noisy.load_state_dict(plain.state_dict(), strict=False)
    inputs = torch.randn(10, 3)
    torch.testing.assert_close(noisy(inputs).weights, plain(inputs).weights)


def test_noise_has_the_learned_spread():
    torch.manual_seed(0)
    gate = NoisyTopK(2, 1)
    with torch.no_grad():
        gate.logits.copy_(torch.tensor([0.5, 0.0]))
        gate.noise_logits.copy_(torch.tensor([1.0, -1.0]))
    spread = math.sqrt(sum(math.log1p(math.exp(x)) ** 2 for x in (1.0, -1.0)))
    expected = 0.5 * (1 + math.erf(0.5 / spread / math.sqrt(2)))
    wins = sum(gate().weights[0].item() for _ in range(4000)) / 4000
    assert wins == pytest.approx(expected, abs=0.03)


def test_balance_penalty_by_hand():
    torch.manual_seed(0)
    gate = NoisyTopK(4, 2, 3, balance=0.7).double()
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter)
    inputs = torch.randn(6, 3, dtype=torch.float64)
    torch.manual_seed(5)
    said = gate(inputs)
    torch.manual_seed(5)
    clean, spread = gate.proj(inputs), torch.nn.functional.softplus(gate.noise_proj(inputs))
    noisy = clean + spread * torch.randn(6, 4, dtype=torch.float64)
    load = torch.zeros(4, dtype=torch.float64)
    for row in range(6):
        for i in range(4):
            others = sorted((noisy[row, j].item() for j in range(4) if j != i), reverse=True)
            z = (clean[row, i].item() - others[1]) / spread[row, i].item()
            load[i] += 0.5 * (1 + math.erf(z / math.sqrt(2)))
    importance = said.weights.sum(0)
    expected = sum(x.var(correction=0) / x.mean() ** 2 for x in (importance, load))
    torch.testing.assert_close(said.penalty, 0.7 * expected, rtol=1e-8, atol=0)


def test_balance_penalty_spreads_the_load():
    torch.manual_seed(0)
    gate = NoisyTopK(4, 1, 3, balance=1.0)
    with torch.no_grad():
        gate.proj.bias.copy_(torch.tensor([2.0, 0, 0, 0]))
    inputs = torch.randn(256, 3)
    before = gate(inputs).penalty.item()
    steps = torch.optim.Adam(gate.parameters(), 0.05)
    for _ in range(100):
        steps.zero_grad()
        gate(inputs).penalty.backward()
        steps.step()
    assert gate(inputs).penalty.item() < 0.1 * before


def test_no_balance_penalty_where_there_is_nothing_to_balance():
    inputs = torch.randn(5, 3)
    assert NoisyTopK(4, 4, 3)(inputs).penalty == 0
    assert NoisyTopK(4, 2, 3, balance=0.0)(inputs).penalty == 0
    assert NoisyTopK(4, 2)().penalty == 0
    assert NoisyTopK(4, 2, 3)(torch.zeros(0, 3)).penalty.isfinite()


def test_gumbel_samples_follow_the_softmax_of_the_logits():
    torch.manual_seed(0)
    gate = GumbelSoftmax(3, temperature=0.01)
    with torch.no_grad():
        gate.logits.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
    shares = torch.stack([gate().weights for _ in range(4000)]).mean(0)
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.3, 0.5]), atol=0.03, rtol=0)
    assert gate.eval()().weights.tolist() == [0, 0, 1]


def test_a_high_temperature_softens_and_the_schedule_sets_it():
    torch.manual_seed(0)
    gate = GumbelSoftmax(5, 3, temperature=LinearRamp(1e-3, 2, start=1e6))
    inputs = torch.randn(50, 3)
    gate.step.fill_(-1)
    torch.testing.assert_close(gate(inputs).weights, torch.full((50, 5), 0.2), atol=1e-4, rtol=0)
    gate.step.fill_(1)
    assert gate(inputs).weights.amax(-1).mean() > 0.99
    assert gate.step == 2


def test_bad_arguments():
    with pytest.raises(ValueError, match="k must be from 1 to n_experts = 4; got 5"):
        NoisyTopK(4, 5)
    with pytest.raises(ValueError, match="balance must be at least 0; got -1"):
        NoisyTopK(4, 2, balance=-1)
    for temperature in (0.0, lambda step: -1.0):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            GumbelSoftmax(4, temperature=temperature)()
