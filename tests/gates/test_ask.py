import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.gates import DSelectK, Fixed, Gate, LinearRamp, Softmax, TopK, ask


def make(kind: int, n: int) -> Gate:
    return [
        lambda: DSelectK(n, 2),
        lambda: DSelectK(n, 2, entropy=0.5),
        lambda: DSelectK(n, 2, entropy=LinearRamp(1.0, 5), reduction="batchmean"),
        lambda: DSelectK(n, 2, 3, entropy=0.5),
        lambda: DSelectK(n, 2, 3, entropy=LinearRamp(1.0, 5)),
        lambda: DSelectK(n, 1, 3, entropy=0.5, reduction="batchmean"),
        lambda: DSelectK(n, 1, 3, gamma=0.3, entropy=0.5, reduction="batchmean").eval(),
        lambda: Softmax(n, 3),
        lambda: TopK(n, 1),
        lambda: Fixed(torch.eye(n)[0]),
        lambda: DSelectK(n, 2, gamma=LinearRamp(0.0, 2, start=1.0), entropy=0.5),
        lambda: DSelectK(n, 2, 3, gamma=LinearRamp(0.5, 5, start=1.0)),
        lambda: DSelectK(n, 2, 3, permute=True, permute_steps=2),
        lambda: DSelectK(n, 2, permute=True, permute_steps=9, entropy=0.5),
        lambda: DSelectK(n, 2, permute=True).eval(),
    ][kind]()


@given(
    kinds=st.lists(st.integers(0, 14), min_size=1, max_size=8),
    n=st.integers(1, 9),
    batch=st.integers(0, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_gates_asked_together_say_what_each_says_alone(kinds, n, batch, seed):
    torch.manual_seed(seed)
    gates = {f"gate {i}": make(kind, n).double() for i, kind in enumerate(kinds)}
    alone = {name: make(kind, n).double() for name, kind in zip(gates, kinds, strict=True)}
    inputs = torch.randn(batch, 3, dtype=torch.float64)
    for name, gate in gates.items():
        for parameter in gate.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        alone[name].load_state_dict(gate.state_dict())
        alone[name].train(gate.training)
    for _ in range(2):
        together, one_by_one = ask(gates, inputs), {name: gate(inputs) for name, gate in alone.items()}
        assert list(together) == list(gates)
        torch.testing.assert_close(together, one_by_one, atol=1e-12, rtol=1e-12)
        for said in (together, one_by_one):
            loss = sum(out.weights.square().sum() + out.penalty for out in said.values())
            if loss.requires_grad:
                loss.backward()
    for name, gate in gates.items():
        torch.testing.assert_close(gate.state_dict(), alone[name].state_dict(), atol=0, rtol=0)
        for ours, theirs in zip(gate.parameters(), alone[name].parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=1e-10)
