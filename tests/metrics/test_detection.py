import numpy as np
import pytest

from labelwise.labels import Boxes
from labelwise.metrics import coco_map

CLASSES = ["cat", "dog"]


def boxes(corners, labels, scores=None):
    return Boxes(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        None if scores is None else np.array(scores, np.float32),
    )


def scenes(seed=0, n=5):
    generator = np.random.default_rng(seed)
    given = []
    for _ in range(n):
        low = generator.uniform(0, 100, (4, 2))
        given.append(boxes(np.hstack([low, low + generator.uniform(5, 150, (4, 2))]), generator.integers(0, 2, 4)))
    return [*given, Boxes.none()]


def guesses(given, seed=0):
    """Shifted boxes, some of a wrong class, and one false alarm a picture."""
    generator = np.random.default_rng(seed)
    found = []
    for one in given:
        n = len(one.labels)
        labels = np.where(generator.random(n) < 0.2, 1 - one.labels, one.labels)
        corners = np.vstack([one.corners + generator.normal(0, 3, (n, 4)), [[1, 1, 30, 30]]])
        found.append(boxes(corners, [*labels, 0], generator.random(n + 1)))
    return found


def average_precision(given, found, label, overlap):
    """The same by its definition, one class at one overlap."""
    ranked = sorted(
        (
            (score, picture, corner)
            for picture, one in enumerate(found)
            for corner, k, score in zip(*one, strict=True)
            if k == label
        ),
        key=lambda each: -each[0],
    )
    free = {picture: list(one.corners[one.labels == label]) for picture, one in enumerate(given)}
    total = sum(map(len, free.values()))
    hits = []
    for _, picture, corner in ranked:
        shares = [share(corner, other) for other in free[picture]]
        hit = bool(shares) and max(shares) >= overlap
        hits.append(hit)
        if hit:
            free[picture].pop(int(np.argmax(shares)))
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return np.mean([max(precision[recall >= level - 1e-12], default=0) for level in np.linspace(0, 1, 101)])


def share(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inside = np.prod(np.clip(high - low, 0, None))
    return inside / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - inside)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_mean_over_classes_and_overlaps_of_the_area_under_the_precision(seed):
    given = scenes(seed)
    found = guesses(given, seed)
    scores = coco_map(given, found, CLASSES)
    by_overlap = {
        overlap: [average_precision(given, found, label, overlap) for label in (0, 1)]
        for overlap in np.linspace(0.5, 0.95, 10).round(2)
    }
    assert scores["map"] == pytest.approx(np.mean(list(by_overlap.values())), abs=1e-6)
    assert scores["map_50"] == pytest.approx(np.mean(by_overlap[0.5]), abs=1e-6)
    assert scores["map_75"] == pytest.approx(np.mean(by_overlap[0.75]), abs=1e-6)
    assert scores["by_class"]["dog"] == pytest.approx(np.mean([each[1] for each in by_overlap.values()]), abs=1e-6)


def test_the_right_boxes_score_1_and_only_the_order_of_scores_counts():
    given = scenes()
    right = [one._replace(scores=np.linspace(0.9, 0.1, len(one.labels), dtype=np.float32)) for one in given]
    scores = coco_map(given, right, CLASSES)
    assert len(scores) == 13
    assert {scores[name] for name in ("map", "map_50", "map_75", "mar_100")} == {1.0}
    found = guesses(given)
    squared = [one._replace(scores=one.scores**2 / 2) for one in found]
    assert coco_map(given, squared, CLASSES) == coco_map(given, found, CLASSES)


def test_sizes_that_no_box_has_count_for_nothing():
    given = [boxes([[0, 0, 200, 200]], [0])]
    right = [given[0]._replace(scores=np.ones(1, np.float32))]
    none = [boxes([], [], [])]
    for found, value in ((right, 1.0), (none, 0.0)):
        scores = coco_map(given, found, CLASSES)
        assert (scores["map"], scores["map_large"], scores["mar_1"], scores["mar_large"]) == (value,) * 4
        assert [scores[name] for name in ("map_small", "map_medium", "mar_small", "mar_medium")] == [None] * 4
        assert scores["by_class"] == {"cat": value, "dog": None}
    assert coco_map([Boxes.none()], right, CLASSES)["map"] is None


def test_unsure_boxes_can_be_left_out():
    given = [boxes([[0, 0, 50, 50]], [0])]
    found = [boxes([[60, 60, 90, 90], [0, 0, 50, 50]], [0, 0], [0.4, 0.3])]
    assert coco_map(given, found, CLASSES)["map_50"] == 0.5
    assert coco_map(given, found, CLASSES, score_min=0.35)["map_50"] == 0.0


def test_classes_of_two_data_sets_are_compared_as_one():
    given = [boxes([[0, 0, 50, 50]], [0])]
    found = [boxes([[0, 0, 50, 50]], [1], [0.9])]
    assert coco_map(given, found, CLASSES)["map"] == 0.0
    assert coco_map(given, found, CLASSES, label_map={"cat": "animal", "dog": "animal"})["by_class"] == {"animal": 1.0}
    assert coco_map(given, found, CLASSES, label_map={"cat": "cat"})["map"] == 0.0


def test_what_cannot_be_compared_is_refused():
    given = [boxes([[0, 0, 50, 50]], [0])]
    with pytest.raises(ValueError, match="same pictures; got 1 and 0"):
        coco_map(given, [], CLASSES)
    with pytest.raises(ValueError, match="those of picture 0 have none"):
        coco_map(given, given, CLASSES)
    with pytest.raises(ValueError, match=r"in \[0, 2\); got 2 in picture 0"):
        coco_map(given, [boxes([[0, 0, 1, 1]], [2], [0.5])], CLASSES)
