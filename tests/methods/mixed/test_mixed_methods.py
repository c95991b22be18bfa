"""Methods that learn from mixtures, in the limits where they are something plainer, and on what they cannot take."""

import pytest
import torch
from tests.methods.noisy.samples import TASKS, batch, make
from torch import nn

from labelwise.functional import mixup_ranking_loss
from labelwise.methods import get
from labelwise.methods.batch import Batch


def step(name, sample, **options):
    """Loss and gradient of one step, dropout and batch statistics off, of the same weights and random numbers."""
    torch.manual_seed(0)
    method = make(name, **options).double().eval()
    torch.manual_seed(1)
    loss = method.training_step(sample._replace(inputs=sample.inputs.double()))
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in method.parameters()])


@pytest.mark.parametrize(
    ("name", "options", "plain", "plain_options"),
    [
        ("mixup", {"alpha": 0.0}, "cross-entropy", {}),
        ("decoupled-mixup", {"alpha": 0.0}, "cross-entropy", {}),
        ("decoupled-mixup", {"strength": 0.0}, "mixup", {}),
        ("rank-mixup", {"strength": 0.0}, "cross-entropy", {}),
        ("rank-mixup", {"rank": "ranking", "margin": 0.0, "alpha": 0.0}, "cross-entropy", {}),
    ],
)
def test_limits(name, options, plain, plain_options):
    sample = batch()
    # A label that is missing from a mixture costs its share in mixup, and the whole mixture in decoupled mixup.
    sample = sample._replace(targets={task: labels.clamp(min=0) for task, labels in sample.targets.items()})
    loss, gradient = step(name, sample, **options)
    expected, expected_gradient = step(plain, sample, **plain_options)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_two_classes_leave_nothing_to_decouple():
    sample = batch()
    sample = sample._replace(targets={"a": torch.full((24,), -1), "b": sample.targets["b"].clamp(min=0)})
    torch.testing.assert_close(step("decoupled-mixup", sample, strength=3.0), step("mixup", sample))


def test_the_ranking_loss_is_the_mean_over_examples_mixed_with_labelled_ones():
    sample = batch()
    torch.manual_seed(0)
    method = make("rank-mixup", rank="ranking", copies=1, strength=0.5).double().eval()
    inputs = sample.inputs.double()
    torch.manual_seed(1)
    loss = method.training_step(sample._replace(inputs=inputs))
    torch.manual_seed(1)
    mixed = method.mixer(inputs)
    plain, mixtures = method(inputs), method(mixed.inputs)
    expected = method.total(method.parts(sample, plain))
    for task, labels in sample.targets.items():
        others = labels[mixed.partner]
        counted = (labels >= 0) & (others >= 0)
        costs = mixup_ranking_loss(plain[task], mixtures[task], labels == others, 2.0)
        expected = expected + 0.5 * costs[counted].mean()
    torch.testing.assert_close(loss, expected)


def test_cutmix_takes_pictures_alone():
    with pytest.raises(ValueError, match=r"pictures \[batch, channels, height, width\]"):
        make("cutmix").training_step(batch())
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    method = get("cutmix")(backbone, TASKS[1:], input_shape=[1, 8, 8])
    pictures = Batch(torch.arange(6), torch.randn(6, 1, 8, 8), {"b": torch.tensor([0, 1, 0, 1, -1, 0])})
    given = pictures.inputs.clone()
    loss = method.training_step(pictures)
    loss.backward()
    assert loss > 0
    assert torch.equal(pictures.inputs, given)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mixup", {"alpha": -1.0}, "alpha must be at least 0"),
        ("decoupled-mixup", {"mixer": "puzzle"}, "mixer must be one of mixup, cutmix; got 'puzzle'"),
        ("decoupled-mixup", {"threshold": 0.0}, "threshold must be"),
        ("decoupled-mixup", {"terms": "none"}, "terms must be both, more or less"),
        ("rank-mixup", {"copies": 0}, "copies must be at least 1"),
        ("rank-mixup", {"rank": "map"}, "rank must be one of ndcg, ranking"),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)
