"""Two modalities: what M3CoL minimises, its limits, and fitting it to a table."""

import numpy as np
import pytest
import torch
from tests.methods.noisy.samples import TASKS
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax, normalize
from typer.testing import CliRunner

from labelwise import methods
from labelwise.cli.main import app
from labelwise.labels import LabelTable, Task
from labelwise.methods import Plan, get, train, training
from labelwise.methods.batch import Batch
from labelwise.methods.method import Method
from labelwise.methods.mixed.m3col import M3Col
from labelwise.methods.training import answers, seeded
from labelwise.models import MLP, TwoBackbones, backbone_for


def make(**options):
    torch.manual_seed(0)
    return get("m3col")(backbone_for([[3], [4]], 6), TASKS, **options)


def sample(n=12):
    generator = torch.Generator().manual_seed(0)
    targets = {"a": torch.arange(n) % 4, "b": torch.arange(n) % 2}
    return Batch(torch.arange(n), torch.randn(n, 7, generator=generator), targets)


def step(method, batch):
    torch.manual_seed(1)
    loss = method.double().training_step(batch._replace(inputs=batch.inputs.double()))
    loss.backward()
    return loss.detach()


def test_without_contrast_it_is_three_cross_entropies():
    method, batch = make(contrast=0.0), sample()
    loss = step(method, batch)
    first, second = method.backbone.embed(batch.inputs.double())
    heads = [(method.heads, torch.cat([first, second], 1)), *zip(method.single_heads, (first, second), strict=True)]
    expected = sum(
        cross_entropy(head(features), batch.targets[task.name])
        for layers, features in heads
        for head, task in zip(layers, TASKS, strict=True)
    )
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"chosen": 0.0}])
def test_nothing_mixed_is_the_symmetric_contrast_of_clip(options):
    batch = sample()
    loss = step(make(contrast=0.5, mixed_share=1.0, **options), batch) - step(make(contrast=0.0), batch)
    first, second = (normalize(each) for each in make().double().backbone.embed(batch.inputs.double()))
    similar = first @ second.T / 0.1
    own = -(log_softmax(similar, 1).diagonal() + log_softmax(similar.T, 1).diagonal()).mean() / 2
    torch.testing.assert_close(loss, (0.5 * 2 * own).detach())


def test_the_contrast_reaches_both_modalities_in_both_phases_without_labels():
    batch = sample()
    batch = batch._replace(targets={name: torch.full_like(labels, -1) for name, labels in batch.targets.items()})
    for share in (0.0, 1.0):
        method = make(mixed_share=share)
        assert step(method, batch) > 0
        for part in (method.backbone.first, method.backbone.second):
            assert all(p.grad.abs().sum() > 0 for p in part.parameters() if p.ndim > 1)
        assert all(p.grad is None or not p.grad.any() for p in method.heads.parameters())


def test_the_contrast_changes_after_its_share_of_training(monkeypatch):
    epochs = []
    monkeypatch.setattr(M3Col, "_mixed_contrast", lambda self, a, b: epochs.append(self.current_epoch) or a.sum(1) * 0)
    method, batch = make(mixed_share=0.33), sample()
    train(method, batch.inputs, batch.targets, np.arange(12), np.arange(0), Plan(epochs=6, patience=0), quiet=True)
    assert sorted(set(epochs)) == [0, 1]


def test_modalities_find_each_other_with_the_contrast():
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(120, 4))
    parts = [hidden @ generator.normal(size=(4, 8)) + 0.1 * generator.normal(size=(120, 8)) for _ in range(2)]
    inputs = torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))
    targets = {"y": torch.from_numpy((hidden[:, 0] > 0).astype(np.int64))}
    found = {}
    plan = Plan(epochs=20, batch_size=40, patience=0)
    for contrast in (0.0, 1.0):
        with seeded(0):
            options = {"contrast": contrast, "learning_rate": 0.01}
            method = get("m3col")(backbone_for([[8], [8]], 16), [Task("y", classes=("0", "1"))], **options)
            train(method, inputs, targets, np.arange(80), np.arange(0), plan, 0, quiet=True)
        with torch.no_grad():
            first, second = (normalize(each[80:]) for each in method.backbone.embed(inputs))
        found[contrast] = ((first @ second.T).argmax(1) == torch.arange(40)).double().mean().item()
        logits = answers(method, inputs, np.arange(80, 120))["y"]
        assert (logits.argmax(1) == targets["y"][80:]).double().mean() > 0.8
    assert found[1.0] > found[0.0] + 0.3


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    batch = sample(24)

    def run(checkpoint=None):
        with seeded(0):
            method = make()
            plan = Plan(epochs=6, batch_size=9, patience=0)
            train(method, batch.inputs, batch.targets, np.arange(18), np.arange(18, 24), plan, 0, checkpoint, True)
        return method.state_dict()

    expected = run()

    class Stop(Exception):
        pass

    def fail(self, *_):
        if self.current_epoch == 4:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Method, "on_train_batch_end", fail)
        with pytest.raises(Stop):
            run(tmp_path / "checkpoint.safetensors")
    resumed = run(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(resumed[key], value) for key, value in expected.items())


def test_one_modality_or_unequal_widths_are_refused():
    unequal = TwoBackbones(MLP(3, [], 4), MLP(4, [], 5), [[3], [4]])
    for backbone in (nn.Linear(7, 3), unequal):
        with pytest.raises(ValueError, match="name the columns of the second with --second"):
            get("m3col")(backbone, TASKS, input_shape=[7])
    with pytest.raises(ValueError, match="chosen must be"):
        make(chosen=2.0)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        make(temperature=0.0)


def vectors(n=60):
    generator = np.random.default_rng(0)
    y = np.arange(n) % 2
    columns = {"sound": generator.normal(size=(n, 3)) + y[:, None], "sight": generator.normal(size=(n, 4)) - y[:, None]}
    return LabelTable.from_columns({**columns, "y": y}, [Task("y", classes=("a", "b"))])


@pytest.mark.parametrize("method", ["m3col", "mixup"])
def test_a_table_of_two_modalities_is_fitted_and_predicted(tmp_path, method):
    table, options = vectors(), {"epochs": 3, "width": 8}
    folder = methods.fit(table, method, tmp_path / "model", options=options, second=["sight"], quiet=True)
    assert methods.fit(table, method, folder, options=options, second=["sight"], quiet=True) == folder
    chances = methods.predict(folder, LabelTable(table.data.drop_columns(["y"])))["y"]
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="other settings"):
        methods.fit(table, method, folder, options=options, second=["sound"], quiet=True)
    with pytest.raises(ValueError, match="a second modality go with neither"):
        methods.fit(table, "lupi", tmp_path / "l", second=["sight"], privileged=["sound"], quiet=True)


def test_the_command_line_names_the_second_modality(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="with --second"):
        methods.fit(vectors(), "m3col", tmp_path / "model", quiet=True)
    assert not (tmp_path / "model").exists()
    asked = {}

    def fit(table, method, out, **more):
        asked.update(more, method=method)
        raise ValueError("enough")

    monkeypatch.setattr(methods, "fit", fit)
    arguments = ["fit", "iris", "--method", "m3col", "--second", "petal length (cm)", "--second", "petal width (cm)"]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert (asked["method"], asked["second"]) == ("m3col", ["petal length (cm)", "petal width (cm)"])


def test_other_kinds_of_labels_are_learned():
    tasks = [Task("s", "soft", ("u", "v")), Task("m", "multi", ("x", "y")), Task("r", "real")]
    method = get("m3col")(backbone_for([[3], [4]], 6), tasks)
    share = torch.rand(12, 1)
    targets = {"s": torch.cat([share, 1 - share], 1), "m": (share < 0.5).float().repeat(1, 2), "r": torch.randn(12)}
    targets["r"][0] = torch.nan
    loss = method.training_step(sample()._replace(targets=targets))
    loss.backward()
    assert loss.isfinite()
    assert all(head.weight.grad.isfinite().all() and head.weight.grad.any() for head in method.heads)
