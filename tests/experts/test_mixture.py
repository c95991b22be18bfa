import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labelwise.experts import Mixture, MixtureOutput, MLPExperts, MultiTaskMixture
from labelwise.gates import DSelectK, Fixed, Gate, GateOutput, Softmax, TopK


class Counted(nn.Module):
    """Counts the rows that a module sees, in each call."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.rows: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.rows.append(len(inputs))
        return self.module(inputs)


class Given(Gate):
    """A gate per example whose weights are given."""

    def __init__(self, weights: Tensor):
        super().__init__(weights.shape[1])
        self.weights = weights

    def forward(self, inputs: Tensor | None = None) -> GateOutput:
        return GateOutput(self.weights, torch.zeros(()))


def linear_experts(n: int, outputs: int = 4) -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(3, outputs), nn.Tanh()).double() for _ in range(n)]


def make_gate(kind: str, n: int) -> Gate:
    """A gate of some kind, with weights far enough apart to be sparse where the kind allows it."""
    gate: Gate = {
        "softmax": lambda: Softmax(n),
        "softmax-example": lambda: Softmax(n, 3),
        "top-k": lambda: TopK(n, min(2, n)),
        "top-k-example": lambda: TopK(n, min(2, n), 3),
        "dselect-k": lambda: DSelectK(n, 2, entropy=0.3),
        "dselect-k-example": lambda: DSelectK(n, 2, 3, gamma=0.5, entropy=0.3),
    }[kind]()
    for parameter in gate.parameters():
        nn.init.normal_(parameter, std=0.6)
    return gate.double()


kinds = ["softmax", "softmax-example", "top-k", "top-k-example", "dselect-k", "dselect-k-example"]


def dense(model: MultiTaskMixture, inputs: Tensor) -> MixtureOutput:
    """The same mixture with every expert run on every row."""
    experts = model.experts
    outputs = experts(inputs) if isinstance(experts, MLPExperts) else torch.stack([run(inputs) for run in experts])
    said = {task: gate(inputs) for task, gate in model.gates.items()}
    mixed = {}
    for task, gate in said.items():
        weights = gate.weights.expand(len(inputs), -1).T.reshape(len(outputs), len(inputs), *[1] * (outputs.ndim - 2))
        mixed[task] = model.heads[task]((weights * outputs).sum(0))
    return MixtureOutput(mixed, sum(gate.penalty for gate in said.values()), said)


@given(
    chosen=st.lists(st.sampled_from(kinds), min_size=1, max_size=4),
    n=st.integers(1, 9),
    batch=st.integers(1, 12),
    stacked=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=80)
def test_outputs_and_gradients_are_those_of_the_dense_sum(chosen, n, batch, stacked, seed):
    torch.manual_seed(seed)
    experts = MLPExperts(n, 3, 5, 4).double() if stacked else linear_experts(n)
    gates = {f"task {i}": make_gate(kind, n) for i, kind in enumerate(chosen)}
    model = MultiTaskMixture(experts, gates, {task: nn.Linear(4, 2).double() for task in gates})
    inputs = torch.randn(batch, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(len(gates), batch, 2, dtype=torch.float64)
    results = []
    for said in (model(inputs), dense(model, inputs)):
        loss = sum((out - target).square().sum() for out, target in zip(said.outputs.values(), targets, strict=True))
        variables = [inputs, *model.parameters()]
        gradients = torch.autograd.grad(loss + said.penalty, variables, allow_unused=True)
        gradients = [torch.zeros_like(v) if g is None else g for g, v in zip(gradients, variables, strict=True)]
        results.append((said.outputs, said.penalty, gradients))
    torch.testing.assert_close(results[0], results[1], atol=1e-11, rtol=1e-11)


def test_an_expert_without_weight_does_not_run_and_gets_no_gradient():
    experts = [Counted(expert) for expert in linear_experts(4)]
    gates = {"a": Fixed([0.0, 0.5, 0.5, 0.0]).double(), "b": Fixed([0.0, 1.0, 0.0, 0.0]).double()}
    model = MultiTaskMixture(experts, gates, {task: nn.Linear(4, 1).double() for task in gates})
    out = model(torch.randn(6, 3, dtype=torch.float64))
    sum(answer.sum() for answer in out.outputs.values()).backward()
    assert [expert.rows for expert in experts] == [[], [6], [6], []]
    for expert, runs in zip(experts, (False, True, True, False), strict=True):
        assert all((p.grad is not None) == runs for p in expert.parameters())


def test_an_expert_runs_on_the_rows_that_need_it_once_for_all_gates():
    experts = [Counted(expert) for expert in linear_experts(4)]
    first = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0.5, 0.5, 0], [1, 0, 0, 0], [0, 1, 0, 0]]).double()
    second = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]).double()
    gates = {"a": Given(first), "b": Given(second)}
    model = MultiTaskMixture(experts, gates, {task: nn.Identity() for task in gates})
    inputs = torch.randn(5, 3, dtype=torch.float64)
    out = model(inputs)
    assert [expert.rows for expert in experts] == [[3], [3], [2], []]
    torch.testing.assert_close(out.outputs, dense(model, inputs).outputs)


@pytest.mark.parametrize("example", [False, True])
def test_stacked_experts_without_weight_get_zero_gradient(example):
    torch.manual_seed(0)
    weights = torch.tensor([0.0, 1.0, 0.0, 0.0])
    model = Mixture(MLPExperts(4, 3, 5, 2), Given(weights.expand(6, -1)) if example else Fixed(weights))
    model(torch.randn(6, 3))[0].sum().backward()
    for parameter in model.experts.parameters():
        assert (parameter.grad[[0, 2, 3]] == 0).all()
        assert (parameter.grad[1] != 0).any()


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 4), ()])
@pytest.mark.parametrize("kind", ["dselect-k", "top-k-example", "softmax-example"])
def test_experts_may_give_outputs_of_any_rank(shape, kind):
    torch.manual_seed(0)
    numel = int(torch.Size(shape).numel())
    experts = [nn.Sequential(nn.Linear(3, numel), Reshape(shape)).double() for _ in range(7)]
    model = MultiTaskMixture(experts, {"a": make_gate(kind, 7)}, {"a": nn.Identity()})
    inputs = torch.randn(5, 3, dtype=torch.float64)
    out = model(inputs)
    assert out.outputs["a"].shape == (5, *shape)
    torch.testing.assert_close(out.outputs, dense(model, inputs).outputs)


class Reshape(nn.Module):
    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.reshape(len(inputs), *self.shape)


def test_images_in_with_a_gate_that_sees_vectors():
    experts = [nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()) for _ in range(6)]
    mixture = Mixture(experts, TopK(6, 2, in_features=5))
    images, vectors = torch.randn(3, 1, 6, 6), torch.randn(3, 5)
    output, said = mixture(images, vectors)
    expected = sum(said.weights[:, [i]] * expert(images) for i, expert in enumerate(experts))
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("example", [False, True])
def test_no_weight_at_all_gives_zeros(example):
    weights = torch.zeros(4, 3) if example else torch.zeros(3)
    gate = Given(weights.reshape(-1, 3))
    gate.weights = weights
    output, _ = Mixture([nn.Linear(2, 5) for _ in range(3)], gate)(torch.randn(4, 2))
    assert torch.equal(output, torch.zeros(4, 5))


@pytest.mark.parametrize("gate", [Softmax(3), Softmax(3, 2), TopK(3, 1, 2)])
@pytest.mark.parametrize("stacked", [False, True])
def test_a_batch_of_none(gate, stacked):
    experts = MLPExperts(3, 2, 4, 5) if stacked else [nn.Linear(2, 5) for _ in range(3)]
    assert Mixture(experts, gate)(torch.zeros(0, 2))[0].shape == (0, 5)


@pytest.mark.parametrize("kind", kinds)
@pytest.mark.parametrize("stacked", [False, True])
def test_autocast_stays_near_full_precision(kind, stacked):
    torch.manual_seed(0)
    experts = MLPExperts(8, 3, 5, 4) if stacked else [nn.Linear(3, 4) for _ in range(8)]
    model = MultiTaskMixture(experts, {"a": make_gate(kind, 8).float()}, {"a": nn.Linear(4, 2)})
    inputs = torch.randn(6, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(inputs)
        (out.outputs["a"].float().sum() + out.penalty).backward()
    torch.testing.assert_close(out.outputs["a"].float(), model(inputs).outputs["a"], atol=0.05, rtol=0.05)


@pytest.mark.parametrize(("kind", "stacked"), [("dselect-k", True), ("dselect-k-example", False)])
def test_a_compiled_mixture_gives_the_same_outputs_and_gradients(kind, stacked):
    torch.manual_seed(0)
    experts = MLPExperts(5, 3, 5, 4).double() if stacked else linear_experts(5)
    model = MultiTaskMixture(experts, {"a": make_gate(kind, 5)}, {"a": nn.Linear(4, 2).double()})
    compiled = torch.compile(model, backend="aot_eager")
    results = []
    for inputs in torch.randn(2, 6, 3, dtype=torch.float64):
        for run in (compiled, model):
            model.zero_grad()
            out = run(inputs)
            (out.outputs["a"].square().sum() + out.penalty).backward()
            results.append((out.outputs, [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[::2], results[1::2])


def test_penalty_is_the_sum_over_gates():
    gates = {"a": DSelectK(5, 2, entropy=0.1), "b": DSelectK(5, 1, 3, entropy=0.2), "c": Softmax(5)}
    model = MultiTaskMixture(MLPExperts(5, 3, 4, 4), gates, {task: nn.Linear(4, 1) for task in gates})
    out = model(torch.randn(6, 3))
    assert out.gates["a"].penalty > 0
    assert out.gates["b"].penalty > 0
    torch.testing.assert_close(out.penalty, out.gates["a"].penalty + out.gates["b"].penalty)


def test_a_gate_learns_to_choose_the_expert_that_knows():
    torch.manual_seed(0)
    experts = [nn.Linear(3, 1) for _ in range(5)]
    mixture = Mixture(experts, DSelectK(5, 1, entropy=0.1))
    for expert in experts:
        expert.requires_grad_(False)
    inputs = torch.randn(256, 3)
    steps = torch.optim.Adam(mixture.gate.parameters(), 0.02)
    for _ in range(300):
        steps.zero_grad()
        output, said = mixture(inputs)
        ((output - experts[3](inputs)).square().mean() + said.penalty).backward()
        steps.step()
    assert mixture.gate().weights.tolist() == pytest.approx([0, 0, 0, 1, 0])


def test_selected_lists_what_each_task_uses():
    gates = {"a": Fixed([0.0, 0.25, 0.75]), "b": Fixed([1.0 - 1e-6, 1e-6, 0.0]), "c": TopK(3, 1, 2)}
    with torch.no_grad():
        gates["c"].proj.weight.copy_(torch.eye(3)[:, :2])
        gates["c"].proj.bias.zero_()
    model = MultiTaskMixture(MLPExperts(3, 2, 4, 4), gates, {task: nn.Linear(4, 1) for task in gates})
    table = model.selected(torch.tensor([[1.0, 0], [0, 1], [1, 0], [1, 0]]))
    assert table.columns.tolist() == ["task", "expert", "weight", "share"]
    rows = [tuple(row) for row in table.round(4).itertuples(index=False)]
    assert rows == [("a", 2, 0.75, 1), ("a", 1, 0.25, 1), ("b", 0, 1, 1), ("c", 0, 0.75, 0.75), ("c", 1, 0.25, 0.25)]
    assert len(model.selected(torch.zeros(1, 2), threshold=1e-9).query("task == 'b'")) == 2


def test_selected_leaves_the_mode_and_the_step_as_they_were():
    gate = DSelectK(3, 2, entropy=1.0)
    model = MultiTaskMixture(MLPExperts(3, 2, 4, 4), {"a": gate}, {"a": nn.Linear(4, 1)})
    table = model.selected()
    assert model.training
    assert gate.training
    assert gate.step == 0
    assert len(table) == 3
    with pytest.raises(ValueError, match=r"inputs \[batch, 2\]; got none"):
        MultiTaskMixture(MLPExperts(3, 2, 4, 4), {"a": Softmax(3, 2)}, {"a": nn.Linear(4, 1)}).selected()


@pytest.mark.parametrize("names", [("type", "keys"), ("a.b", "a%2Eb"), ("", "forward"), ("weights", "Ü ñ/:")])
def test_tasks_may_have_any_name_and_state_comes_back(names):
    def make() -> MultiTaskMixture:
        gates = {name: DSelectK(4, 2) for name in names}
        return MultiTaskMixture(MLPExperts(4, 3, 5, 4), gates, {name: nn.Linear(4, 2) for name in names})

    model, other = make().eval(), make().eval()
    other.load_state_dict(model.state_dict())
    inputs = torch.randn(3, 3)
    out = model(inputs)
    assert list(out.outputs) == list(model.gates) == list(names)
    assert len(model.gates) == 2
    torch.testing.assert_close(out.outputs, other(inputs).outputs, atol=0, rtol=0)


def test_state_does_not_depend_on_the_order_of_tasks():
    def make(names: str) -> MultiTaskMixture:
        heads = {name: nn.Linear(4, 2) for name in names}
        return MultiTaskMixture(MLPExperts(4, 3, 5, 4), {name: Softmax(4) for name in names}, heads)

    model, other = make("ab"), make("ba")
    other.load_state_dict(model.state_dict())
    inputs = torch.randn(3, 3)
    torch.testing.assert_close(model(inputs).outputs["a"], other(inputs).outputs["a"], atol=0, rtol=0)


def test_what_does_not_fit_is_refused():
    experts = MLPExperts(4, 3, 5, 4)
    with pytest.raises(ValueError, match="the gate is for 3 experts; there are 4"):
        Mixture(experts, Softmax(3))
    with pytest.raises(ValueError, match="the gate of task 'a' is for 5 experts; there are 4"):
        MultiTaskMixture(experts, {"a": Softmax(5)}, {"a": nn.Linear(4, 1)})
    with pytest.raises(ValueError, match=r"the same tasks; got \['a'\] and \['b'\]"):
        MultiTaskMixture(experts, {"a": Softmax(4)}, {"b": nn.Linear(4, 1)})
    with pytest.raises(ValueError, match=r"the same tasks; got \[\] and \[\]"):
        MultiTaskMixture(experts, {}, {})


@pytest.mark.parametrize("gate", [Softmax(3), Given(torch.eye(3))])
def test_experts_of_unequal_outputs_are_refused(gate):
    mixture = Mixture([nn.Linear(2, 5), nn.Linear(2, 5), nn.Linear(2, 4)], gate)
    with pytest.raises(ValueError, match=r"an example gets \[5\] from expert 0, \[4\] from expert 2"):
        mixture(torch.randn(3, 2))


def test_many_tasks_share_one_run_of_each_expert():
    experts = [Counted(expert) for expert in linear_experts(3)]
    tasks = [f"t{i}" for i, _ in itertools.product(range(10), range(1))]
    gates = {task: Softmax(3).double() for task in tasks}
    MultiTaskMixture(experts, gates, {task: nn.Identity() for task in tasks})(torch.randn(2, 3, dtype=torch.float64))
    assert [expert.rows for expert in experts] == [[2]] * 3
