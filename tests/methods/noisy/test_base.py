import math

import pytest
import torch
import torch.nn.functional as F
from tests.methods.noisy.samples import TASKS, batch, make, run

from labelwise.functional import label_margins
from labelwise.methods.method import joint_loss
from labelwise.methods.noisy.base import BALANCES, TaskBatch
from labelwise.mixing import Mixed


def test_cross_entropy_is_the_joint_loss():
    method, sample = make("cross-entropy").double(), batch()
    sample = sample._replace(inputs=sample.inputs.double())
    torch.manual_seed(0)
    loss = method.training_step(sample)
    torch.manual_seed(0)
    torch.testing.assert_close(loss, joint_loss(method(sample.inputs), sample.targets, TASKS))


def test_weights_make_every_class_count_alike():
    method = run("cross-entropy", epochs=1, balance="weights")[0]
    counts = torch.bincount(method.given["a"][method.given["a"] >= 0])
    assert counts[3] == 1
    labels = torch.repeat_interleave(torch.arange(4), counts)
    losses = torch.rand(len(labels))
    part = TaskBatch("a", torch.arange(len(labels)), torch.zeros(len(labels), 4), labels)
    by_class = torch.stack([losses[labels == k].mean() for k in range(4)])
    torch.testing.assert_close(method.mean(part, losses), by_class.mean())


def test_logits_are_adjusted_by_the_frequency_in_training_alone():
    method, _, _, targets, _ = run("cross-entropy", epochs=2, balance="logit-adjustment")
    sample = batch()
    shares = torch.bincount(targets["a"][:140].clamp(min=-1) + 1)[1:].double()
    shares /= shares.sum()
    logits = method(sample.inputs)
    part = method.parts(sample, logits)[0]
    torch.testing.assert_close(part.logits - logits["a"], shares.log().float().expand_as(logits["a"]))
    loss = F.cross_entropy(logits["a"] + shares.log().float(), sample.targets["a"], ignore_index=-1)
    torch.testing.assert_close(method.task_loss(part), loss)


def test_a_class_of_one_row_is_found_more_easily_with_logits_adjusted():
    chances = []
    for balance in ("none", "logit-adjustment"):
        method, _, inputs, _, _ = run("cross-entropy", epochs=15, balance=balance)
        chances.append(method(inputs)["a"].softmax(-1)[0, 3].item())
    assert chances[1] > 2 * chances[0]


def test_losses_and_margins_are_noted_as_they_were_in_training():
    method, history, _, targets, _ = run("cross-entropy", epochs=3)
    values = method.examples.values()
    assert set(values) == {"a", "b"}
    for task, kinds in values.items():
        labelled = targets[task][:140] >= 0
        for noted in kinds.values():
            assert noted.shape == (3, 140)
            assert (noted.isfinite() == labelled).all()
    total = sum(kinds["loss"].float().nanmean(1) for kinds in values.values())
    assert total.tolist() == pytest.approx([epoch["train_loss"] for epoch in history], rel=0.05)


def test_a_step_alone_notes_nothing_and_the_margin_is_that_of_the_label():
    method, sample = make("cross-entropy"), batch()
    method.training_step(sample)
    method.examples.end_epoch()
    assert method.examples.values() == {}
    method.examples.start(24)
    part = method.parts(sample, method(sample.inputs))[0]
    method.note(part)
    method.on_train_epoch_end()
    margins = method.examples.values()["a"]["margin"][0].float()
    expected = label_margins(part.logits, part.labels).half().float()
    torch.testing.assert_close(margins, expected, equal_nan=True)


def test_of_a_mixture_the_label_with_the_larger_share_is_noted_at_its_own_row():
    method = make("mixup")
    method.examples.start(30)
    torch.manual_seed(0)
    index, logits, labels = torch.tensor([20, 7, 11, 3]), torch.randn(4, 4), torch.tensor([0, 1, 2, 0])
    partner, share = torch.tensor([1, 0, 3, 2]), torch.tensor([0.3, 0.4, 0.5, 0.9])
    method.note_mixed(TaskBatch("a", index, logits, labels), Mixed(logits, partner, 1 - share, share))
    method.on_train_epoch_end()
    noted = method.examples.values()["a"]
    losses, margins = (torch.full((30,), torch.nan) for _ in range(2))
    for at, own in enumerate((1, 0, 2, 3)):
        losses[index[own]] = F.cross_entropy(logits[at : at + 1], labels[own : own + 1])
        margins[index[own]] = label_margins(logits[at : at + 1], labels[own : own + 1])
    torch.testing.assert_close(noted["loss"][0], losses.half(), equal_nan=True)
    torch.testing.assert_close(noted["margin"][0], margins.half(), equal_nan=True)


def test_without_a_label_nothing_is_lost():
    method, sample = make("cross-entropy"), batch()
    none = {name: torch.full_like(labels, -1) for name, labels in sample.targets.items()}
    loss = method.training_step(sample._replace(targets=none))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or torch.equal(p.grad, torch.zeros_like(p)) for p in method.parameters())


def test_passes_over_the_training_rows_leave_the_method_in_training():
    method = run("cross-entropy", epochs=1)[0]
    method.train()
    found = method.over_training_rows(lambda one: method(one.inputs))
    assert method.training
    method.eval()
    with torch.no_grad():
        everything = method(run("cross-entropy", epochs=1)[2][:140])
    torch.testing.assert_close(found["a"], everything["a"], atol=1e-5, rtol=1e-5)


def test_options_are_checked():
    assert math.isfinite(make("cross-entropy", balance=BALANCES[1]).training_step(batch()).item())
    with pytest.raises(ValueError, match="balance must be one of none, weights, logit-adjustment; got 'log'"):
        make("cross-entropy", balance="log")
