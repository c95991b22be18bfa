import pytest
import torch
from torch import nn

from labelwise.bench.gated_tasks import Budget, Parts, fit_all, learn, networks, rows, size
from labelwise.bench.harness import compare
from labelwise.experts import MLPExperts

TASKS = ["a", "b"]
PARTS = Parts(
    lambda n: MLPExperts(n, 5, (), 6),
    lambda width: nn.Sequential(nn.Linear(5, width), nn.ReLU()),
    lambda width: nn.Linear(width, 1),
    width=6,
    n_experts=4,
    k=2,
)


@pytest.mark.parametrize("in_features", [None, 5])
@pytest.mark.parametrize("method", networks(PARTS, TASKS, 10))
def test_every_network_answers_each_task(method, in_features):
    said = networks(PARTS, TASKS, 10, in_features)[method](0.1)(torch.ones(3, 5))
    assert all(len(gate.weights.shape) == (1 if in_features is None else 2) for gate in said.gates.values())
    assert list(said.outputs) == TASKS
    assert all(output.shape == (3, 1) for output in said.outputs.values())


def test_networks_are_as_large_as_said():
    sizes = {method: size(make(None)) for method, make in networks(PARTS, TASKS, 10).items()}
    expert, heads = 5 * 6 + 6, 2 * 7
    assert sizes["shared bottom"] == expert + heads
    assert sizes["single task"] == 2 * expert + heads
    assert sizes["softmax"] == sizes["top-k"] == 4 * expert + heads + 2 * 4
    assert sizes["ple"] == 6 * expert + heads + 2 * 5
    assert sizes["dselect-k"] <= sizes["shared bottom, wide"] < sizes["dselect-k"] + 8 + heads


def test_schedules_stretch_over_the_training():
    made = networks(PARTS, TASKS, 100)
    assert made["dselect-k"](0.25).gates["a"].entropy(30) == 0.25
    assert made["dselect-k"](0.25).gates["a"].entropy(15) == 0.125
    assert made["dselect-k"](0.25).gates["a"].gamma(90) == 0
    assert made["gumbel"](0.1).gates["b"].temperature(100) == 0.1
    assert made["gumbel"](0.1).gates["b"].temperature(50) == pytest.approx(0.55)


def test_every_network_sees_the_same_rows_in_the_same_order():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = networks(PARTS, TASKS, 10)["softmax"](None)

        def forward(self, inputs):
            seen.append(inputs[:, 0].tolist())
            return self.network(inputs)

    inputs = torch.arange(10.0)[:, None].expand(10, 5)
    for _ in range(2):
        spy = Spy()
        learn(
            spy,
            inputs,
            torch.zeros(10, 2),
            lambda outputs, targets: torch.cat(outputs, 1).square().mean(),
            Budget(rows=10, judged=1, epochs=2, batch_size=4, learning_rate=0.1, tuned_on=1),
            torch.Generator().manual_seed(0),
        )
        assert not spy.training
    assert len(seen) == 2 * 6
    assert seen[:6] == seen[6:]
    assert sorted(row for step in seen[:3] for row in step) == list(range(10))
    assert seen[:3] != seen[3:6]


def test_choices_are_made_in_each_setting_and_kept(tmp_path):
    asked = []

    def fit(best):
        def reach(method, seed, value):
            asked.append((method, seed, value))
            return {"validation": abs(value - best) if value else 0.0}

        return reach

    given = (
        {"one": fit(0.02), "two": fit(0.3)},
        ["dselect-k", "gumbel", "top-k"],
        {"one": [0, 1], "two": [0]},
        2,
        "error",
        {"rows": 9},
    )
    found = fit_all("toy", *given, tmp_path, True)
    assert {setting: fits.chosen["dselect-k"]["value"] for setting, fits in found.items()} == {"one": 0.01, "two": 0.05}
    assert found["one"].chosen["dselect-k"]["validation_error"].keys() == {"0.003", "0.01", "0.05"}
    assert {setting: fits.chosen["gumbel"]["value"] for setting, fits in found.items()} == {"one": 0.1, "two": 0.3}
    assert {(seed, value) for method, seed, value in asked if method == "top-k"} == {(0, None), (1, None)}
    assert {setting: len(fits.runs["top-k"]) for setting, fits in found.items()} == {"one": 2, "two": 1}
    asked.clear()
    assert fit_all("toy", *given, tmp_path, True) == found
    assert not asked
    with pytest.raises(ValueError, match=r"other settings \(rows: 9 there, 8 asked\)"):
        fit_all("toy", *given[:-1], {"rows": 8}, tmp_path, True)


def test_rows_say_what_is_compared():
    entries = compare({"t": {"dselect-k": {"mse": [1.0, 2.0]}, "softmax": {"mse": [2.0, 2.5]}}}, "dselect-k")
    made = rows(entries, "mse", {"t": {"dselect-k": 7, "softmax": 8}}, {"t": {"dselect-k": {"used": [1, 2]}}}, ["used"])
    assert made[0][:4] == ["t", "dselect-k", 7, 1.5]
    assert made[0][5:] == [None, None, 1.5]
    assert made[1][5] == pytest.approx(-0.75)
    assert made[1][7] is None
