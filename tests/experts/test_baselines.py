import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labelwise.experts import PLE, Extraction, MLPExperts, MultiTaskMixture, SharedBottom, SingleTask
from labelwise.gates import Fixed

tasks = ("a", "b.c", "type")


def heads(width: int = 4) -> dict[str, nn.Module]:
    return {task: nn.Linear(width, 2).double() for task in tasks}


def example_inputs() -> Tensor:
    return torch.randn(5, 3, dtype=torch.float64)


def test_a_shared_bottom_is_a_mixture_of_one_expert():
    bottom, tops = nn.Linear(3, 4).double(), heads()
    model = SharedBottom(bottom, tops)
    mixture = MultiTaskMixture([bottom], {task: Fixed([1.0]).double() for task in tasks}, tops)
    inputs = example_inputs()
    out = model(inputs)
    torch.testing.assert_close(out.outputs, mixture(inputs).outputs)
    assert out.penalty == 0
    assert out.gates == {}


def test_single_tasks_share_nothing():
    bottoms = {task: nn.Linear(3, 4).double() for task in reversed(tasks)}
    model = SingleTask(bottoms, heads())
    out = model(example_inputs())
    assert list(out.outputs) == list(tasks)
    out.outputs["b.c"].sum().backward()
    for task in tasks:
        for part in (model.bottoms[task], model.heads[task]):
            assert all((p.grad is not None) == (task == "b.c") for p in part.parameters())


@given(
    common=st.integers(1, 3),
    own=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    n_levels=st.integers(1, 3),
    stacked=st.booleans(),
    static=st.booleans(),
)
@settings(max_examples=30)
def test_ple_is_what_its_equations_say(common, own, n_levels, stacked, static):
    torch.manual_seed(0)

    def experts(n: int, width: int) -> MLPExperts | list[nn.Module]:
        if stacked:
            return MLPExperts(n, width, 5, 4).double()
        return [nn.Sequential(nn.Linear(width, 4), nn.Tanh()).double() for _ in range(n)]

    widths = [3, 4, 4][:n_levels]
    numbers = dict(zip(tasks, own, strict=True))
    levels = [
        Extraction(experts(common, w), {t: experts(n, w) for t, n in numbers.items()}, None if static else w)
        for w in widths
    ]
    model = PLE(levels, heads()).double()
    inputs = example_inputs()
    # Every sum and gate on its own.
    shared, features = inputs, dict.fromkeys(tasks, inputs)
    for level, given_level in zip(model.levels, levels, strict=True):
        say = [run(shared) for run in each(given_level.shared)]
        own_say = {t: [run(features[t]) for run in each(given_level.specific[t])] for t in tasks}
        mixed = {t: average(level.gates[t], features[t], own_say[t] + say) for t in tasks}
        if level.shared_gate is not None:
            shared = average(level.shared_gate, shared, [one for t in tasks for one in own_say[t]] + say)
        features = mixed
    expected = {task: model.heads[task](features[task]) for task in tasks}
    out = model(inputs)
    torch.testing.assert_close(out.outputs, expected)
    assert (level.shared_gate is None) == (level is model.levels[-1])
    for task in tasks:
        assert out.gates[task].weights.shape[-1] == numbers[task] + common


def each(experts):
    if isinstance(experts, MLPExperts):
        return [lambda inputs, i=i: experts(inputs, [i])[0] for i in range(len(experts))]
    return experts


def average(gate: nn.Module, seen: Tensor, outputs: list[Tensor]) -> Tensor:
    weights = torch.softmax(gate.logits if gate.in_features is None else gate.proj(seen), -1)
    return sum(weights[..., i, None] * output for i, output in enumerate(outputs))


def test_every_parameter_of_ple_learns_and_others_tasks_experts_do_not():
    torch.manual_seed(0)
    levels = [Extraction(MLPExperts(2, w, 8, 4), {t: MLPExperts(2, w, 8, 4) for t in tasks}, w) for w in (3, 4)]
    model = PLE(levels, heads()).double()
    answers = model(example_inputs()).outputs
    sum(answer.square().sum() for answer in answers.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    top = model.levels[-1].specific["type"]
    gradients = torch.autograd.grad(model(example_inputs()).outputs["a"].sum(), top.parameters(), allow_unused=True)
    assert all(g is None for g in gradients)


def test_ple_over_images_with_gates_that_see_vectors():
    def conv() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())

    def upper() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(32, 4))

    levels = [
        Extraction([conv()], {t: [conv(), conv()] for t in tasks}, 5),
        Extraction([upper()], {t: [upper()] for t in tasks}, 32),
    ]
    model = PLE(levels, {t: nn.Linear(4, 2) for t in tasks})
    assert model(torch.randn(3, 1, 6, 6), torch.randn(3, 5)).outputs["a"].shape == (3, 2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"heads must name the same tasks; got \[\]"):
        SharedBottom(nn.Identity(), {})
    with pytest.raises(ValueError, match=r"bottoms and heads must name the same tasks; got \['a'\] and \['b'\]"):
        SingleTask({"a": nn.Identity()}, {"b": nn.Identity()})
    with pytest.raises(ValueError, match=r"specific experts and heads .* got \['a'\] and \['b'\]"):
        PLE([Extraction([nn.Identity()], {"a": [nn.Identity()]})], {"b": nn.Identity()})
    with pytest.raises(ValueError, match="at least one Extraction; got none"):
        PLE([], {"b": nn.Identity()})
