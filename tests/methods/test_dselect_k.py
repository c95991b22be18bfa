import numpy as np
import torch
from torch import nn

from labelwise.gates import DSelectK
from labelwise.labels import Task
from labelwise.methods import DSelectKMethod, Plan, train
from labelwise.methods.training import seeded

TASKS = (Task("type", classes=("x", "y", "z")), Task("a.b", classes=("0", "1")))


def problem(n=400):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 6, generator=generator)
    return inputs, {"type": inputs[:, :3].argmax(1), "a.b": (inputs[:, 3] * inputs[:, 4] > 0).long()}


def trained(**options):
    inputs, targets = problem()
    with seeded(0):
        model = DSelectKMethod(nn.Sequential(nn.Linear(6, 16), nn.ReLU()), TASKS, input_shape=[6], **options)
        rows = np.arange(len(inputs))
        history = train(model, inputs, targets, rows[:300], rows[300:], Plan(epochs=40, patience=0), quiet=True)
    return model.eval(), history, inputs, targets


def test_static_gates_end_with_at_most_k_experts_and_the_tasks_are_learned():
    model, history, inputs, targets = trained(k=2, n_experts=6)
    assert model.settled()
    with torch.no_grad():
        weights = model.expert_weights(inputs)
        logits = model(inputs[300:])
    for name, row in weights.items():
        assert row.shape == (6,)
        assert 1 <= (row > 1e-5).sum() <= 2
        assert abs(row.sum().item() - 1) < 1e-4
        accuracy = (logits[name].argmax(1) == targets[name][300:]).double().mean()
        assert accuracy > 0.85
    assert len(history) == 40


def test_gates_per_example_choose_by_example():
    model, _, inputs, _ = trained(k=1, n_experts=4, per_example=True)
    with torch.no_grad():
        said = model.mixture(model.backbone(inputs)).gates
        weights = model.expert_weights(inputs)
    assert said["type"].weights.shape == (len(inputs), 4)
    torch.testing.assert_close(weights["type"], said["type"].weights.mean(0))


def test_gates_count_as_settled_once_they_are_sparse():
    static = DSelectKMethod(nn.Linear(6, 16), TASKS, k=1).eval()
    gates = [gate for gate in static.modules() if isinstance(gate, DSelectK)]
    assert not static.settled()
    for gate in gates:
        gate.z_logits.data.fill_(0.5)
    assert static.settled()
    gates[1].z_logits.data[0, 0] = 0.3
    assert not static.settled()
    assert DSelectKMethod(nn.Linear(6, 16), TASKS, entropy=0.0).eval().settled()
    assert all(gate.step == 0 for gate in gates)


def test_the_entropy_term_rises_over_its_share_of_the_steps():
    model, _, _, _ = trained(entropy=0.2, entropy_ramp=0.25)
    strength = next(gate.entropy for gate in model.modules() if hasattr(gate, "entropy") and callable(gate.entropy))
    batches = -(-300 // 37)
    assert strength(1) < 0.2 / 50
    assert strength(10 * batches) == 0.2
    assert strength(5 * batches) == 0.1
