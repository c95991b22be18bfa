import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.functional import (
    log_confidence_target,
    negative_entropy,
    parts_loss,
    prior_divergence,
    sharpen,
    soft_cross_entropy,
)


def batch(size: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(size)
    logits = torch.randn(size, classes, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(size, classes, generator=generator, dtype=torch.float64).softmax(-1)


def test_one_hot_targets_give_cross_entropy():
    logits, _ = batch(7, 4)
    labels = torch.tensor([0, 1, 2, 3, 3, 0, 1])
    expected = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(logits, F.one_hot(labels, 4).double()), expected)


def test_subtracting_the_entropy_changes_the_value_and_not_the_gradient():
    logits, targets = batch(5, 3)
    plain, shifted = (soft_cross_entropy(logits, targets, subtract) for subtract in (False, True))
    assert (shifted < plain).all()
    gradients = [torch.autograd.grad(losses.sum(), logits, retain_graph=True)[0] for losses in (plain, shifted)]
    torch.testing.assert_close(*gradients)
    at_target = soft_cross_entropy(targets.log(), targets, subtract_entropy=True)
    torch.testing.assert_close(at_target, torch.zeros_like(at_target), atol=1e-12, rtol=0)


def test_certain_targets_have_no_entropy():
    logits, _ = batch(2, 3)
    certain = torch.eye(3, dtype=torch.float64)[:2]
    torch.testing.assert_close(
        soft_cross_entropy(logits, certain, subtract_entropy=True), soft_cross_entropy(logits, certain)
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("size", [1, 6])
def test_confidence_starts_at_the_labels(classes, size):
    logits, targets = batch(size, classes)
    torch.testing.assert_close(log_confidence_target(logits, targets, step=0), targets)
    torch.testing.assert_close(log_confidence_target(logits, targets, step=500, strength=0), targets)


@pytest.mark.parametrize("classes", [2, 5])
def test_targets_stay_distributions_and_let_no_gradient_through(classes):
    logits, targets = batch(9, classes)
    for step in (0, 100, 200, 1000):
        mixed = log_confidence_target(logits, targets, step)
        assert not mixed.requires_grad
        assert (mixed >= 0).all()
        torch.testing.assert_close(mixed.sum(-1), torch.ones(9, dtype=torch.float64))


@pytest.mark.parametrize("classes", [2, 4])
def test_full_confidence_sees_only_the_shares_of_the_labels(classes):
    logits, targets = batch(8, classes)
    mixed = log_confidence_target(logits, targets, step=200, strength=1)
    assert set(mixed.unique().tolist()) == {0, 1}
    torch.testing.assert_close(mixed, log_confidence_target(logits, targets.roll(3, 0), step=200, strength=1))


@pytest.mark.parametrize("positives", [0, 3, 8, 10])
def test_two_classes_occur_as_often_as_in_the_labels(positives):
    logits, _ = batch(10, 2)
    labels = F.one_hot((torch.arange(10) < positives).long(), 2).double()
    own = log_confidence_target(logits, labels, step=1, warm_up=1, strength=1)
    # Class 0 holds at least its quantile, so that it has one example where there should be none.
    assert own[:, 1].sum() == min(positives, 9)
    assert own[:, 1][logits[:, 1] - logits[:, 0] > (logits[:, 1] - logits[:, 0]).median()].sum() == min(positives, 5)


def test_confidence_grows_evenly_to_its_strength():
    logits, targets = batch(6, 2)
    far = log_confidence_target(logits, targets, step=200) - targets
    torch.testing.assert_close(log_confidence_target(logits, targets, step=50) - targets, far / 4)
    torch.testing.assert_close(log_confidence_target(logits, targets, step=5000) - targets, far)


def test_a_class_that_is_never_predicted_can_still_be_matched():
    logits = torch.tensor([[4.0, 3.0, 0.0], [5.0, 1.0, 0.0], [5.0, 0.0, 2.0]])
    own = log_confidence_target(logits, torch.full((3, 3), 1 / 3), step=1, warm_up=1, strength=1)
    torch.testing.assert_close(own, torch.eye(3)[[1, 0, 2]])


def test_sharpening_keeps_the_order_and_the_sum():
    chances = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    torch.testing.assert_close(sharpen(chances, 1.0), chances)
    squared = chances**2
    torch.testing.assert_close(sharpen(chances, 0.5), squared / squared.sum(1, keepdim=True))
    torch.testing.assert_close(sharpen(chances, 1e-3)[0], torch.tensor([1.0, 0, 0], dtype=torch.float64))


def test_negative_entropy_is_least_where_nothing_is_known():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(negative_entropy(logits), torch.tensor([-math.log(4), 0.0], dtype=torch.float64))


def test_divergence_from_the_prior_is_zero_where_the_mean_prediction_meets_it():
    prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    certain = 60 * F.one_hot(torch.tensor([0, 0, 1, 2]), 3).double()
    torch.testing.assert_close(prior_divergence(certain, prior), torch.zeros((), dtype=torch.float64))
    assert prior_divergence(certain[:2], prior) > 1
    assert prior_divergence(certain, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)).isfinite()


def test_parts_that_show_what_is_expected_cost_nothing():
    chances = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    shown = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.float64).expand(2, 3, 3)
    losses = parts_loss(chances, shown, torch.tensor([[1, 0, 1], [1, 1, 0]]))
    expected = F.binary_cross_entropy(torch.tensor([0.5] * 3).double(), torch.tensor([1.0, 1, 0]).double())
    torch.testing.assert_close(losses, torch.stack([torch.zeros(()).double(), expected]))


def test_sharpening_needs_a_temperature():
    with pytest.raises(ValueError, match="temperature must be above 0; got 0"):
        sharpen(torch.full((2, 2), 0.5), 0)
