import copy

import numpy as np
import pytest
import torch

from labelwise.labels import Boxes
from labelwise.methods.privileged.detection import (
    DetectorPlan,
    Scenes,
    detect,
    flipped,
    masks,
    train_detector,
    train_teacher,
)
from labelwise.methods.training import seeded
from labelwise.models.detectors import CompactDetector

PLAN = DetectorPlan(epochs=2, batch_size=3)


def made():
    torch.manual_seed(0)
    return CompactDetector(2, width=8)


def scenes(n=5, size=(24, 32), seed=0):
    """Noise with boxes of whole pixels, and one empty picture."""
    generator = np.random.default_rng(seed)
    boxes = []
    for _ in range(n - 1):
        low = generator.integers(0, 14, (2, 2))
        corners = np.hstack([low, low + generator.integers(3, 10, (2, 2))]).astype(np.float32)
        boxes.append(Boxes(corners, generator.integers(0, 2, 2)))
    images = torch.from_numpy(generator.integers(0, 256, (n, 3, *size), dtype=np.uint8))
    return Scenes(images, [*boxes, Boxes.none()])


def states(model):
    return [value.clone() for value in model.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def teacher():
    return train_teacher(made(), scenes(), PLAN, 2)


def test_pictures_boxes_and_masks_are_flipped_together():
    given = scenes(40)
    drawn = masks(given.boxes, (24, 32), 2, outline=0)
    with seeded(1):
        turned = flipped(Scenes((drawn * 255).to(torch.uint8), given.boxes))
    assert torch.equal(turned.images.float() / 255, masks(turned.boxes, (24, 32), 2, outline=0))
    moved = [not np.array_equal(a.corners, b.corners) for a, b in zip(turned.boxes, given.boxes, strict=True)]
    assert 20 < sum(moved) < 40


@pytest.mark.parametrize("feature", ["pooled", "map"])
def test_with_alpha_0_it_is_the_training_without_a_teacher_bit_for_bit(teacher, feature):
    before = states(teacher.detector)
    plain, same_as_plain, student = made(), made(), made()
    history = train_detector(plain, scenes(), PLAN)
    assert train_detector(same_as_plain, scenes(), PLAN, teacher=teacher, alpha=0.0, feature=feature) == history
    assert same(states(plain), states(same_as_plain))
    assert train_detector(student, scenes(), PLAN, teacher=teacher, feature=feature) != history
    assert not same(states(plain), states(student))
    assert list(student.state_dict()) == list(plain.state_dict())
    assert [value.shape for value in states(student)] == [value.shape for value in states(plain)]
    assert same(states(teacher.detector), before)
    assert not student.training


def test_with_alpha_1_only_decay_moves_what_comes_after_the_tap(teacher):
    start = made()
    student = copy.deepcopy(start)
    train_detector(student, scenes(), DetectorPlan(epochs=1, batch_size=5), teacher=teacher, alpha=1.0)
    decay = 1 - PLAN.learning_rate * 0.01
    for (name, after), before in zip(student.named_parameters(), start.parameters(), strict=True):
        left_alone = torch.allclose(after, before * decay, atol=1e-9, rtol=1e-6)
        assert left_alone is name.startswith(("narrow", "join", "centres", "edges")), name


def test_a_teacher_starts_as_the_student_and_is_shown_the_boxes(teacher):
    student = made()
    before = states(student)
    again = train_teacher(student, scenes(), PLAN, 2)
    assert same(states(student), before)
    assert same(states(again.detector), states(teacher.detector))
    images = scenes().images.float() / 255
    seen = teacher.inputs(images, scenes().boxes)
    assert seen.shape == (5, 4, 24, 32)
    assert torch.equal(seen[:, :3], images)
    assert set((seen[:, 3] * 255).round().int().unique().tolist()) <= {0, 189, 123}
    assert len(detect(teacher.detector, seen)) == 5


def test_order_and_flips_follow_the_seed():
    runs = []
    for seed in (0, 0, 1):
        runs.append(made())
        train_detector(runs[-1], scenes(), PLAN, seed)
    assert same(states(runs[0]), states(runs[1]))
    assert not same(states(runs[0]), states(runs[2]))


def test_the_weights_of_the_lowest_validation_loss_are_kept_and_training_stops_when_it_gets_no_lower():
    held, plan = scenes(3, seed=7), DetectorPlan(epochs=30, batch_size=3, learning_rate=0.05, patience=2)
    detector = made()
    history = train_detector(detector, scenes(), plan, validation=held)
    losses = [row["validation_loss"] for row in history]
    assert losses.index(min(losses)) == len(losses) - 3
    with torch.no_grad():
        kept = detector.loss(held.images.float() / 255, held.boxes).item()
    assert kept == pytest.approx(min(losses), abs=1e-5)
    assert "validation_loss" not in train_detector(made(), scenes(), PLAN)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"alpha": 1.2}, "alpha must be"), ({"feature": "mean"}, "feature must be one of pooled, map; got 'mean'")],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train_detector(made(), scenes(), PLAN, **options)
    with pytest.raises(ValueError, match="no picture to learn from"):
        train_detector(made(), Scenes(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), []), PLAN)
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        DetectorPlan(epochs=0)
