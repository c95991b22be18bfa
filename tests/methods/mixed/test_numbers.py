"""C-Mixup and SupReMix: the limits in which they are something plainer, and what they learn."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from sklearn.linear_model import Ridge
from tests.methods.mixed.samples import TASKS, backbone, problem, run
from torch.utils.data import DataLoader

from labelwise.functional import supremix_loss
from labelwise.methods import get, training
from labelwise.methods.batch import Batch
from labelwise.methods.training import answers


def said(method):
    inputs, _ = problem()
    return method.probabilities(answers(method, inputs, np.arange(len(inputs))))


@pytest.mark.parametrize("options", [{"alpha": 0.0}, {"bandwidth": 1e-9}])
def test_without_mixing_c_mixup_is_plain_training(options):
    plain, _ = run("cross-entropy", tasks=TASKS[:1])
    mixed, _ = run("c-mixup", tasks=TASKS[:1], **options)
    torch.testing.assert_close(said(mixed), said(plain), rtol=1e-4, atol=1e-3)


def test_the_nearer_labels_are_the_rather_they_are_mixed():
    sizes, apart = problem()[1]["size"], []
    for bandwidth in (0.01, 0.3, 1.0, float("inf")):
        method, _ = run("c-mixup", epochs=1, tasks=TASKS[:1], bandwidth=bandwidth)
        assert (method.partners[:60] >= 0).all()
        assert (method.partners[:60] < 60).all()
        assert (method.partners[60:] == -1).all()
        apart.append((sizes[:60] - sizes[method.partners[:60]]).abs().mean().item())
    assert apart == sorted(apart)
    everyone = (sizes[:60, None] - sizes[None, :60]).abs().mean().item()
    assert apart[-1] == pytest.approx(everyone, rel=0.2)


def test_mixing_what_leaves_a_linear_layer_is_mixing_what_enters_it():
    options = {"tasks": TASKS, "epochs": 2}
    body = backbone()
    state = body.state_dict()

    def make(layer):
        body.load_state_dict({name: value.clone() for name, value in state.items()})
        torch.manual_seed(3)
        return get("c-mixup")(body, TASKS, input_shape=[3], layer=body[0] if layer else None)

    state = {name: value.clone() for name, value in state.items()}
    first = said(run("", make=lambda: make(False), **options)[0])
    second = said(run("", make=lambda: make(True), **options)[0])
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)
    kinked = get("c-mixup")(body, TASKS, input_shape=[3], layer=body[1])
    assert len(list(kinked.parameters())) == len(list(make(False).parameters()))


def test_partners_come_from_all_training_rows_alone():
    inputs, labels = problem()
    method = get("c-mixup")(backbone(), TASKS[:1], input_shape=[3])
    rows = [Batch(torch.arange(90), inputs, {"size": labels["size"].float()})]
    trainer = Trainer(
        max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False
    )
    with pytest.raises(TypeError, match=r"give the Trainer labelwise\.methods\.Batches"):
        trainer.fit(method, DataLoader(rows, batch_size=None))


def contrast(**options):
    torch.manual_seed(0)
    return get("supremix")(backbone(), TASKS, input_shape=[3], noise=0.0, **options)


def test_a_step_of_supremix_is_the_published_loss_of_two_views():
    inputs, labels = problem()
    method = contrast(unit=0.5, window=3.0, mixtures=False, pool=1000)
    targets = method.prepare(labels, torch.arange(90))
    loss = method.training_step(Batch(torch.arange(90), inputs, targets))
    views = method.embed(inputs).repeat(2, 1)
    torch.testing.assert_close(views.norm(dim=1), torch.ones(180))
    expected = 0
    for numbers in targets.values():
        known = ~numbers.isnan().repeat(2)
        steps = (numbers / 0.5).round().repeat(2)[known]
        expected += supremix_loss(views[known], steps, None, 0.3, None, True).mean()
    torch.testing.assert_close(loss, expected)


def test_each_part_of_supremix_adds_to_the_loss():
    inputs, labels = problem()
    losses = []
    for options in ({"mixtures": False, "weighted": False}, {"mixtures": False}, {"window": 0.0}):
        method = contrast(**options)
        losses.append(method.training_step(Batch(torch.arange(90), inputs, method.prepare(labels, torch.arange(90)))))
    assert losses[0] < losses[1] < losses[2]


def test_the_linear_maps_are_the_ridge_regressions_of_the_labelled_training_rows():
    method, _ = run("supremix", epochs=2)
    inputs, labels = problem()
    with torch.no_grad():
        embeddings = method.embed(inputs).double().numpy()
    for name, answered in said(method).items():
        numbers = labels[name].numpy()
        known = np.flatnonzero(~np.isnan(numbers[:60]))
        ridge = Ridge(1e-3 * len(known)).fit(embeddings[known], numbers[known])
        np.testing.assert_allclose(answered, ridge.predict(embeddings), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["c-mixup", "supremix"])
def test_the_unit_of_labels_changes_nothing_but_the_unit_of_answers(name):
    _, labels = problem()
    scaled = {task: 8 * numbers - 16 for task, numbers in labels.items()}
    plain, other = said(run(name)[0]), said(run(name, labels=scaled)[0])
    for task, numbers in plain.items():
        torch.testing.assert_close(8 * numbers - 16, other[task], rtol=1e-2, atol=0.5)


@pytest.mark.parametrize("name", ["c-mixup", "supremix"])
def test_it_learns_and_goes_on_to_the_same_bits_where_it_was_stopped(name, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    expected, history = run(name, epochs=8, learning_rate=0.02)
    _, labels = problem()
    error = (said(expected)["size"] - labels["size"])[60:].square().mean()
    assert error < 0.6 * labels["size"][60:].var()
    path = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):
        pass

    def stop(method):
        if method.current_epoch == 3:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(get(name), "on_train_epoch_start", stop if name == "supremix" else _before(get(name), stop))
        with pytest.raises(Stop):
            run(name, epochs=8, checkpoint=path, learning_rate=0.02)
    resumed, longer = run(name, epochs=8, checkpoint=path, learning_rate=0.02)
    assert longer == history
    for key, value in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def _before(method, first):
    usual = method.on_train_epoch_start

    def both(self):
        first(self)
        usual(self)

    return both


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("c-mixup", {"alpha": -1.0}, "alpha must be at least 0"),
        ("c-mixup", {"bandwidth": 0.0}, "bandwidth must be above 0"),
        ("supremix", {"unit": 0.0}, "unit must be above 0"),
        ("supremix", {"pool": 1}, "pool must be at least 2"),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        get(name)(backbone(), TASKS, input_shape=[3], **options)
