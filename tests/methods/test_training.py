import contextlib
import math
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from labelwise.labels import Task
from labelwise.methods import CrossEntropy, DSelectKMethod, Plan, train, training
from labelwise.methods.method import joint_loss
from labelwise.methods.training import answers, mean_expert_weights, seeded

TASKS = (Task("a", classes=("x", "y")),)
ROWS = np.arange(160)


def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(160, 4, generator=generator)
    noisy = inputs[:, 0] + torch.randn(160, generator=generator) > 0
    return inputs, {"a": noisy.long()}


def run(epochs=12, seed=0, checkpoint=None, method=CrossEntropy, validation=ROWS[120:], **options):
    inputs, targets = problem()
    with seeded(seed):
        backbone = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3))
        model = method(backbone, TASKS, input_shape=[4], learning_rate=0.02)
        plan = Plan(epochs=epochs, **{"patience": 0, **options})
        history = train(model, inputs, targets, ROWS[:120], validation, plan, seed, checkpoint, quiet=True)
    return model, history


def bits(model):
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def test_the_weights_of_the_lowest_validation_loss_are_kept():
    model, history = run(epochs=40)
    inputs, targets = problem()
    rows = torch.from_numpy(ROWS[120:])
    loss = joint_loss(answers(model, inputs, ROWS[120:]), {"a": targets["a"][rows]}, model.tasks).item()
    losses = [epoch["validation_loss"] for epoch in history]
    assert loss == min(losses) < losses[-1]
    assert [epoch["epoch"] for epoch in history] == list(range(1, 41))
    assert not model.training


def test_training_stops_when_patience_is_over():
    full = [epoch["validation_loss"] for epoch in run(epochs=60)[1]]
    _, history = run(epochs=60, patience=4)
    losses = [epoch["validation_loss"] for epoch in history]
    assert losses == full[: len(losses)]
    assert np.argmin(losses) == len(losses) - 1 - 4
    assert len(losses) < 60


def test_without_validation_rows_the_last_weights_are_kept():
    model, history = run(validation=np.zeros(0, np.int64), patience=3)
    assert len(history) == 12
    assert set(history[0]) == {"epoch", "train_loss"}
    assert answers(model, problem()[0], ROWS)["a"].shape == (160, 2)


@pytest.mark.parametrize("method", [CrossEntropy, DSelectKMethod])
@pytest.mark.parametrize("patience", [0, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch, method, patience):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    expected, history = run(method=method, patience=patience)
    path = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):
        pass

    original = method.training_step
    steps = 0

    def fail(*args, **kwargs):
        nonlocal steps
        steps += 1
        if steps == 9:
            raise Stop
        return original(*args, **kwargs)

    stops = 0
    for _ in range(len(history)):
        # Stopped in the middle of each epoch in turn, after the checkpoint of the epoch before.
        steps = 0
        with monkeypatch.context() as patch, contextlib.suppress(Stop):
            patch.setattr(method, "training_step", fail)
            run(method=method, patience=patience, checkpoint=path)
            stops -= 1
        stops += 1
    resumed, longer = run(method=method, patience=patience, checkpoint=path)
    assert stops >= len(history) - 1
    assert longer == history
    assert bits(resumed) == bits(expected)


def test_equal_seeds_give_equal_bits_and_leave_the_global_random_numbers_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = run(seed=1)[0], run(seed=1)[0], run(seed=2)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert bits(first) == bits(second) != bits(other)


def test_a_loss_that_is_no_number_is_an_error_with_a_remedy():
    inputs, targets = problem()
    inputs[3] = math.inf
    model = CrossEntropy(nn.Linear(4, 16), TASKS, learning_rate=0.5)
    with pytest.raises(
        ValueError, match=r"loss of epoch 1 is not a finite number; try a smaller learning_rate than 0\.5"
    ):
        train(model, inputs, targets, ROWS[:120], ROWS[120:], Plan(), quiet=True)


def test_warnings_and_signal_handlers_are_left_as_they_were():
    handler = signal.getsignal(signal.SIGINT)
    filters = list(warnings.filters)
    run(epochs=1)
    assert signal.getsignal(signal.SIGINT) is handler
    assert warnings.filters == filters


def test_training_works_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(run(epochs=2)))
    thread.start()
    thread.join()
    assert len(found[0][1]) == 2


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_signals_keep_their_meaning(monkeypatch, number, raised):
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    original = CrossEntropy.training_step

    def struck(self, batch, index):
        if self.current_epoch == 2:
            signal.raise_signal(number)
        return original(self, batch, index)

    monkeypatch.setattr(CrossEntropy, "training_step", struck)
    with pytest.raises(raised) as caught:
        run()
    assert number == signal.SIGINT or caught.value.code == 143
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_expert_weights_are_means_over_all_rows(monkeypatch):
    monkeypatch.setattr(training, "_ROWS_AT_ONCE", 7)
    inputs, _ = problem()
    model = DSelectKMethod(nn.Linear(4, 16), TASKS, per_example=True)
    with torch.no_grad():
        expected = model.eval().expert_weights(inputs[ROWS[:30]])["a"]
    found = mean_expert_weights(model, inputs, ROWS[:30])["a"]
    torch.testing.assert_close(found, expected.double(), atol=1e-6, rtol=1e-6)
    assert mean_expert_weights(CrossEntropy(nn.Linear(4, 16), TASKS), inputs, ROWS) is None


def test_ctrl_c_is_a_keyboard_interrupt_and_nothing_is_printed(tmp_path, processes):
    script = """
import os, signal
import numpy as np, torch
from torch import nn
from labelwise.labels import Task
from labelwise.methods import CrossEntropy, Plan, train

class Interrupted(CrossEntropy):
    def training_step(self, batch, index):
        if self.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return super().training_step(batch, index)

model = Interrupted(nn.Linear(2, 3), [Task("a", classes=("x", "y"))])
try:
    train(model, torch.randn(50, 2), {"a": torch.arange(50) % 2}, np.arange(40), np.arange(40, 50), Plan(), quiet=True)
except KeyboardInterrupt:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    raise SystemExit(7)
"""
    assert processes.run("import os, sys; os.chdir(sys.argv[1])\n" + script, tmp_path) == (7, "", "")
    assert list(tmp_path.iterdir()) == []
