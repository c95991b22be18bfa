"""Methods that mix pictures by attention: their limits, what they minimise, and going on after a stop."""

import numpy as np
import pytest
import torch
from tests.methods.noisy.samples import TASKS, backbone
from torch import nn
from torch.nn.functional import cross_entropy

import labelwise
from labelwise import methods
from labelwise.labels import Task
from labelwise.methods import Plan, get, train, training
from labelwise.methods.batch import Batch
from labelwise.methods.method import Method
from labelwise.methods.training import seeded
from labelwise.models import Attended, SmallViT

NAMES = ["smmix", "transmix"]


def make(name, **options):
    torch.manual_seed(0)
    return get(name)(SmallViT(1, 12, (8, 8), depth=1), TASKS, **options)


def pictures(n=10):
    generator = torch.Generator().manual_seed(0)
    labels = {"a": torch.arange(n) % 4, "b": torch.arange(n) % 2}
    inputs = torch.randn(n, 1, 8, 8, generator=generator)
    inputs[torch.arange(n), 0, labels["a"] * 2] += 2
    return Batch(torch.arange(n), inputs, labels)


def step(name, sample, **options):
    """Loss and gradient of one step in double precision, of the same weights and random numbers."""
    method = make(name, **options).double().eval()
    torch.manual_seed(1)
    loss = method.training_step(sample._replace(inputs=sample.inputs.double()))
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in method.backbone.parameters()])


@pytest.mark.parametrize(
    ("name", "options", "plain", "plain_options"),
    [
        ("smmix", {"switch": 0.0, "alpha": 0.0}, "cross-entropy", {}),
        ("transmix", {"alpha": 0.0}, "cross-entropy", {}),
        ("transmix", {"ratio": 0.0}, "cutmix", {}),
    ],
)
def test_limits(name, options, plain, plain_options):
    one, other = step(name, pictures(), **options), step(plain, pictures(), **plain_options)
    torch.testing.assert_close(one, other)


def test_smmix_sums_three_losses():
    sample = pictures()
    sample = sample._replace(
        inputs=sample.inputs.double(), targets={"a": sample.targets["a"].clone(), "b": sample.targets["b"]}
    )
    sample.targets["a"][3] = -1
    method = make("smmix", switch=1.0, smallest=0.5, largest=0.5, regions=0.7, consistency=0.3).double().train()
    modes = [part.training for part in method.modules()]
    loss = method.training_step(sample)
    assert [part.training for part in method.modules()] == modes
    with torch.no_grad():
        unmixed = method.backbone.attend(sample.inputs)
        mixed = method.paste(sample.inputs, unmixed.attention[:, 1:, 1:].mean(1))
        seen, own = method.backbone.attend(mixed.inputs), method.paste.patches(mixed)
    assert torch.equal(mixed.partner, torch.arange(10).flip(0))
    share = 0.75
    expected = 0.0
    for head, region_head, task in zip(method.heads, method.region_heads, TASKS, strict=True):
        labels, others = sample.targets[task.name], sample.targets[task.name].flip(0)
        weights = torch.cat([torch.full((10,), share), torch.full((10,), 1 - share)]) * (
            torch.cat([labels, others]) >= 0
        )
        losses = cross_entropy(
            head(seen.features).repeat(2, 1), torch.cat([labels, others]).clamp(min=0), reduction="none"
        )
        expected = expected + (weights * losses).sum() / weights.sum()
        for mask, target in ((own, labels), (~own, others)):
            features = torch.stack([tokens[kept].mean(0) for tokens, kept in zip(seen.tokens, mask, strict=True)])
            expected = expected + 0.7 / 2 * cross_entropy(region_head(features), target, ignore_index=-1)
        answers = head(unmixed.features)
        target = (share * answers + (1 - share) * answers.flip(0)).softmax(-1)
        found = head(seen.features).log_softmax(-1)
        expected = expected + 0.3 * (target * (target.log() - found)).sum(-1).mean()
    torch.testing.assert_close(loss, expected)


def test_any_backbone_that_attends_will_do():
    class Mine(nn.Module):
        out_features, grid = 5, 2

        def forward(self, inputs):
            return self.attend(inputs).features

        def attend(self, inputs):
            tokens = inputs.flatten(2).transpose(1, 2)[:, :4].expand(-1, -1, 5)
            return Attended(tokens.mean(1), tokens, torch.full((len(inputs), 5, 5), 0.2))

    for name in NAMES:
        method = get(name)(Mine(), TASKS)
        assert method.training_step(pictures()).isfinite()
        with pytest.raises(
            ValueError, match=r"attention, which Sequential does not give; take .*SmallViT.* or use method cutmix"
        ):
            get(name)(backbone(), TASKS, input_shape=[5])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("smmix", {"switch": 1.5}, "switch must be"),
        ("smmix", {"consistency": -1.0}, "consistency must be at least 0"),
        ("smmix", {"largest": 1.0}, "0 < smallest"),
        ("transmix", {"ratio": 2.0}, "ratio must be"),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_other_kinds_of_labels_are_learned(name):
    soft = Task("s", "soft", ("u", "v", "w"))
    tasks = [soft] if name == "smmix" else [soft, Task("m", "multi", ("x", "y"))]
    method = get(name)(SmallViT(1, 12, (8, 8), depth=1), tasks)
    shares = torch.rand(10, 3)
    targets = {"s": shares / shares.sum(1, keepdim=True), "m": (torch.rand(10, 2) < 0.5).float()}
    targets["s"][2] = torch.nan
    loss = method.training_step(pictures()._replace(targets=targets))
    loss.backward()
    assert loss.isfinite()
    assert all(head.weight.grad.isfinite().all() and head.weight.grad.any() for head in method.heads)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch, name):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    sample, rows = pictures(24), np.arange(18)

    def run(checkpoint=None):
        with seeded(0):
            method = make(name, balance="weights")
            plan = Plan(epochs=4, batch_size=9, patience=0)
            history = train(method, sample.inputs, sample.targets, rows, np.arange(18, 24), plan, 0, checkpoint, True)
        return method, history

    expected, history = run()
    assert all(np.isfinite(epoch["train_loss"]) for epoch in history)

    class Stop(Exception):
        pass

    def fail(self, *_):
        if self.current_epoch == 2:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Method, "on_train_batch_end", fail)
        with pytest.raises(Stop):
            run(tmp_path / "checkpoint.safetensors")
    resumed, longer = run(tmp_path / "checkpoint.safetensors")
    assert longer == history
    assert all(torch.equal(resumed.state_dict()[key], value) for key, value in expected.state_dict().items())


def test_fit_and_the_estimator_make_a_vision_transformer(tmp_path):
    table = labelwise.read("digits").select(np.arange(200))
    options = {"epochs": 2, "width": 16}
    folder = methods.fit(table, "smmix", tmp_path / "model", options=options, quiet=True)
    found = methods.predict(folder, table)
    assert found["digit"].shape == (200, 10)
    with pytest.raises(ValueError, match="sees pictures"):
        methods.fit(labelwise.read("wine"), "smmix", tmp_path / "other", options=options, quiet=True)
    X, y = np.random.default_rng(0).normal(size=(40, 1, 8, 8)), np.arange(40) % 2
    model = labelwise.Classifier("transmix", max_epochs=1, options={"width": 8}).fit(X, y)
    assert isinstance(model.method_.backbone, SmallViT)
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
