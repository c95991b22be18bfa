import numpy as np
import pytest

from labelwise.audit import Finding, area_under_margin
from labelwise.audit.margins import with_margins
from labelwise.labels import Task


def test_margins_are_averaged_over_epochs():
    labels = np.array([0, 2, -1])
    first = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [1.0, 1.0, 1.0]])
    second = np.array([[1.0, 2.0, 0.0], [-4.0, -2.0, -3.0], [1.0, 1.0, 1.0]])
    expected = [(1 - 1) / 2, (-4 - 1) / 2, np.nan]
    np.testing.assert_allclose(area_under_margin([first, second], labels), expected)
    np.testing.assert_allclose(area_under_margin(np.stack([first, second]).astype(np.float32), labels), expected)
    np.testing.assert_allclose(area_under_margin((each for each in (first, second)), labels), expected)


def test_a_shift_of_all_logits_changes_nothing():
    generator = np.random.default_rng(0)
    logits, labels = generator.standard_normal((3, 50_000, 12)), generator.integers(12, size=50_000)
    area = area_under_margin(logits, labels)
    np.testing.assert_allclose(area_under_margin(logits + generator.standard_normal((3, 50_000, 1)), labels), area)
    own = np.take_along_axis(logits, np.broadcast_to(labels, (3, 50_000))[..., None], axis=2)[..., 0]
    others = np.where(np.arange(12) == labels[:, None], -np.inf, logits).max(axis=2)
    np.testing.assert_allclose(area, (own - others).mean(axis=0))


def test_unfit_logits_are_refused():
    with pytest.raises(ValueError, match="at least one epoch"):
        area_under_margin([], np.array([0]))
    with pytest.raises(ValueError, match=r"got shapes \[2\] and \[3, 2\]"):
        area_under_margin([np.zeros((3, 2))], np.array([0, 1]))
    with pytest.raises(ValueError, match="those of epoch 1 give no margin at row 1"):
        area_under_margin([np.zeros((3, 2)), [[np.nan, 0], [0, np.nan], [0, 0]]], np.array([-1, 0, 1]))


def test_labels_that_training_contradicts_are_findings_by_the_share_of_the_other_class():
    task, labels = Task("kind", classes=("a", "b")), np.array([0, 1, 1, -1, 0])
    areas = np.array([-1.0, -2.0, 3.0, -4.0, np.nan])
    first = Finding(1, "kind", "label", 0.9, "b", "a", "said")
    found = list(with_margins([first], task, labels, areas))
    assert found[0]._replace(why="") == first._replace(why="")
    assert found[0].why == "said; in training another class was preferred on average (area under the margin -2.00)"
    (more,) = found[1:]
    assert (more.example, more.task, more.kind, more.given, more.suggested) == (0, "kind", "label", "a", None)
    assert more.score == pytest.approx(np.e / (1 + np.e))  # of two classes whose logits are 1 apart
    assert list(with_margins([first], task, labels, None)) == [first]
