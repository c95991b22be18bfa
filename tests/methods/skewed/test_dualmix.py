"""DualMix: its limits, what it remembers, and a stream made of a table."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import labelwise
from labelwise import methods
from labelwise.labels import Task
from labelwise.methods import Plan, get, train
from labelwise.methods.training import seeded
from labelwise.models import MLP
from labelwise.runs import read_json

TASK = Task("y", classes=("a", "b", "c", "d", "e", "f"))
PLAIN = {"enmix": 0.0, "adpmix": 0.0}


def make(**options):
    torch.manual_seed(0)
    return get("dualmix")(MLP(6, [], 16), [TASK], **options)


def examples(n=60, classes=6):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    return torch.eye(6)[labels] * 2 + 0.3 * torch.randn(n, 6, generator=generator), labels


def test_without_memory_and_mixtures_it_is_gradient_descent():
    inputs, labels = examples()
    learner, plain = make(replay=0, steps=2, learning_rate=0.05, **PLAIN), make()
    for rows in torch.arange(60).split(12):
        learner.learn(inputs[rows], labels[rows])
        for _ in range(2):
            plain.zero_grad()
            cross_entropy(plain(inputs[rows])["y"], labels[rows]).backward()
            with torch.no_grad():
                for parameter in plain.parameters():
                    parameter -= 0.05 * parameter.grad
    for mine, theirs in zip(learner.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_memory_keeps_what_came_unmixed_and_is_no_part_of_the_weights():
    inputs, labels = examples()
    learner = make(memory=20)
    before = inputs.clone()
    for rows in torch.arange(60).split(10):
        learner.learn(inputs[rows], labels[rows])
    assert torch.equal(inputs, before)
    kept, known = learner.memory.sample(20)
    found = [(inputs == one).all(1).nonzero()[0].item() for one in kept]
    assert torch.equal(labels[found], known)
    assert not any("memory" in name for name in learner.state_dict())


def test_only_old_and_new_classes_are_mixed_across():
    inputs, labels = examples()
    learner = make(replay=6)
    first = labels < 2
    learner.learn(inputs[first], labels[first])
    assert len(list(learner._mixtures(inputs[first], labels[first]))) == 1  # nothing is old yet
    learner.begin_task()
    assert (learner._used == 1).all()
    later = labels < 4
    (_, _), (strength, mixed) = learner._mixtures(inputs[later], labels[later])
    assert strength == 1.0
    assert ((labels[later] < 2) != (labels[later] < 2)[mixed.partner]).all()
    assert learner.learn(inputs[later & ~first], labels[later & ~first]) > 0
    # Of new classes more came than was replayed of old ones, each in three steps.
    assert (learner._used[2:4] > learner._used[:2]).all()


def test_answers_are_among_the_classes_that_came():
    inputs, labels = examples()
    learner = make()
    assert learner.answer(inputs).max() > 1
    learner.learn(inputs[labels < 2], labels[labels < 2])
    assert set(learner.answer(inputs).tolist()) <= {0, 1}
    state = make()
    state.load_state_dict(learner.state_dict())
    assert torch.equal(state.answer(inputs), learner.answer(inputs))
    assert learner.learn(inputs[:3], torch.full((3,), -1)) == 0


def stream(name="dualmix", **options):
    """A stream of three parts of the digits 0 to 5; accuracy on all at the end."""
    pictures, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy(pictures).float() / 8 - 1
    with seeded(0):
        learner = get(name)(MLP(64, [64], 64), [TASK], **{"memory": 50, **options})
        for part in range(3):
            learner.begin_task()
            rows = np.flatnonzero(labels[:900] // 2 == part)
            for at in np.array_split(rows, len(rows) // 10):
                learner.learn(inputs[at], torch.from_numpy(labels[at]))
        tested = np.flatnonzero(labels[900:] < 6) + 900
        return (learner.answer(inputs[tested]).numpy() == labels[tested]).mean()


def test_a_memory_is_what_keeps_old_classes_and_mixtures_do_not_harm():
    forgetful, replay, both = stream(replay=0, **PLAIN), stream(**PLAIN), stream()
    assert forgetful < 0.5
    assert replay > forgetful + 0.3
    assert both > replay - 0.03


def test_fit_makes_a_stream_of_classes_and_passes_once(tmp_path):
    table = labelwise.read("wine")
    options = {"classes_at_once": 1, "arriving": 5}
    folder = methods.fit(table, "dualmix", tmp_path / "model", options=options, quiet=True)
    assert len(read_json(folder / "history.json")) == 1
    assert read_json(folder / "metrics.json")["tasks"]["cultivar"]["test"]["accuracy"]["value"] > 0.7
    assert methods.predict(folder, table)["cultivar"].shape == (178, 3)
    learner, (inputs, labels) = make(classes_at_once=2), examples()
    came, began = [], []
    learner._learn = lambda inputs, labels, optimizer: (
        (came.append(labels), learner.seen.index_fill_(0, labels, True))[0] or 0.0
    )
    learner.begin_task = lambda: began.append(len(came))
    train(learner, inputs, {"y": labels}, np.arange(60), np.arange(0), Plan(epochs=7), quiet=True)
    parts = torch.cat(came) // 2
    assert torch.equal(parts, parts.sort().values)
    assert len(parts) == 60
    assert began == [0, 2, 5]  # batches of 15 come as ten and five rows
    assert not torch.equal(torch.cat(came), torch.cat(came).sort().values)  # in random order inside a part


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arriving": 0}, "arriving must be"),
        ({"shift": 2.0}, "shift must be"),
        ({"memory": 0}, "size must be"),
        ({"noise": -1.0}, "noise must"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_several_tasks_are_refused():
    with pytest.raises(ValueError, match="one task; name one of y, z"):
        get("dualmix")(nn.Linear(6, 4), [TASK, Task("z", classes=("0", "1"))], input_shape=[6])
