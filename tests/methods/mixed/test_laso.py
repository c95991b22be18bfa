import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.methods.noisy.samples import backbone
from torch import nn

from labelwise.functional import union
from labelwise.labels import Task
from labelwise.methods import Plan, get, train
from labelwise.methods.batch import Batch
from labelwise.methods.training import seeded
from labelwise.mixing import reversed_partners

TASKS = (Task("a", "multi", ("x", "y", "z")), Task("b", "multi", ("0", "1")))


def sample(size=12, missing=()):
    generator = torch.Generator().manual_seed(0)
    sets = [(torch.rand(size, len(task.classes), generator=generator) < 0.4).double() for task in TASKS]
    sets[0][list(missing)] = torch.nan
    inputs = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    return Batch(torch.arange(size), inputs, dict(zip(("a", "b"), sets, strict=True)))


def make(name="laso", **options):
    torch.manual_seed(0)
    return get(name)(nn.Sequential(backbone(), nn.ReLU()), TASKS, input_shape=[5], **options).double().eval()


def slopes(method, given):
    method.training_step(given).backward()
    return {name: parameter.grad for name, parameter in method.named_parameters()}


def test_the_classifier_learns_from_examples_alone_before_unions():
    for options in ({"strength": 0.0}, {"warm_up": 1.0}):
        found, plain = slopes(make(**options), sample()), slopes(make("cross-entropy"), sample())
        for name, slope in plain.items():
            torch.testing.assert_close(found[name], slope)
        assert all(slope.abs().sum() > 0 for name, slope in found.items() if name.startswith("operations"))


def test_heads_learn_from_unions_and_the_backbone_does_not():
    method, given = make(strength=0.5, warm_up=0.0), sample()
    found, plain = slopes(method, given), slopes(make("cross-entropy"), given)
    for name, slope in plain.items():
        if name.startswith("backbone"):
            torch.testing.assert_close(found[name], slope)
    features, partner, sets = method.represent(given.inputs).detach(), reversed_partners(12), given.targets["a"]
    made = method.operations[0].union(features, features[partner]).detach()
    weight = method.heads[0].weight
    told = F.binary_cross_entropy_with_logits(method.heads[0](made), union(sets, sets[partner]))
    torch.testing.assert_close(
        found["heads.0.weight"], plain["heads.0.weight"] + 0.5 * torch.autograd.grad(told, weight)[0]
    )


def test_rows_without_a_set_do_not_count():
    fewer = sample(12, missing=(0, 5))
    kept = torch.tensor([1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    alone = Batch(
        kept, fewer.inputs[kept], {"a": fewer.targets["a"][kept], "b": torch.full((10, 2), torch.nan).double()}
    )
    nothing = fewer._replace(targets={**fewer.targets, "b": torch.full((12, 2), torch.nan).double()})
    method = make()
    torch.testing.assert_close(method.training_step(nothing), method.training_step(alone))
    one = sample(12, missing=range(11))
    assert method.training_step(one).isfinite()


def test_operations_learn_to_make_sets():
    """A number for each class: a network for unions has to know that a class stays one class."""
    generator = torch.Generator().manual_seed(1)
    sets = (torch.rand(300, 3, generator=generator) < 0.4).float()
    inputs = torch.cat([sets, torch.zeros(300, 2)], 1) + 0.1 * torch.randn(300, 5, generator=generator)
    with seeded(0):
        method = get("laso")(backbone(), TASKS[:1], input_shape=[5], learning_rate=0.01)
        plan = Plan(epochs=20, batch_size=32, patience=0)
        history = train(method, inputs, {"a": sets}, np.arange(200), np.arange(200, 300), plan, quiet=True)
    assert history[-1]["validation_loss"] < 0.3
    with torch.no_grad():
        features = method.represent(inputs[200:])
        for name, expected in (("union", torch.maximum), ("intersection", torch.minimum)):
            made = getattr(method.operations[0], name)(features[:50], features[50:])
            said = method.classify(made)["a"] > 0
            assert (said == expected(sets[200:250], sets[250:]).bool()).float().mean() > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1.0}, "strength must be at least 0"),
        ({"warm_up": 2.0}, "warm_up must be at least 0 and at most 1"),
        ({"layers": 0}, "layers must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_single_classes_are_refused():
    with pytest.raises(ValueError, match="kind 'single'"):
        get("laso")(backbone(), [Task("a", classes=("x", "y"))], input_shape=[5])
