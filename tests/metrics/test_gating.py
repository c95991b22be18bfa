import itertools
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.metrics import (
    expert_load,
    expert_overlap,
    expert_recovery,
    expert_usage,
    experts_used,
    gate_entropy,
)

shapes = {"tasks": st.integers(1, 5), "batch": st.integers(1, 4), "n": st.integers(1, 6), "seed": st.integers(0, 99)}


def sparse_weights(*shape: int, seed: int) -> torch.Tensor:
    """On the simplex, with about half of the weights exactly 0 and at least one not."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*shape, generator=generator, dtype=torch.float64)
    kept = (torch.rand(*shape, generator=generator) < 0.5) | (logits == logits.amax(-1, keepdim=True))
    return torch.softmax(logits.masked_fill(~kept, -math.inf), -1)


def test_by_hand():
    weights = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    assert experts_used(weights).tolist() == [2, 1, 4]
    assert expert_usage(weights).tolist() == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3])
    assert expert_load(weights).tolist() == pytest.approx([1.75 / 3, 0.25, 0.25 / 3, 0.25 / 3])
    assert gate_entropy(weights).tolist() == pytest.approx([math.log(2), 0, math.log(4)])
    expected = [[1, 1 / 2, 2 / 4], [1 / 2, 1, 1 / 4], [2 / 4, 1 / 4, 1]]
    torch.testing.assert_close(expert_overlap(weights), torch.tensor(expected))
    torch.testing.assert_close(expert_overlap(weights[:, None]), torch.tensor(expected))


@given(**shapes)
def test_usage_and_load_are_counts_and_weights_spread_over_experts(tasks, batch, n, seed):
    weights = sparse_weights(tasks, batch, n, seed=seed)
    torch.testing.assert_close(expert_usage(weights).sum(), experts_used(weights).double().mean())
    torch.testing.assert_close(expert_load(weights).sum(), torch.ones((), dtype=torch.float64))
    assert ((expert_usage(weights) >= expert_load(weights) - 1e-12) & (expert_usage(weights) <= 1)).all()
    entropy = gate_entropy(weights)
    assert (entropy >= 0).all()
    assert (entropy <= experts_used(weights).double().log() + 1e-12).all()


@given(**shapes)
@settings(max_examples=40)
def test_overlap_is_the_jaccard_index_of_sets(tasks, batch, n, seed):
    weights = sparse_weights(tasks, batch, n, seed=seed)
    found = expert_overlap(weights)
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found.diag(), torch.ones(tasks, dtype=torch.float64))
    for a, b in itertools.product(range(tasks), repeat=2):
        indices = []
        for row in range(batch):
            first, second = ({i for i in range(n) if weights[task, row, i] > 1e-5} for task in (a, b))
            indices.append(len(first & second) / len(first | second))
        assert found[a, b].item() == pytest.approx(sum(indices) / batch)


@given(seed=st.integers(0, 99))
def test_renaming_experts_changes_no_overlap(seed):
    weights = sparse_weights(4, 3, 6, seed=seed)
    renamed = weights[..., torch.randperm(6)]
    torch.testing.assert_close(expert_overlap(renamed), expert_overlap(weights))
    torch.testing.assert_close(gate_entropy(renamed), gate_entropy(weights))


def test_weights_at_the_threshold_do_not_count():
    weights = torch.tensor([[1 - 1e-6, 1e-6], [0.0, 1.0]])
    assert experts_used(weights).tolist() == [1, 1]
    assert expert_overlap(weights)[0, 1] == 0
    assert expert_overlap(weights, threshold=0.0)[0, 1] == 0.5


def test_tasks_without_any_expert_are_alike():
    assert expert_overlap(torch.zeros(2, 3)).tolist() == [[1, 1], [1, 1]]


def test_recovery_of_groups():
    experts = torch.eye(4)
    perfect = experts[[0, 1, 0, 1]]
    groups = torch.tensor([0, 1, 0, 1])
    assert expert_recovery(perfect, groups) == {"within": 1.0, "across": 0.0}
    assert expert_recovery(perfect, torch.tensor([0, 0, 1, 1])) == {"within": 0.0, "across": 0.5}
    assert expert_recovery(experts, groups) == {"within": 0.0, "across": 0.0}
    assert expert_recovery(experts, torch.arange(4)) == {"within": None, "across": 0.0}
    assert expert_recovery(experts[:1], groups[:1]) == {"within": None, "across": None}
    assert expert_recovery(torch.ones(3, 2), torch.zeros(3)) == {"within": 1.0, "across": None}


def test_errors_name_the_shapes():
    with pytest.raises(ValueError, match=r"\[tasks, n\] or \[tasks, batch, n\]; got \[3\]"):
        expert_overlap(torch.ones(3))
    with pytest.raises(ValueError, match=r"groups must be one a task, \[2\]; got \[3\]"):
        expert_recovery(torch.ones(2, 4), torch.zeros(3))


def test_scores_are_read_without_torch():
    program = "import sys, labelwise.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
