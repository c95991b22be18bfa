import pytest
import torch
import torch.nn.functional as F

from labelwise.metrics import (
    alignment,
    map_at_r,
    neighbour_overlap,
    recall_at,
    uniformity,
    utilization,
)


def rows(n, seed=0):
    values = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(values, dim=1)


def test_utilization_falls_as_training_grows_and_is_nothing_for_what_is_there():
    training, queries = rows(30), rows(9, 1)
    assert utilization(training[:5], training) == 0
    shares = [utilization(queries, training[:n]) for n in (1, 4, 10, 30)]
    assert shares == sorted(shares, reverse=True)
    nearest = (queries[:, None] - training).square().sum(2).amin(1)
    assert utilization(queries, training) == pytest.approx(nearest.mean().item())


def test_alignment_and_uniformity_over_all_pairs():
    values, labels = rows(20), torch.arange(20) % 3
    squares = (values[:, None] - values).square().sum(2)
    other = ~torch.eye(20, dtype=torch.bool)
    same = (labels[:, None] == labels) & other
    assert alignment(values, labels) == pytest.approx(squares[same].mean().item())
    assert uniformity(values) == pytest.approx(torch.exp(-2 * squares[other]).mean().log().item())
    assert alignment(values, torch.arange(20)) is None
    assert uniformity(values[:1].expand(4, 4)) == pytest.approx(0)


def test_recall_leaves_the_example_itself_out():
    values = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0]])
    labels = torch.tensor([0, 0, 1, 2, 0])
    assert recall_at(values, labels) == pytest.approx(2 / 5)
    assert recall_at(values, labels, 4) == pytest.approx(3 / 5)


def test_neighbours_in_a_gallery():
    queries, labels = rows(5), torch.tensor([0, 1, 2, 1, 0])
    assert recall_at(queries, labels, gallery=(3 * queries, labels)) == 1
    assert recall_at(queries, labels, gallery=(queries, labels + 1)) == 0
    assert recall_at(queries, labels, 5, gallery=(queries, (labels + 1) % 3)) == 1


def test_precision_among_as_many_neighbours_as_there_are():
    values = torch.tensor([[1.0, 0], [0.9, 0.2], [0.9, 0.25], [0.7, 0.7], [0, 1]])
    labels = torch.tensor([0, 1, 0, 0, 2])
    # Neighbours of 0: 1, 2; of 2: 1, 0; of 3: 2, 1. The two others of their class count; 1 and 4 have none.
    expected = (1 / 2 / 2 + 1 / 2 / 2 + 1 / 2) / 3
    assert map_at_r(values, labels) == pytest.approx(expected)
    turned = map_at_r(values, labels, gallery=(values, labels))
    assert turned == pytest.approx(((1 + 2 / 3) / 3 + 1 + (1 + 2 / 3) / 3 + (1 + 1) / 3 + 1) / 5)
    assert map_at_r(values, torch.arange(5)) is None
    assert map_at_r(rows(30), torch.arange(30) % 3) < map_at_r(torch.eye(3).repeat(10, 1), torch.arange(30) % 3) == 1


def test_overlap_of_label_sets():
    gallery, sets = torch.tensor([[0.0], [10.0]]), torch.tensor([[True, True, False], [False, False, False]])
    queries, own = torch.tensor([[1.0], [9.0], [11.0]]), torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    assert neighbour_overlap(queries, own, gallery, sets) == pytest.approx((1 / 3 + 1 + 0) / 3)
