import numpy as np
import pytest

from labelwise.audit import Doubt
from labelwise.bench import box_errors
from labelwise.bench.box_errors import Planted, counted, plant
from labelwise.bench.harness import tables
from labelwise.labels import Boxes


def many(n=2000, seed=0):
    generator = np.random.default_rng(seed)
    low = generator.uniform(20, 200, (n, 2))
    return Boxes(np.hstack([low, low + 40]).astype(np.float32), generator.integers(0, 3, n))


def test_each_error_is_planted_in_a_twentieth_and_the_rest_is_left_alone():
    given = many()
    planted = plant(given, (320, 300), 3, np.random.default_rng(1))
    kinds = np.array(planted.kinds)
    assert len(kinds) == len(planted.boxes.labels)
    for kind in ("label", "misplaced_box", "spurious_box"):
        assert (kinds == kind).sum() == pytest.approx(100, abs=35), kind
    assert len(planted.missing) == pytest.approx(100, abs=35)
    before = {tuple(corners): label for corners, label in zip(given.corners.tolist(), given.labels, strict=True)}
    after = list(zip(kinds, planted.boxes.corners.tolist(), planted.boxes.labels, strict=True))
    assert all(before[tuple(corners)] == label for kind, corners, label in after if kind == "")
    assert all(before[tuple(corners)] != label for kind, corners, label in after if kind == "label")
    assert not any(tuple(corners) in before for kind, corners, _ in after if kind in ("misplaced_box", "spurious_box"))
    assert planted.boxes.corners.min() >= 0
    assert (planted.boxes.corners.max(0) <= [320, 300, 320, 300]).all()


def test_as_many_of_the_worst_are_looked_at_as_there_are_errors():
    corners = np.array([[at, at, at + 9, at + 9] for at in (0, 20, 50, 80)], np.float32)
    kinds = ["label", "misplaced_box", "label", "spurious_box"]
    planted = [Planted(Boxes(corners, np.zeros(4, np.int64)), kinds, corners[:1] + 100)]
    doubts = [
        *(Doubt(0, box, "label", score, 0, None) for box, score in ((0, 0.9), (1, 0.8), (2, 0.7))),
        *(Doubt(0, box, kind, 0.5, None, None) for box in range(4) for kind in ("misplaced_box", "spurious_box")),
        Doubt(0, -1, "missing_box", 0.6, 0, corners[0] + 101),
        Doubt(0, -1, "missing_box", 0.5, 0, corners[0] + 200),
    ]
    found = counted(doubts, planted)
    assert found["label"] == {"planted": 2, "found": 0.5, "chance": 0.5}
    assert found["missing_box"] == {"planted": 1, "found": 1.0, "chance": 0.5}


def test_every_kind_has_a_row_and_work_that_was_stopped_goes_on(tmp_path, monkeypatch):
    ran = {kind: {"planted": 10, "found": 0.5, "chance": 0.05} for kind in box_errors.KINDS}
    monkeypatch.setattr(box_errors, "read_boxes", lambda _: Table())
    monkeypatch.setattr(box_errors, "data_path", lambda _: tmp_path)
    monkeypatch.setattr(box_errors, "_run", lambda *_: ran)
    result = box_errors.box_errors(out=tmp_path, quiet=True)
    ((_, columns, rows),) = tables(result)
    assert [row[0] for row in rows] == list(box_errors.KINDS)
    assert all(len(row) == len(columns) for row in rows)
    assert result["figures"]["label"]["found"] == [0.5] * 3
    monkeypatch.setattr(box_errors, "_run", None)
    assert box_errors.box_errors(out=tmp_path, quiet=True) == result


class Table:
    boxes = (many(3),)
    split = ("train",)

    def __len__(self):
        return 1

    def select(self, rows):
        return self
