"""In which limits methods are the same, and what each learns from."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from tests.methods.noisy.samples import TASKS, batch, make, problem, run
from tests.methods.noisy.test_every_method import NAMES, QUICK

from labelwise.functional import masked_cross_entropy, prior_divergence
from labelwise.labels import Task, Transition
from labelwise.methods import Plan, get, train
from labelwise.methods.method import joint_loss
from labelwise.methods.noisy.base import TaskBatch
from labelwise.methods.training import seeded
from labelwise.models import backbone_for

IDENTITIES = {task.name: Transition.identity(task.classes) for task in TASKS}
AT_CROSS_ENTROPY = [
    ("loss-clip", {"forget": 0.0}),
    ("co-teaching", {"forget": 0.0}),
    ("co-teaching-plus", {"forget": 0.0}),
    ("forward-correction", {"transitions": IDENTITIES}),
    ("backward-correction", {"transitions": IDENTITIES}),
    ("importance-reweighting", {"transitions": IDENTITIES}),
    ("t-revision", {"transitions": IDENTITIES}),
    ("dynamic-loss", {}),  # margins are equal at first, and equal margins change nothing
    ("sdn", {}),  # before relabelling
    ("label-wave", {}),
]


def double(name, **options):
    method, sample = make(name, **options).double().eval(), batch()
    return method, sample._replace(inputs=sample.inputs.double())


def pair(labels, *logits):
    return [TaskBatch("a", torch.arange(len(labels)), each, labels) for each in logits]


@pytest.mark.parametrize(("name", "options"), AT_CROSS_ENTROPY)
def test_in_its_limit_a_method_is_cross_entropy(name, options):
    method, sample = double(name, **options)
    networks = [method.answers_of(n, sample.inputs) for n in (0, 1)] if "co-" in name else [method(sample.inputs)]
    expected = torch.stack([joint_loss(logits, sample.targets, TASKS) for logits in networks]).sum()
    torch.testing.assert_close(method.training_step(sample), expected, atol=1e-9, rtol=1e-9)


def test_margins_have_slopes_that_sum_to_zero():
    logits, labels = torch.randn(7, 5, dtype=torch.float64), torch.arange(7) % 5
    margins = torch.randn(5, dtype=torch.float64, requires_grad=True)
    masked_cross_entropy(logits + margins, labels).mean().backward()
    torch.testing.assert_close(margins.grad.sum(), torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_revision_learns_through_the_weights_and_the_network_only_if_asked():
    tilted = {
        task.name: Transition(0.7 * np.eye(n) + 0.3 / n, task.classes) for task in TASKS if (n := len(task.classes))
    }
    slopes = {}
    for name, options in (
        ("importance-reweighting", {}),
        ("t-revision", {}),
        ("t-revision", {"through_network": True}),
    ):
        torch.manual_seed(0)
        method, sample = double(name, transitions=tilted, **options)
        for task, transition in tilted.items():
            method.set_transition(task, transition)
        method.training_step(sample).backward()
        slopes[name, bool(options)] = method.heads[0].weight.grad
        if name == "t-revision":
            assert all(revision.grad.abs().sum() > 0 for revision in method.revisions)
    torch.testing.assert_close(slopes["t-revision", False], slopes["importance-reweighting", False])
    assert (slopes["t-revision", True] - slopes["t-revision", False]).abs().max() > 1e-4


def test_each_network_learns_from_what_the_other_chose():
    method = make("co-teaching", forget=0.5, warm_up=0.0)
    labels = torch.tensor([0, 1, 2, 3, -1, 0])
    logits = [torch.randn(6, 4, generator=torch.Generator().manual_seed(k), requires_grad=True) for k in (0, 1)]
    method.pair_loss(*pair(labels, *logits)).backward()
    for own, other in (logits, logits[::-1]):
        losses = masked_cross_entropy(other, labels).masked_fill(labels < 0, torch.inf)
        chosen = losses.argsort()[:2].sort().values
        assert (own.grad.abs().sum(1) > 0).nonzero().flatten().tolist() == chosen.tolist()


def test_with_disagreement_only_disputed_examples_count():
    method = make("co-teaching-plus", forget=0.0, warm_up=0.0)
    labels = torch.tensor([0, 1, 2, 3, -1, 0])
    first = torch.eye(4)[[0, 1, 2, 0, 1, 2]].requires_grad_()
    second = torch.eye(4)[[0, 1, 3, 0, 2, 1]].requires_grad_()
    method.pair_loss(*pair(labels, first, second)).backward()
    for logits in (first, second):
        assert (logits.grad.abs().sum(1) > 0).tolist() == [False, False, True, False, False, True]
    agreed = pair(labels, first, first)
    assert method.pair_loss(*agreed).item() == 0
    released = make("co-teaching-plus", forget=0.0, warm_up=0.0, as_released=True)
    expected = 2 * F.cross_entropy(first, labels, ignore_index=-1)
    torch.testing.assert_close(released.pair_loss(*agreed), expected)


def test_with_clean_labels_and_nothing_mixed_divide_mix_is_cross_entropy_and_its_prior():
    method, sample = double("divide-mix", alpha=0.0)
    method._clean = {
        task: torch.where(labels >= 0, 1.0, torch.nan).double().expand(2, -1) for task, labels in sample.targets.items()
    }
    method.train()
    for layer in method.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    expected = []
    for network in (0, 1):
        logits = method.answers_of(network, sample.inputs)
        priors = [prior_divergence(each, torch.full_like(each[0], 1 / each.shape[1])) for each in logits.values()]
        expected.append(joint_loss(logits, sample.targets, TASKS) + torch.stack(priors).sum())
    torch.testing.assert_close(method.training_step(sample), torch.stack(expected).sum(), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["co-teaching", "divide-mix", "loss-clip"])
def test_most_of_what_is_learned_from_is_labelled_right(name):
    method, _, _, targets, truth = run(name, epochs=12, **({} if name == "divide-mix" else {"forget": 0.25}))
    selected = method.examples.values()["a"]["selected"][-1]
    right = torch.from_numpy(truth)[:140] == targets["a"][:140]
    labelled = targets["a"][:140] >= 0
    chosen = selected[labelled & (selected > 0)]
    clean = right[labelled & (selected > 0)]
    assert (chosen * clean).sum() / chosen.sum() > 0.88 > right[labelled].float().mean() + 0.05


@pytest.mark.parametrize("name", NAMES)
def test_a_long_tail_of_noisy_pictures_leaves_every_weight_finite(name):
    pictures, classes = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    # From 60 rows of the largest class to one of the smallest.
    rows = np.concatenate([np.flatnonzero(classes == k)[: max(1, 60 >> k)] for k in range(10)])
    noisy = np.where(generator.random(len(rows)) < 0.03, generator.integers(0, 10, len(rows)), classes[rows])
    inputs = torch.from_numpy(pictures[rows].reshape(-1, 1, 8, 8) / 8 - 1).float()
    with seeded(0):
        task = Task("digit", classes=tuple("0123456789"))
        method = get(name)(backbone_for((1, 8, 8), 8), [task], **QUICK.get(name, {}))
        plan = Plan(epochs=3, batch_size=40)
        targets = {"digit": torch.from_numpy(noisy)}
        history = train(method, inputs, targets, np.arange(len(rows)), np.zeros(0, np.int64), plan, quiet=True)
    assert np.isfinite([epoch["train_loss"] for epoch in history]).all()
    assert all(values.isfinite().all() for values in method.state_dict().values())


def test_rows_that_are_not_trained_on_change_nothing_of_how_labels_are_divided():
    inputs, targets, truth = problem()
    learned = np.arange(140)
    spread = torch.zeros(300, 5).index_copy(0, torch.from_numpy(2 * learned), inputs[:140])
    there = {
        name: torch.full((300,), -1).index_copy(0, 2 * torch.arange(140), each[:140]) for name, each in targets.items()
    }
    shares = []
    for rows, features, labels in ((learned, inputs, targets), (2 * learned, spread, there)):
        with seeded(0):
            method = make("divide-mix", learning_rate=0.01)
            plan = Plan(epochs=4, batch_size=32)
            train(method, features, labels, rows, np.zeros(0, np.int64), plan, quiet=True)
        shares.append(method._clean["a"][:, rows])
    torch.testing.assert_close(*shares, equal_nan=True)
    assert (shares[0][:, torch.from_numpy(truth)[:140] == targets["a"][:140]] > 0.5).float().mean() > 0.8
