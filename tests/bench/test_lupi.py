import numpy as np
import pytest
import torch

from labelwise.bench import lupi
from labelwise.bench.harness import tables
from labelwise.labels import Boxes, data_path
from labelwise.methods.privileged.detection import Scenes


def cells(_):
    boxes = [Boxes(np.array([[2, 2, 14, 12]], np.float32), np.array([0]))] * 3
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 24, 32), dtype=np.uint8))
    return dict.fromkeys(("train", "validation", "test"), Scenes(images, boxes)), ["cell"]


def test_halves_part_by_brightness_and_share_no_picture():
    images = torch.arange(24, dtype=torch.uint8).flip(0)[:, None, None, None].expand(24, 3, 8, 8) * 10
    none = [Boxes.none()] * 12
    parts = {"train": Scenes(images[:12], none), "test": Scenes(images[12:], none)}
    for source, darker in (("dark", True), ("bright", False)):
        found = lupi._halves(parts, source)
        own = torch.cat([found["train"].images, found["validation"].images])[:, 0, 0, 0].tolist()
        other = found["test"].images[:, 0, 0, 0].tolist()
        assert [len(own), len(other), len(found["validation"].boxes)] == [12, 12, 3]
        assert (max(own) < min(other)) if darker else (max(other) < min(own))


def test_every_detector_is_measured_and_work_that_was_stopped_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(lupi, "_pictures", cells)
    monkeypatch.setattr(lupi, "_SETTINGS", {"2 pictures": lupi._Setting(1, 2), "half": lupi._Setting(1, half="dark")})
    monkeypatch.setattr(lupi, "_SEEDS", 2)
    monkeypatch.setattr(lupi, "_ALPHAS", (0.5,))
    result = lupi.lupi(out=tmp_path, quiet=True)
    scores = result["figures"]["2 pictures"]
    assert list(scores) == ["baseline", "teacher (oracle)", "pooled", "map"]
    assert all(len(values) == 2 for measures in scores.values() for values in measures.values())
    for seed, chosen in enumerate(result["alphas"]["2 pictures"]):
        assert set(chosen.values()) <= {0.0, 0.5}
        tested = result["by_alpha"]["2 pictures"][seed]
        for feature, alpha in chosen.items():
            assert 100 * tested[feature][f"{alpha:g}"] == scores[feature]["map"][seed]
        assert 100 * tested["map"]["0"] == scores["baseline"]["map"][seed]
        assert result["size"]["2 pictures"][seed]["parameters"] == 1
    drawn = tables(result)
    assert len(drawn) == 4
    assert "2 pictures" in drawn[0][0]
    assert all(len(row) == len(columns) for _, columns, rows in drawn for row in rows)
    monkeypatch.setattr(lupi, "_run", None)
    assert lupi.lupi(out=tmp_path, quiet=True) == result


@pytest.mark.data
def test_the_pictures_have_their_boxes():
    parts, classes = lupi._pictures(data_path("bccd") / "bccd.npz")
    assert {part: len(scenes.boxes) for part, scenes in parts.items()} == {"train": 205, "validation": 87, "test": 72}
    assert classes == ("RBC", "WBC", "Platelets")
    assert sum(len(boxes.labels) for scenes in parts.values() for boxes in scenes.boxes) == 4886
    assert parts["test"].images.shape[1:] == (3, 120, 160)
    for scenes in parts.values():
        corners = np.vstack([boxes.corners for boxes in scenes.boxes])
        assert (corners[:, 2:] > corners[:, :2]).all()
        assert corners.min() >= -1
        assert (corners.max(0) <= [161, 121, 161, 121]).all()
