"""What must hold for every method for wrong labels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.methods.noisy.samples import batch, make, run

from labelwise import methods
from labelwise.methods import training
from labelwise.methods.method import Method
from labelwise.methods.noisy.base import NoisyMethod

OTHER_INPUTS = {"cutmix", "m3col", "smmix", "transmix"}  # pictures, or two modalities
NAMES = [
    name
    for name in methods.names()
    if issubclass(found := methods.get(name), NoisyMethod) and "single" in found.kinds and name not in OTHER_INPUTS
]
MIXING = {"mixup", "mixup-cutmix", "decoupled-mixup"}
QUICK = {"confident-learning": {"folds": 3}, "sdn": {"most_rows": 60}}


def options(name):
    return QUICK.get(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_a_step_ignores_what_is_unlabelled_and_reaches_the_weights(name):
    method, sample = make(name).eval(), batch()
    unlabelled = (sample.targets["a"] < 0) & (sample.targets["b"] < 0)
    assert not unlabelled.any()
    nowhere = {task: labels.masked_fill(torch.arange(24) % 4 == 1, -1) for task, labels in sample.targets.items()}
    torch.manual_seed(0)
    loss = method.training_step(sample._replace(targets=nowhere))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.grad is not None)
    assert method.heads[0].weight.grad.abs().sum() > 0
    if name in MIXING:
        return  # where unlabelled examples are mixed into labelled ones
    inputs = sample.inputs.clone()
    inputs[torch.arange(24) % 4 == 1] = 50.0
    torch.manual_seed(0)
    torch.testing.assert_close(method.training_step(sample._replace(inputs=inputs, targets=nowhere)), loss)


@pytest.mark.parametrize("balance", ["none", "weights", "logit-adjustment"])
@pytest.mark.parametrize("name", NAMES)
def test_gaps_noise_and_a_class_of_one_row_are_learned_from(name, balance):
    method, history, inputs, _, truth = run(name, epochs=12, balance=balance, **options(name))
    assert all(np.isfinite(epoch["train_loss"] + epoch["validation_loss"]) for epoch in history)
    with torch.no_grad():
        right = (method(inputs)["a"].argmax(-1).numpy() == truth)[truth < 3].mean()
    assert right > 0.8
    for task, kinds in method.examples.values().items():
        for values in kinds.values():
            assert values.shape[1] == 140
            assert (values[:, method.given[task] < 0]).isnan().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch, name):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    expected, history, *_ = run(name, **options(name))
    path = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):
        pass

    def stopped_at(epoch):
        def fail(self, *_):
            if self.current_epoch == epoch:
                raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(Method, "on_train_batch_end", fail)
            with pytest.raises(Stop):
                run(name, checkpoint=path, **options(name))

    for epoch in (1, 3, 4):
        stopped_at(epoch)
    resumed, longer, *_ = run(name, checkpoint=path, **options(name))
    assert longer == history
    for key, value in expected.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert resumed.facts() == expected.facts()
    for task, kinds in expected.examples.values().items():
        for kind, values in kinds.items():
            torch.testing.assert_close(resumed.examples.values()[task][kind], values, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_validation_rows_are_not_needed(name):
    method, history, *_ = run(name, epochs=3, validation=False, **options(name))
    assert len(history) == 3
    assert not method.training


@pytest.mark.parametrize("name", ["mixup", "mixup-cutmix", "decoupled-mixup"])
def test_mixing_notes_each_label_where_it_has_the_larger_share_and_wrong_ones_have_low_margins(name):
    method, _, _, targets, truth = run(name, epochs=20, balance="none")
    margins = method.examples.values()["a"]["margin"].float()[:, :140]
    given = targets["a"][:140].numpy()
    known = given >= 0
    assert not margins[:, known].isnan().any()
    wrong = given[known] != truth[:140][known]
    assert roc_auc_score(wrong, -margins.mean(0).numpy()[known]) > 0.9
