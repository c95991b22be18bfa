import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.functional import (
    backward_loss,
    forward_loss,
    importance_weights,
    masked_cross_entropy,
    reweighted_loss,
)

LOSSES = [forward_loss, backward_loss, reweighted_loss]


def problem(classes, seed=0, batch=12):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(-1, classes, (batch,), generator=generator)
    noise = torch.rand(classes, classes, generator=generator, dtype=torch.float64)
    matrix = 0.6 * torch.eye(classes, dtype=torch.float64) + 0.4 * noise / noise.sum(1, keepdim=True)
    return logits, labels, matrix


@given(st.integers(2, 6), st.integers(0, 100))
def test_the_identity_gives_cross_entropy(classes, seed):
    logits, labels, _ = problem(classes, seed)
    for loss in LOSSES:
        found = loss(logits, labels, torch.eye(classes, dtype=torch.float64))
        torch.testing.assert_close(found, masked_cross_entropy(logits, labels))


@pytest.mark.parametrize("loss", LOSSES)
def test_missing_labels_cost_nothing_and_give_no_gradient(loss):
    logits, labels, matrix = problem(4)
    labels[3] = -1
    logits.requires_grad_()
    losses = loss(logits, labels, matrix)
    losses.sum().backward()
    assert (losses[labels < 0] == 0).all()
    assert (logits.grad[labels < 0] == 0).all()
    assert (logits.grad[labels >= 0].abs().sum(1) > 0).all()


def test_the_backward_loss_is_the_clean_loss_in_expectation():
    logits, _, matrix = problem(5)
    every = torch.stack([backward_loss(logits, torch.full((12,), k), matrix) for k in range(5)], 1)
    clean = torch.stack([masked_cross_entropy(logits, torch.full((12,), k)) for k in range(5)], 1)
    torch.testing.assert_close(every @ matrix.T, clean)


def test_the_forward_loss_is_least_at_the_true_posterior():
    logits, _, matrix = problem(4, batch=1)
    truth = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64)
    noisy = (truth @ matrix)[0]

    def risk(logits):
        return sum(noisy[k] * forward_loss(logits, torch.tensor([k]), matrix)[0] for k in range(4))

    at = truth.log().requires_grad_()
    risk(at).backward()
    torch.testing.assert_close(at.grad, torch.zeros_like(at), atol=1e-9, rtol=0)
    assert risk(at) < risk(logits)


def test_importance_weights_are_shares_of_probabilities():
    logits, labels, matrix = problem(4)
    labels = labels.clamp(min=0)
    chances = logits.softmax(-1)
    rows = torch.arange(12)
    expected = chances[rows, labels] / (chances @ matrix)[rows, labels]
    weights = importance_weights(logits, labels, matrix)
    torch.testing.assert_close(weights, expected)
    assert (weights <= 1 / matrix.diagonal()[labels] + 1e-9).all()


def test_weights_of_a_loss_are_constants_and_can_be_differentiated_by_the_matrix():
    logits, labels, matrix = problem(4)
    matrix.requires_grad_()
    assert not reweighted_loss(logits, labels, matrix).requires_grad
    importance_weights(logits, labels, matrix).sum().backward()
    assert matrix.grad.abs().sum() > 0


def test_certain_wrong_predictions_have_finite_losses():
    logits = torch.tensor([[200.0, 0.0, 0.0]])
    for loss in LOSSES:
        logits.requires_grad_()
        found = loss(logits, torch.tensor([1]), torch.eye(3))
        (slope,) = torch.autograd.grad(found.sum(), logits)
        assert found.isfinite().all()
        assert slope.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_matrix_in_double_precision_does_for_logits_in_single(loss):
    logits, labels, matrix = problem(4)
    found = loss(logits.float(), labels, matrix)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(logits, labels, matrix).float())
