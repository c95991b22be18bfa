import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labelwise.experts import Mixture, MLPExperts, MultiTaskMixture
from labelwise.gates import DSelectK, Fixed, Gate, GumbelSoftmax, NoisyTopK, Softmax, TopK

kinds = {
    "fixed": lambda n: Fixed(torch.eye(n)[n // 2]),
    "dselect-k": lambda n: DSelectK(n, 2, gamma=0.5),
    "top-k": lambda n: TopK(n, min(2, n)),
    "noisy": lambda n: NoisyTopK(n, 1),
    "gumbel": lambda n: GumbelSoftmax(n),
    "softmax": lambda n: Softmax(n),
}


def make_gate(kind: str, n: int) -> Gate:
    gate = kinds[kind](n)
    for parameter in gate.parameters():
        nn.init.normal_(parameter, std=2.0)
    return gate.double()


def make(chosen: list[str], n: int, stacked: bool = True) -> MultiTaskMixture:
    torch.manual_seed(0)
    experts = MLPExperts(n, 3, [5, 6], 4) if stacked else [nn.Sequential(nn.Linear(3, 4), nn.Tanh()) for _ in range(n)]
    gates = {f"task.{i}": make_gate(kind, n) for i, kind in enumerate(chosen)}
    return MultiTaskMixture(experts, gates, {task: nn.Linear(4, 2) for task in gates}).double()


@given(
    chosen=st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=3), n=st.integers(1, 9), stacked=st.booleans()
)
@settings(max_examples=40)
def test_pruning_keeps_the_experts_in_use_and_every_output(chosen, n, stacked):
    model = make(chosen, n, stacked).eval()
    pruned = model.prune()
    inputs = torch.randn(5, 3, dtype=torch.float64)
    # Weights of up to 1e-5 an expert are dropped.
    torch.testing.assert_close(pruned(inputs).outputs, model(inputs).outputs, atol=1e-4, rtol=0)
    exact = model.prune(threshold=0.0)
    torch.testing.assert_close(exact(inputs).outputs, model(inputs).outputs, atol=1e-12, rtol=1e-12)
    assert len(pruned.experts) == max(1, model.selected()["expert"].nunique())  # all weight may be on free codes
    assert all(isinstance(gate, Fixed) and gate.n_experts == len(pruned.experts) for _, gate in pruned.gates.items())
    assert len(pruned.prune().experts) == len(pruned.experts)


def test_a_mixture_of_one_gate_is_pruned_likewise():
    torch.manual_seed(0)
    experts = [nn.Linear(3, 4) for _ in range(5)]
    mixture = Mixture(experts, Fixed([0.0, 0.25, 0.0, 0.75, 0.0]))
    pruned = mixture.prune()
    inputs = torch.randn(6, 3)
    assert pruned.gate.weights.tolist() == [0.25, 0.75]
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(pruned.experts, (experts[1], experts[3]), strict=True))
    torch.testing.assert_close(pruned(inputs)[0], mixture(inputs)[0])


def test_gates_and_heads_may_be_given_in_different_orders():
    torch.manual_seed(0)
    gates = {"a": Fixed([1.0, 0.0, 0.0]), "b": Fixed([0.0, 0.0, 1.0])}
    model = MultiTaskMixture(MLPExperts(3, 3, 5, 4), gates, {task: nn.Linear(4, 2) for task in "ba"})
    inputs = torch.randn(5, 3)
    torch.testing.assert_close(model.prune()(inputs).outputs, model(inputs).outputs)


def test_weights_are_not_made_to_sum_to_one():
    gate = DSelectK(3, 1).double()  # undecided: a quarter of its weight is on a code without expert
    pruned = Mixture(MLPExperts(3, 2, 4, 4).double(), gate).eval().prune()
    assert pruned.gate.weights.dtype == torch.float64
    assert pruned.gate.weights.sum().item() == pytest.approx(0.75, abs=0.05)
    assert torch.equal(pruned.gate.weights, gate.eval()().weights)


def test_no_weight_at_all_leaves_an_expert_to_give_zeros():
    gate = Fixed([1.0, 0.0])
    gate.weights = torch.zeros(2)
    pruned = Mixture(MLPExperts(2, 3, 4, 5), gate).prune()
    assert len(pruned.experts) == 1
    assert torch.equal(pruned(torch.randn(2, 3))[0], torch.zeros(2, 5))


@pytest.mark.parametrize("stacked", [False, True])
def test_the_copy_shares_nothing_and_can_be_trained_on(stacked):
    model = make(["dselect-k", "fixed"], 6, stacked)
    state = copy.deepcopy(model.state_dict())
    pruned = model.prune()
    assert pruned.training
    out = pruned(torch.randn(5, 3, dtype=torch.float64))
    sum(answer.square().sum() for answer in out.outputs.values()).backward()
    with torch.no_grad():
        for parameter in pruned.parameters():
            assert parameter.grad is not None
            parameter -= 0.1 * parameter.grad
    torch.testing.assert_close(model.state_dict(), state, atol=0, rtol=0)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("stacked", [False, True])
def test_a_frozen_expert_stays_frozen(stacked):
    model = make(["fixed"], 4, stacked)
    model.experts.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in model.prune().experts.parameters())


def test_gates_per_example_cannot_be_pruned():
    model = MultiTaskMixture(
        MLPExperts(3, 2, 4, 4), {"a": TopK(3, 1), "b": TopK(3, 1, 2)}, {"a": nn.Identity(), "b": nn.Identity()}
    )
    with pytest.raises(ValueError, match=r"static gates can be pruned; the gate of task 'b' chooses.*\[batch, 2\]"):
        model.prune()
    with pytest.raises(ValueError, match="the gate chooses for each example"):
        Mixture(MLPExperts(3, 2, 4, 4), TopK(3, 1, 2)).prune()


@pytest.mark.parametrize("stacked", [False, True])
def test_pruned_mixtures_export_for_batches_of_any_size(stacked):
    pruned = make(["dselect-k", "fixed"], 6, stacked).prune().eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(pruned, (torch.randn(5, 3, dtype=torch.float64),), dynamic_shapes=dynamic)
    for batch in (2, 7):
        inputs = torch.randn(batch, 3, dtype=torch.float64)
        torch.testing.assert_close(program.module()(inputs).outputs, pruned(inputs).outputs)


@pytest.mark.parametrize("kind", ["static", "example"])
def test_others_export_too_with_every_expert_run(kind):
    torch.manual_seed(0)
    model = Mixture(MLPExperts(6, 3, 5, 4), TopK(6, 2, 3 if kind == "example" else None)).eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (torch.randn(5, 3),), dynamic_shapes=dynamic)
    inputs = torch.randn(8, 3)
    torch.testing.assert_close(program.module()(inputs)[0], model(inputs)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("stacked", [False, True])
def test_onnx_runtime_gives_the_same_outputs(stacked, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    pytest.importorskip("onnxscript", reason="needs the extra 'onnx'")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    pruned = make(["dselect-k", "fixed"], 6, stacked).float().prune().eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(pruned, (torch.randn(5, 3),), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    program.save(tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    inputs = torch.randn(9, 3)
    answers = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    for answer, expected in zip(answers, pruned(inputs).outputs.values(), strict=False):
        torch.testing.assert_close(torch.from_numpy(answer), expected)
