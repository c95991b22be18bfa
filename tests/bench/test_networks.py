import pytest
import torch

from labelwise.bench.networks import CHOICES, GATES, Networks, choose, chosen_words, size

NETWORKS = Networks(("a", "b"), in_features=6, width=5, layers=2, head_layers=2, n_experts=4, k=2)


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_every_gate_mixes_for_every_task(kind, per_example):
    said = NETWORKS.mixture(kind, 0.3, 10, per_example).eval()(torch.randn(7, 6))
    assert {task: list(answer.shape) for task, answer in said.outputs.items()} == {"a": [7, 1], "b": [7, 1]}
    assert all(gate.weights.shape == ((7, 4) if per_example else (4,)) for gate in said.gates.values())
    used = {gate.weights.count_nonzero(-1).max().item() for gate in said.gates.values()}
    assert used <= {"top-k": {2}, "noisy top-k": {2}, "gumbel": {1}}.get(kind, {4})  # dselect-k has not settled yet


def test_parts_of_networks_have_the_same_size():
    expert, head = 6 * 5 + 5 + 5 * 5 + 5, 5 * 5 + 5 + 5 + 1
    assert size(NETWORKS.bottom()) == size(NETWORKS.experts(1)) == expert
    assert size(NETWORKS.shared_bottom()) == expert + 2 * head
    assert size(NETWORKS.mixture("softmax")) == 4 * expert + 2 * head + 2 * 4
    assert size(NETWORKS.ple()) == 6 * expert + 2 * head + 2 * 5
    assert size(NETWORKS.ple(per_example=True)) == 6 * expert + 2 * head + 2 * 5 * (6 + 1)


def test_the_lowest_mean_error_decides():
    tried = []

    def fit(seed, value):
        tried.append(seed)
        return {"validation": {0.1: 3.0, 0.3: 1.0, 1.0: 2.0}[value] + seed % 2}

    found = choose("gumbel", fit, 2, "mse")
    assert found == {
        "what": "last temperature",
        "value": 0.3,
        "validation_mse": {"0.1": 3.5, "0.3": 1.5, "1.0": 2.5},
    }
    assert len(tried) == 2 * len(CHOICES["gumbel"][1])
    assert min(tried) >= 1_000_000
    assert chosen_words({"all": {"gumbel": found}}) == "all: last temperature of gumbel 0.3"
