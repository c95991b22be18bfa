import numpy as np
import pytest
import torch
from tests.methods.noisy.samples import TASKS, batch, make, problem

from labelwise.functional import soft_cross_entropy
from labelwise.labels import Task
from labelwise.methods import Plan, get, train
from labelwise.methods.noisy import CrossEntropy
from labelwise.methods.privileged import Lupi, teach
from labelwise.methods.training import seeded
from labelwise.models import MLP

PARTS = {"train": np.arange(140), "validation": np.arange(140, 180), "test": np.arange(140, 180)}


def advised(**options):
    method, sample = make("lupi", **options).eval().double(), batch()
    generator = torch.Generator().manual_seed(1)
    method.advice = {
        task.name: torch.randn(24, len(task.classes), generator=generator, dtype=torch.float64) for task in TASKS
    }
    return method, sample._replace(inputs=sample.inputs.double())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_shared_between_labels_and_teacher(alpha):
    method, sample = advised(alpha=alpha, temperature=3.0)
    logits = method(sample.inputs)
    expected = 0
    for name, labels in sample.targets.items():
        labelled = labels >= 0
        own = torch.nn.functional.cross_entropy(logits[name][labelled], labels[labelled])
        taught = soft_cross_entropy(logits[name], (method.advice[name] / 3).softmax(-1)).mean()
        expected += (1 - alpha) * own + alpha * taught
    torch.testing.assert_close(method.training_step(sample), expected)


def test_a_teacher_who_agrees_pulls_nowhere():
    method, sample = advised(alpha=1.0, temperature=1.0)
    method.advice = {name: logits.detach() for name, logits in method(sample.inputs).items()}
    method.training_step(sample).backward()
    assert max(p.grad.abs().max() for p in method.parameters()) < 1e-12


def test_the_teacher_alone_needs_no_label():
    method, sample = advised(alpha=1.0)
    loss = method.training_step(sample)
    none = {name: torch.full_like(labels, -1) for name, labels in sample.targets.items()}
    assert torch.equal(method.training_step(sample._replace(targets=none)), loss)


def fitted(method, privileged=None, epochs=4, seed=0, alpha=None, patience=0):
    inputs, targets, truth = problem()
    plan = Plan(epochs=epochs, batch_size=32, patience=patience)
    with seeded(seed):
        student = get(method)(MLP(5, (16,), 16, 0.2), TASKS, **({} if alpha is None else {"alpha": alpha}))
        first = {name: value.clone() for name, value in student.state_dict().items()}
        if privileged is not None:
            teacher = teach(student, inputs, privileged, targets, PARTS, plan, seed, quiet=True)
            assert all(torch.equal(value, first[name]) for name, value in student.state_dict().items())
            assert not teacher.training
        history = train(student, inputs, targets, PARTS["train"], PARTS["validation"], plan, seed, quiet=True)
    return student, history, truth


def test_with_alpha_0_it_is_the_baseline_bit_for_bit_and_always_of_its_shape():
    hidden = torch.eye(4)[torch.from_numpy(problem()[2])]
    baseline, expected, _ = fitted("cross-entropy")
    for alpha in (0.0, 0.5):
        student, history, _ = fitted("lupi", hidden, alpha=alpha)
        assert (history == expected) is (alpha == 0)
        states = baseline.state_dict(), student.state_dict()
        assert list(states[0]) == list(states[1])
        same = [torch.equal(one, other) for one, other in zip(*(state.values() for state in states), strict=True)]
        assert all(same) is (alpha == 0)
    assert issubclass(Lupi, type(baseline).__mro__[1])
    assert type(baseline) is CrossEntropy


def test_a_teacher_who_sees_the_truth_is_right_and_said_to_be_an_oracle():
    hidden = torch.eye(4)[torch.from_numpy(problem()[2])]
    student, _, _ = fitted("lupi", hidden, epochs=10, alpha=0.5)
    scores = student.facts()["teacher"]
    assert scores["note"].startswith("an oracle")
    assert scores["tasks"]["b"]["test"]["accuracy"]["value"] > 0.95
    assert make("lupi").facts() == {}


def test_the_distance_to_the_boundary_makes_a_better_student():
    """The first experiment of the source: labels flip near the boundary, and the teacher sees how near a row is."""
    gains = []
    for seed in range(2):
        generator = np.random.default_rng(seed)
        direction = generator.normal(size=50)
        x = generator.normal(size=(1300, 50))
        margin = x @ direction
        labels = (margin + generator.normal(size=1300) > 0).astype(int)
        inputs = torch.from_numpy(x.astype(np.float32))
        privileged = torch.from_numpy(margin[:, None].astype(np.float32))
        targets = {"y": torch.from_numpy(labels)}
        parts = {"train": np.arange(200), "validation": np.arange(200, 300)}
        right = []
        for alpha in (0.0, 1.0):
            with seeded(seed):
                student = Lupi(MLP(50, (), 32), [Task("y", classes=("a", "b"))], alpha=alpha, learning_rate=0.02)
                plan = Plan(epochs=10, batch_size=40, patience=0)
                if alpha:
                    teach(student, inputs, privileged, targets, parts, plan, seed, quiet=True)
                train(student, inputs, targets, parts["train"], parts["validation"], plan, seed, quiet=True)
            with torch.no_grad():
                right.append((student(inputs[300:])["y"].argmax(-1).numpy() == labels[300:]).mean())
        gains.append(right[1] - right[0])
    assert np.mean(gains) > 0.01, gains


@pytest.mark.parametrize("options", [{"alpha": 1.1}, {"alpha": -0.1}, {"temperature": 0.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        make("lupi", **options)
