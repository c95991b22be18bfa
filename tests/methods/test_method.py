import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from labelwise.gates import DSelectK
from labelwise.labels import Task
from labelwise.methods import CrossEntropy, DSelectKMethod, get
from labelwise.methods.batch import Batch, Batches
from labelwise.methods.method import joint_loss, parameter_groups

TASKS = (Task("a", classes=("x", "y", "z")), Task("b", classes=("0", "1")))


def test_joint_loss_is_the_sum_of_means_over_labelled_rows():
    logits = {"a": torch.randn(6, 3, dtype=torch.float64), "b": torch.randn(6, 2, dtype=torch.float64)}
    targets = {"a": torch.tensor([0, -1, 2, 1, -1, 0]), "b": torch.tensor([-1, 1, -1, 0, -1, -1])}
    expected = sum(
        nn.functional.cross_entropy(logits[name][targets[name] >= 0], targets[name][targets[name] >= 0])
        for name in logits
    )
    torch.testing.assert_close(joint_loss(logits, targets, TASKS), expected)


def test_missing_labels_give_no_gradient_and_a_task_without_any_no_nan():
    logits = {"a": torch.randn(4, 3, requires_grad=True), "b": torch.randn(4, 2, requires_grad=True)}
    loss = joint_loss(logits, {"a": torch.tensor([0, -1, 2, -1]), "b": torch.full((4,), -1)}, TASKS)
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(logits["a"].grad[[1, 3]], torch.zeros(2, 3))
    assert logits["a"].grad[[0, 2]].abs().sum() > 0
    assert torch.equal(logits["b"].grad, torch.zeros(4, 2))


@pytest.mark.parametrize("method", [CrossEntropy, DSelectKMethod])
def test_training_step_ignores_what_is_unlabelled(method):
    torch.manual_seed(0)
    model = method(nn.Linear(4, 5), TASKS).double()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    targets = {"a": torch.tensor([0, 1, 2, -1, -1, 1]), "b": torch.tensor([1, -1, 0, -1, 1, 0])}
    loss = model.training_step(Batch(torch.arange(6), inputs, targets))
    unlabelled = inputs.clone()
    unlabelled[3] = 100.0
    torch.testing.assert_close(model.training_step(Batch(torch.arange(6), unlabelled, targets)), loss)


def test_weight_decay_spares_gates_biases_and_norms():
    model = DSelectKMethod(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)), TASKS, input_shape=[4], per_example=True)
    decayed, exempt = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays = {names[id(parameter)] for parameter in decayed["params"]}
    spared = {names[id(parameter)] for parameter in exempt["params"]}
    assert decays | spared == set(names.values())
    assert not decays & spared
    gates = {name for name in names.values() if ".gates." in name}
    assert gates
    assert gates < spared
    assert {name for name in names.values() if "bias" in name} < spared
    assert {"backbone.0.weight", "mixture.experts.weights.0"} < decays
    assert "backbone.1.weight" in spared


def test_weight_decay_alone_moves_no_gate():
    model = DSelectKMethod(nn.Linear(4, 5), TASKS, weight_decay=0.5, learning_rate=0.1)
    gates = [gate for gate in model.modules() if isinstance(gate, DSelectK)]
    before = [gate.z_logits.detach().clone() for gate in gates]
    optimiser = model.configure_optimizers()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert all(torch.equal(gate.z_logits, old) for gate, old in zip(gates, before, strict=True))
    assert not torch.equal(model.backbone.weight, model.backbone.weight / 0.95)


def test_a_plain_lightning_trainer_can_run_a_method(tmp_path):
    rows = np.arange(40)
    batches = Batches(torch.randn(40, 4), {"a": torch.arange(40) % 3, "b": torch.arange(40) % 2}, rows, 8, seed=0)
    model = DSelectKMethod(nn.Linear(4, 5), TASKS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False, default_root_dir=tmp_path
        )
        trainer.fit(model, batches, batches)
    expected = [joint_loss(model.eval()(batch.inputs), batch.targets, TASKS).item() for batch in batches]
    assert trainer.callback_metrics["validation_loss"].item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_any_backbone_serves():
    bare = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Dropout(0.5), nn.Flatten())
    model = CrossEntropy(bare, TASKS, input_shape=[1, 4, 4])
    assert model.features == 27
    assert bare.training
    assert {name: tuple(logits.shape) for name, logits in model(torch.randn(2, 1, 4, 4)).items()} == {
        "a": (2, 3),
        "b": (2, 2),
    }
    with pytest.raises(ValueError, match="give input_shape"):
        CrossEntropy(bare, TASKS)
    with pytest.raises(ValueError, match=r"features \[batch, d\]; for \[1, 4, 4\] it gave \[1, 3, 3, 3\]"):
        CrossEntropy(nn.Sequential(nn.Conv2d(1, 3, 2)), TASKS, input_shape=[1, 4, 4])


def test_probabilities_follow_the_temperature():
    model = CrossEntropy(nn.Linear(4, 5), TASKS)
    logits = model(torch.randn(7, 4))
    plain = model.probabilities(logits)
    for name in logits:
        torch.testing.assert_close(plain[name], torch.softmax(logits[name], -1))
    model.temperatures[0] = 1e6
    flat = model.probabilities(logits)
    torch.testing.assert_close(flat["a"], torch.full((7, 3), 1 / 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat["b"], plain["b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0; got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0; got nan"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"k": 0}, "k must be at least 1"),
        ({"n_experts": 0}, "at least 1"),
        ({"expert_width": 0}, "expert_width must be at least 1"),
        ({"entropy_ramp": 1.5}, "entropy_ramp must be at least 0 and at most 1; got 1.5"),
        ({"gamma": 0.0}, "gamma must be above 0"),
        ({"entropy": -1.0}, "entropy must be at least 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DSelectKMethod(nn.Linear(4, 5), TASKS, **options)


def test_tasks_that_cannot_be_learned_are_refused():
    with pytest.raises(ValueError, match="no task to learn"):
        CrossEntropy(nn.Linear(4, 5), ())
    with pytest.raises(ValueError, match=r"'single'; 'size' is of kind 'real'; method 'cross-entropy' learns every"):
        get("rank-mixup")(nn.Linear(4, 5), (Task("size", "real"),))
    with pytest.raises(ValueError, match=r"'bag' is of kind 'count'$"):
        CrossEntropy(nn.Linear(4, 5), (Task("bag", "count", ("x", "y")),))
    with pytest.raises(ValueError, match="with at least 2 classes; 'one' has 1"):
        CrossEntropy(nn.Linear(4, 5), (Task("one", classes=("x",)),))
