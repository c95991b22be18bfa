import numpy as np
import pytest

from labelwise.audit import box_doubts
from labelwise.audit.box_doubts import surest
from labelwise.labels import Boxes, data_path, read_boxes
from labelwise.labels.boxes import overlaps

ALL: dict[str, float] = {}


def boxes(*rows, scores=None):
    """Boxes of (x1, y1, x2, y2, class)."""
    array = np.array(rows, np.float32).reshape(-1, 5)
    return Boxes(array[:, :4], array[:, 4].astype(np.int64), None if scores is None else np.array(scores, np.float32))


def scores_of(doubts, kind):
    return {(doubt.picture, doubt.box): doubt.score for doubt in doubts if doubt.kind == kind}


def test_where_the_detector_agrees_nothing_is_wrong():
    given = boxes((0, 0, 10, 10, 0), (20, 20, 40, 40, 1))
    found = given._replace(scores=np.array([0.9, 0.8], np.float32))
    assert box_doubts([given, Boxes.none()], [found, boxes(scores=[])]) == []
    assert all(doubt.score == 0 for doubt in box_doubts([given], [found], ALL))


def test_each_kind_of_error_is_told_with_what_would_be_right():
    right = [boxes((0, 0, 10, 10, 0), (50, 50, 80, 80, 1))] * 3
    sure = [one._replace(scores=np.array([0.9, 0.8], np.float32)) for one in right]
    wrong = [
        boxes((0, 0, 10, 10, 1), (50, 50, 80, 80, 1)),  # another class
        boxes((0, 0, 10, 10, 0), (65, 50, 95, 80, 1), (100, 100, 120, 120, 0)),  # half a box aside, and around nothing
        boxes((0, 0, 10, 10, 0)),  # one is missing
    ]
    told = {doubt.kind: doubt for doubt in reversed(box_doubts(wrong, sure))}
    assert set(told) == {"label", "spurious_box", "misplaced_box", "missing_box"}
    assert told["label"][:4] == (0, 0, "label", pytest.approx(0.9))
    assert told["label"].suggested == 0
    assert told["spurious_box"][:4] == (1, 2, "spurious_box", 1.0)
    assert told["misplaced_box"][:4] == (1, 1, "misplaced_box", pytest.approx(0.8 * 2 / 3))
    assert told["misplaced_box"].corners.tolist() == [50, 50, 80, 80]
    assert told["missing_box"][:4] == (2, -1, "missing_box", pytest.approx(0.8))
    assert told["missing_box"].suggested == 1
    # What says where a given box should be is not a missing one too.
    assert [doubt.picture for doubt in box_doubts(wrong, sure) if doubt.kind == "missing_box"] == [2]


def test_a_class_that_is_hard_to_find_is_not_under_suspicion_as_a_whole():
    given = boxes((0, 0, 10, 10, 0), (20, 20, 40, 40, 1), (60, 60, 70, 70, 1))
    found = given._replace(scores=np.array([0.9, 0.1, 0.1], np.float32))
    assert max(scores_of(box_doubts([given], [found], ALL), "spurious_box").values()) == 0
    assert box_doubts([given], [boxes(scores=[])], ALL) == []  # of a class never found nothing is known


def test_neither_the_order_of_boxes_nor_of_pictures_nor_the_scale_counts():
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 80, (12, 2))
    given = boxes(*np.hstack([low, low + generator.uniform(8, 20, (12, 2)), generator.integers(0, 2, (12, 1))]))
    corners = given.corners + generator.normal(0, 3, (12, 4)).astype(np.float32)
    found = Boxes(corners, generator.integers(0, 2, 12), generator.random(12).astype(np.float32))
    doubts = box_doubts([given, given], [found, boxes(scores=[])], ALL)
    order, turn = generator.permutation(12), generator.permutation(12)
    other = box_doubts(
        [given, Boxes(given.corners[order] * 3, given.labels[order])],
        [boxes(scores=[]), Boxes(corners[turn] * 3, found.labels[turn], found.scores[turn])],
        ALL,
    )
    for kind in ("label", "spurious_box", "misplaced_box"):
        first, second = scores_of(doubts, kind), scores_of(other, kind)
        assert {key: first[0, key] for key in range(12) if (0, key) in first} == pytest.approx(
            {int(order[box]): score for (picture, box), score in second.items() if picture == 1}, abs=1e-5
        )
    missing = [sorted(d.score for d in each if d.kind == "missing_box") for each in (doubts, other)]
    assert missing[0] == pytest.approx(missing[1], abs=1e-5)


def test_of_boxes_about_one_thing_the_surest_stays():
    found = boxes(
        (0, 0, 10, 10, 0), (1, 0, 11, 10, 0), (1, 0, 11, 10, 1), (30, 0, 40, 10, 0), scores=[0.2, 0.9, 0.5, 0.1]
    )
    kept = surest(found)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.5, 0.1])
    assert len(surest(boxes(scores=[])).labels) == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="of the same pictures; got 1 and 2"):
        box_doubts([Boxes.none()], [boxes(scores=[])] * 2)
    with pytest.raises(ValueError, match="those of picture 0 have none"):
        box_doubts([Boxes.none()], [Boxes.none()])


def detections(given, generator):
    """What a fair detector finds: boxes not quite in place, some hardly, some of another class, and false alarms."""
    found = []
    for one in given:
        n = len(one.labels)
        spans = np.tile(one.corners[:, 2:] - one.corners[:, :2], 2)
        seen = generator.random(n) < 0.9
        labels = np.where(generator.random(n) < 0.01, (one.labels + 1) % 3, one.labels)
        corners = one.corners + generator.normal(0, 0.06, spans.shape) * spans
        low = generator.uniform(0, 200, (2, 2))
        alarms = np.hstack([low, low + generator.uniform(20, 60, (2, 2))])
        scores = np.concatenate(
            [np.where(seen, generator.beta(6, 2, n), generator.beta(2, 6, n)), generator.beta(2, 6, 2)]
        )
        found.append(
            Boxes(
                np.vstack([corners, alarms]).astype(np.float32),
                np.concatenate([labels, generator.integers(0, 3, 2)]),
                scores.astype(np.float32),
            )
        )
    return found


def planted(one, generator):
    """One picture with errors in a twentieth of its boxes each: its boxes, what is wrong with each, those left out."""
    n = len(one.labels)
    what = generator.choice(["", "label", "misplaced_box", "missing_box"], n, p=[0.85, 0.05, 0.05, 0.05])
    labels = np.where(what == "label", (one.labels + generator.integers(1, 3, n)) % 3, one.labels)
    shift = (one.corners[:, 2:] - one.corners[:, :2]) * generator.choice([-0.35, 0.35], (n, 2))
    corners = one.corners + np.tile(shift, 2) * (what == "misplaced_box")[:, None]
    left = what != "missing_box"
    extra = generator.poisson(0.05 * n)
    low = generator.uniform(0, 200, (extra, 2))
    return (
        Boxes(
            np.vstack([corners[left], np.hstack([low, low + generator.uniform(20, 60, (extra, 2))])]).astype(
                np.float32
            ),
            np.concatenate([labels[left], generator.integers(0, 3, extra)]),
        ),
        [*what[left], *["spurious_box"] * extra],
        one.corners[~left],
    )


@pytest.mark.data
def test_planted_errors_of_each_kind_are_found_well_above_chance():
    """Of as many boxes as have an error of a kind, the worst by its score; by chance a twentieth would be right."""
    table = read_boxes(data_path("bccd") / "bccd.npz")
    generator = np.random.default_rng(0)
    given = list(table.boxes)
    found = detections(given, generator)
    wrong, truth, missing = zip(*(planted(one, generator) for one in given), strict=True)
    doubts = box_doubts(wrong, found, ALL)
    for kind, least in (("label", 0.7), ("spurious_box", 0.6), ("misplaced_box", 0.7)):
        ranked = [truth[doubt.picture][doubt.box] == kind for doubt in doubts if doubt.kind == kind]
        number = sum(names.count(kind) for names in truth)
        assert number > 150
        assert np.mean(ranked[:number]) > least, kind
    number = sum(map(len, missing))
    worst = [doubt for doubt in doubts if doubt.kind == "missing_box"][:number]
    hits = [overlaps(doubt.corners[None], missing[doubt.picture]).max(initial=0) >= 0.5 for doubt in worst]
    assert np.mean(hits) > 0.7
