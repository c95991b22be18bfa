import numpy as np
import pytest

from labelwise.audit.neighbours import Neighbours
from labelwise.audit.pseudo_classes import pseudo_class_issues
from labelwise.labels import Task

TASK = Task("y", "single", ("a", "b", "c"))
SIZES = (20, 100, 100)


def make(p_of_a, near_a):
    """20 rows of a, of probabilities `p_of_a`, whose neighbours are of these classes; b and c are certain."""
    labels = np.repeat([0, 1, 2], SIZES)
    probability = np.array([p_of_a, [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])[labels]
    firsts = np.array([0, 20, 120])
    near = firsts[labels][:, None].repeat(10, axis=1)
    near[:20] = firsts[near_a]
    return labels, probability, Neighbours(near, np.ones(near.shape))


def find(labels, probability, neighbours):
    return list(pseudo_class_issues(TASK, labels, probability, neighbours, np.arange(len(labels))))


def test_a_class_that_is_predicted_as_another_and_lies_among_it_is_named():
    labels, probability, near = make([0.05, 0.9, 0.05], [1] * 9 + [0])
    (one,) = find(labels, probability, near)
    assert (one.kind, one.task, one.subject, one.rows) == ("pseudo_class", "y", "a", 20)
    assert one.score == pytest.approx(1, abs=0.1)
    assert "belong to 'b'" in one.why
    assert "90% of their nearest examples are labelled so, 10% as they are" in one.why
    assert set(one.examples) <= set(range(20))
    (without,) = find(labels, probability, None)
    assert "nearest" not in without.why


@pytest.mark.parametrize(
    ("p_of_a", "near_a"),
    [
        ([0.9, 0.05, 0.05], [1] * 10),  # models tell it apart
        ([0.05, 0.9, 0.05], [0] * 9 + [1]),  # it lies by itself
    ],
)
def test_either_evidence_alone_is_not_enough(p_of_a, near_a):
    assert not find(*make(p_of_a, near_a))


def test_models_that_know_nothing_name_nothing():
    labels = np.repeat([0, 1, 2], (20, 200, 20))
    probability = np.tile([0.1, 0.8, 0.1], (240, 1))
    near = Neighbours(np.random.default_rng(0).integers(0, 240, (240, 10)), np.ones((240, 10)))
    assert not find(labels, probability, near)


def test_the_larger_class_and_tiny_classes_are_not_pseudo():
    labels, probability, near = make([0.05, 0.9, 0.05], [1] * 10)
    labels[:16] = -1
    assert not find(labels, probability, near)
