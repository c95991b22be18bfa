import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from labelwise.gates import DSelectK
from labelwise.labels import Task
from labelwise.methods import DSelectKMethod, Plan, train
from labelwise.methods.batch import Batches
from labelwise.methods.dselect_k import gate_statistics
from labelwise.methods.training import seeded

TASKS = (Task("type", classes=("x", "y", "z")), Task("a.b", classes=("0", "1")))


def problem(n=400):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 6, generator=generator)
    return inputs, {"type": inputs[:, :3].argmax(1), "a.b": (inputs[:, 3] * inputs[:, 4] > 0).long()}


def trained(epochs=40, **options):
    inputs, targets = problem()
    with seeded(0):
        model = DSelectKMethod(nn.Sequential(nn.Linear(6, 16), nn.ReLU()), TASKS, input_shape=[6], **options)
        rows = np.arange(len(inputs))
        history = train(model, inputs, targets, rows[:300], rows[300:], Plan(epochs=epochs, patience=0), quiet=True)
    return model.eval(), history, inputs, targets


def test_static_gates_end_with_at_most_k_experts_and_the_tasks_are_learned_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model, history, inputs, targets = trained(k=2, n_experts=6)
    assert model.notes == []
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
    model, _, inputs, _ = trained(epochs=2, k=1, n_experts=4, per_example=True)
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
    model, _, _, _ = trained(epochs=8, entropy=0.2, entropy_ramp=0.25)
    strength = next(gate.entropy for gate in model.modules() if hasattr(gate, "entropy") and callable(gate.entropy))
    batches = -(-300 // 37)
    assert strength(1) < 0.2 / 10
    assert strength(2 * batches) == 0.2
    assert strength(batches) == 0.1


@pytest.mark.parametrize("per_example", [False, True])
def test_the_history_tells_of_the_gates_at_each_epoch(per_example):
    _, history, _, _ = trained(epochs=3, n_experts=6, per_example=per_example)
    for row in history:
        gates = row["gates"]
        for task in ("type", "a.b"):
            assert sum(gates["usage"][task]) == pytest.approx(gates["used"][task], abs=1e-4)
            assert sum(gates["load"][task]) <= 1 + 1e-4
            assert -1e-6 <= gates["entropy"][task] <= np.log(6) + 1e-6
        assert 0 <= gates["overlap"] <= 1
    assert history[0]["gates"]["used"] == {"type": 6, "a.b": 6}
    assert history[0]["gates"]["overlap"] == 1


def test_statistics_of_gates_are_those_of_their_weights():
    facts = gate_statistics(
        {"a": torch.tensor([[0.5, 0.5, 0], [0, 1, 0]]), "b": torch.tensor([[0, 0, 1.0], [0, 1, 0]])}
    )
    assert facts["load"] == {"a": [0.25, 0.75, 0], "b": [0, 0.5, 0.5]}
    assert facts["usage"] == {"a": [0.5, 1, 0], "b": [0, 0.5, 0.5]}
    assert facts["used"] == {"a": 1.5, "b": 1}
    assert facts["entropy"] == {"a": pytest.approx(np.log(2) / 2, abs=1e-5), "b": 0}
    assert facts["overlap"] == 0.5  # nothing in common in one example, all in the other
    assert gate_statistics({"a": torch.ones(1)})["overlap"] is None


def test_a_logger_gets_the_statistics_of_each_epoch(tmp_path):
    inputs, targets = problem(64)
    model = DSelectKMethod(nn.Linear(6, 16), TASKS, n_experts=2)
    batches = Batches(inputs, targets, np.arange(64), 16, seed=0)
    logger = CSVLogger(tmp_path)
    Trainer(
        max_epochs=2, logger=logger, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    ).fit(model, batches)
    logger.save()
    rows = np.genfromtxt(f"{logger.log_dir}/metrics.csv", delimiter=",", names=True, deletechars="")
    assert len(rows) == 2
    wanted = {"used/type", "entropy/type", "load/type/1", "usage/a.b/0", "overlap"}
    assert {f"gates/{name}" for name in wanted} <= set(rows.dtype.names)
    assert rows["gates/used/type"].tolist() == [2, 2]


def test_a_gate_that_settles_at_once_is_reported_with_the_remedy():
    with pytest.warns(UserWarning, match="gate of 'type': selectors .* have settled after 10 steps.* learning rate"):
        model, _, _, _ = trained(epochs=3, gamma=1e-3)
    assert any("learning rate well below gamma" in note for note in model.notes)
    assert len(model.notes) == len(set(model.notes))


def test_a_gate_that_stays_soft_is_reported_at_the_end():
    with pytest.warns(UserWarning, match="more than k = 1"):
        model, _, _, _ = trained(epochs=5, gamma=30.0, k=1, n_experts=4)
    assert len(model.notes) == 2


def test_tasks_have_all_experts_in_common_with_themselves():
    inputs, _ = problem(50)
    model = DSelectKMethod(nn.Linear(6, 16), TASKS, per_example=True).eval()
    with torch.no_grad():
        overlap = model.expert_overlap(inputs)
    assert overlap["type"][0] == overlap["a.b"][1] == 1
    assert overlap["type"][1] == overlap["a.b"][0]
