import pytest
import torch
import torch.nn.functional as F
from tests.methods.noisy.samples import TASKS, batch, make, run
from torch import nn

from labelwise.functional import metrix_multi_similarity
from labelwise.labels import Task
from labelwise.methods import get
from labelwise.methods.batch import Batch
from labelwise.methods.mixed import metrix

LOSSES = tuple(metrix.LOSSES)


def linear(rows=8, **options):
    """A method that is linear up to the scaling to unit length, and a batch of which half is of each class."""
    torch.manual_seed(0)
    method = get("metrix")(nn.Linear(5, 6), TASKS[1:], input_shape=[5], dimension=4, **options).double()
    inputs = torch.randn(rows, 5, dtype=torch.float64)
    return method, Batch(torch.arange(rows), inputs, {"b": torch.arange(rows) % 2})


@pytest.fixture
def draws(monkeypatch):
    """Every share is 0.3, and the positive is another example (or, if set to 0, the anchor itself)."""
    chance = {"itself": 1.0}
    monkeypatch.setattr(metrix, "beta_weights", lambda alpha, n, mode: torch.full((n,), 0.3, dtype=torch.float64))
    monkeypatch.setattr(torch, "rand", lambda shape: torch.tensor(chance["itself"]))
    return chance


def test_without_strength_it_is_the_plain_loss():
    method, sample = linear(strength=0.0)
    e = method.embed(sample.inputs)["b"]
    labels = sample.targets["b"]
    same = (labels[:, None] == labels).double()
    others = ~torch.eye(8, dtype=torch.bool)
    expected = metrix_multi_similarity(e @ e.T, same, others).mean()
    torch.testing.assert_close(method.training_step(sample), expected)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    with torch.no_grad():  # only the angles between embeddings count
        layer = method.layers[0]
        layer.weight.copy_(turn @ layer.weight)
        layer.bias.copy_(turn @ layer.bias)
    torch.testing.assert_close(method.training_step(sample), expected)


@pytest.mark.parametrize("itself", [0.0, 1.0])
@pytest.mark.parametrize("site", ["embedding", "hidden"])
def test_mixtures_as_they_are_written(site, itself, draws):
    """Two examples a class, so that the positive of an anchor is known."""
    draws["itself"] = itself
    method, sample = linear(4, site=site, strength=0.5)
    plain = linear(4, strength=0.0)[0].training_step(sample)
    e = method.embed(sample.inputs)["b"]
    z = method._project(sample.inputs)["b"] if site == "hidden" else e
    losses = []
    for a in range(4):
        negatives = [n for n in range(4) if n % 2 != a % 2]
        p = a if itself == 0 else (a + 2) % 4
        mixed = F.normalize(torch.stack([0.3 * z[p] + 0.7 * z[n] for n in negatives]), dim=1)
        share, all_ = torch.full((1, 2), 0.3, dtype=torch.float64), torch.ones(1, 2, dtype=torch.bool)
        losses.append(metrix_multi_similarity((mixed @ e[a])[None], share, all_))
    torch.testing.assert_close(method.training_step(sample), plain + 0.5 * torch.cat(losses).mean())


def test_a_linear_backbone_mixes_inputs_as_it_mixes_features(draws):
    _, sample = linear(3)  # two examples of one class and one of the other: one mixture for each anchor, or none
    hidden, at_input = (linear(3, site=site)[0].training_step(sample) for site in ("hidden", "input"))
    torch.testing.assert_close(at_input, hidden)
    draws["itself"] = 0.0
    assert linear(3, site="input")[0].training_step(sample) != hidden


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_a_label_do_not_count(loss, draws):
    # Of two positives of a proxy one is drawn, and which one depends on how many rows there are.
    method, sample = linear(4, loss=loss, strength=0.0 if loss == "proxy-anchor" else 0.4)
    inputs, labels = torch.cat([sample.inputs, torch.randn(3, 5).double()]), torch.tensor([0, 1, 0, 1, -1, -1, -1])
    more = Batch(torch.arange(7), inputs, {"b": labels})
    torch.testing.assert_close(method.training_step(more), method.training_step(sample))


@pytest.mark.parametrize("site", metrix.SITES)
@pytest.mark.parametrize("loss", LOSSES)
def test_anchors_without_positives_negatives_or_labels_have_finite_gradients(loss, site):
    for labels in ([0, 1, 2, 3], [0, 0, 0, 0], [-1, -1, -1, -1], [0, -1, -1, 1]):
        for seed in range(3):
            method = get("metrix")(nn.Linear(5, 6), TASKS[:1], input_shape=[5], loss=loss, site=site)
            torch.manual_seed(seed)
            value = method.training_step(Batch(torch.arange(4), torch.randn(4, 5), {"a": torch.tensor(labels)}))
            value.backward()
            slopes = [p.grad for p in method.parameters() if p.grad is not None]
            assert value.isfinite()
            assert all(slope.isfinite().all() for slope in slopes)
            if max(labels) < 0:
                assert value == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns_embeddings_and_predicts_the_nearest_class(loss):
    method, history, inputs, targets, truth = run("metrix", loss=loss)
    with torch.no_grad():
        logits, embeddings = method(inputs[140:]), method.embed(inputs)
    predicted = logits["a"].argmax(1)
    assert (predicted.numpy() == truth[140:]).mean() > 0.8
    assert history[-1]["validation_loss"] > 0
    for number, task in enumerate(TASKS):
        found = embeddings[task.name]
        torch.testing.assert_close(found.norm(dim=1), torch.ones(180))
        kept = [F.normalize(found[:140][targets[task.name][:140] == each].sum(0), dim=0) for each in range(2)]
        torch.testing.assert_close(method.get_buffer(f"means_{number}")[:2], torch.stack(kept), atol=1e-4, rtol=1e-4)


def test_a_class_without_rows_is_never_predicted():
    method = get("metrix")(nn.Linear(5, 6), [Task("a", classes=("x", "y", "z"))], input_shape=[5], dimension=3)
    method.means_0.copy_(torch.tensor([[-1.0, 0, 0], [0, -1.0, 0], [0, 0, 0]]))
    logits = method(torch.randn(50, 5))["a"]
    assert (logits[:, 2:] <= logits[:, :2]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "triplet"}, "loss must be one of multi-similarity, contrastive, proxy-anchor; got 'triplet'"),
        ({"site": "label"}, "site must be one of embedding, hidden, input; got 'label'"),
        ({"dimension": 0}, "dimension must be at least 1"),
        ({"per_class": 0}, "per_class must be at least 1"),
        ({"strength": -1.0}, "strength must be at least 0"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make("metrix", **options)


def test_several_tasks_add_up():
    torch.manual_seed(0)
    method = make("metrix", strength=0.0).eval()
    whole = method.training_step(batch())
    nothing = {name: torch.full_like(labels, -1) for name, labels in batch().targets.items()}
    parts = [batch()._replace(targets={**nothing, name: batch().targets[name]}) for name in ("a", "b")]
    torch.testing.assert_close(sum(map(method.training_step, parts)), whole)
