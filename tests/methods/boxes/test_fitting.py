import json
import sys

import numpy as np
import pytest
import torch
import transformers as hf
from tests.methods.boxes.samples import CLASSES, squares, stopped_at

from labelwise.labels import Boxes, BoxTable, read_boxes
from labelwise.methods.boxes import find_boxes, fit_boxes, load_detector, write_found
from labelwise.methods.boxes.fitting import ALPHAS
from labelwise.methods.boxes.options import Training
from labelwise.runs import RunFolder

OPTIONS = {"epochs": 3, "side": 64, "patience": 0}
KEPT = ("model.safetensors", "metrics.json", "history.json", "found.json", "given.json", "pictures.parquet")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit_boxes(squares(), "lupi", out=tmp_path_factory.mktemp("fit") / "run", options=OPTIONS, quiet=True)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in KEPT}


def test_the_folder_says_all_about_the_run(fitted):
    run = RunFolder(fitted)
    metrics = run.metrics
    assert sorted(path.name for path in fitted.iterdir()) == sorted([*KEPT, "config.yaml"])
    assert run.config["options"]["alpha"] is None
    assert run.config["size"] == [32, 64]
    assert [each["alpha"] for each in metrics["alphas"]] == list(ALPHAS)
    best = max(metrics["alphas"], key=lambda each: each["map"])
    assert metrics["alpha"] == best["alpha"]
    assert metrics["boxes"]["validation"]["map"] == best["map"]
    assert len(metrics["boxes"]["test"]) == 13
    assert set(metrics["boxes"]["test"]["by_class"]) == set(CLASSES)
    assert "oracle" in metrics["teacher"]["note"]
    assert set(metrics["teacher"]["boxes"]) == {"validation", "test"}
    assert metrics["pictures"] == {"train": 10, "validation": 5, "test": 5}
    history = json.loads((fitted / "history.json").read_text())
    assert [list(row) for row in history] == [["epoch", "train_loss", "validation_loss"]] * 3


def test_given_and_found_boxes_are_coco_files_in_pixels_of_the_source(fitted):
    table = squares()
    given, found = (json.loads((fitted / f"{name}.json").read_text()) for name in ("given", "found"))
    assert len(given["annotations"]) == 2 * 19
    assert [each["split"] for each in found["images"]] == list(table.split)
    assert {each["name"] for each in found["categories"]} == set(CLASSES)
    for each in found["annotations"]:
        x, y, width, height = each["bbox"]
        assert min(x, y, width, height) >= 0
        assert x + width <= 64.01
        assert y + height <= 32.01
    again = find_boxes(fitted, table)
    told = [each for each in found["annotations"] if each["image_id"] == 1]
    assert [each["score"] for each in told] == pytest.approx(again[0].scores.tolist(), abs=1e-5)


def test_what_is_found_elsewhere_is_a_coco_file_that_can_be_read(fitted, tmp_path):
    table = squares(4, size=(64, 128), seed=1)
    for name, image in zip(table.names, table.images, strict=True):
        (tmp_path / name).write_bytes(image)
    read = read_boxes(write_found(fitted, table, tmp_path / "found.json"))
    assert list(read.names) == list(table.names)
    assert read.classes == CLASSES
    for one, other in zip(read.boxes, find_boxes(fitted, table), strict=True):
        assert one.corners == pytest.approx(other.corners, abs=0.01)
        assert one.labels.tolist() == other.labels.tolist()
    with pytest.raises(ValueError, match=r"COCO \.json; got 'found\.csv'"):
        write_found(fitted, table, tmp_path / "found.csv")


@pytest.mark.parametrize("call", [7, 17, 34])
def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bytes(fitted, tmp_path, monkeypatch, call):
    """The teacher's training takes 9 losses, 6 to learn and 3 to check, and so does that of each of the students."""
    with stopped_at(call, monkeypatch):
        fit_boxes(squares(), "lupi", out=tmp_path / "run", options=OPTIONS, quiet=True)
    assert list(tmp_path.glob("run/checkpoint-*"))
    folder = fit_boxes(squares(), "lupi", out=tmp_path / "run", options=OPTIONS, resume=True, quiet=True)
    assert contents(folder) == contents(fitted)


def test_a_finished_run_is_given_back_and_other_settings_are_refused(fitted):
    before = (fitted / "model.safetensors").stat().st_mtime_ns
    assert fit_boxes(squares(), "lupi", out=fitted, options=OPTIONS, quiet=True) == fitted
    assert (fitted / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds a run with other settings"):
        fit_boxes(squares(), "lupi", out=fitted, options=OPTIONS | {"alpha": 0.5}, quiet=True)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        fit_boxes(squares(seed=1), "lupi", out=fitted, options=OPTIONS, quiet=True)


def test_with_alpha_0_it_is_the_plain_detector_and_any_student_is_of_its_size(tmp_path):
    plain = fit_boxes(squares(), out=tmp_path / "plain", options=OPTIONS, quiet=True)
    alone = fit_boxes(squares(), "lupi", out=tmp_path / "0", options=OPTIONS | {"alpha": 0}, quiet=True)
    taught = fit_boxes(squares(), "lupi", out=tmp_path / "1", options=OPTIONS | {"alpha": 0.5}, quiet=True)
    assert (plain / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert (plain / "model.safetensors").read_bytes() != (taught / "model.safetensors").read_bytes()
    assert "teacher" not in RunFolder(alone).metrics
    one, other = (load_detector(folder).state_dict() for folder in (plain, taught))
    assert [(name, value.shape) for name, value in one.items()] == [(n, v.shape) for n, v in other.items()]
    assert RunFolder(plain).metrics["parameters"] == RunFolder(taught).metrics["parameters"]


def test_pictures_without_a_split_are_split_and_a_size_of_their_own_is_chosen(tmp_path):
    folder = fit_boxes(squares(split=False), out=tmp_path / "run", options={"epochs": 1, "side": 32}, quiet=True)
    assert RunFolder(folder).metrics["pictures"] == {"train": 15, "validation": 3, "test": 2}
    assert RunFolder(folder).config["size"] == [32, 32]


def test_a_detector_of_transformers_comes_from_a_folder_and_is_rebuilt_without_it(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = hf.YolosConfig(**sizes, image_size=[64, 64], patch_size=16, num_detection_tokens=5, num_labels=7)
    torch.manual_seed(0)
    hf.YolosForObjectDetection(config).save_pretrained(tmp_path / "tiny")
    options = {"epochs": 1, "side": 64, "alpha": 0.5}
    folder = fit_boxes(squares(8), "lupi", str(tmp_path / "tiny"), tmp_path / "run", options=options, quiet=True)
    (tmp_path / "tiny").rename(tmp_path / "gone")
    found = find_boxes(folder, squares(8))
    assert len(found) == 8
    assert all(set(one.labels) <= {0, 1} for one in found)
    kept = json.loads((folder / "found.json").read_text())["annotations"]
    assert [each["score"] for each in kept if each["image_id"] == 1] == pytest.approx(found[0].scores, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"method": "lupy"}, "no method 'lupy' for boxes; did you mean 'lupi'"),
        ({"method": "detection", "options": {"alpha": 0.5}}, "method 'detection' for boxes has no option 'alpha'"),
        ({"options": {"epoch": 3}}, "no option 'epoch'; did you mean 'epochs'"),
        ({"options": {"alpha": 2}}, "alpha must be at least 0 and at most 1; got 2"),
        ({"options": {"alpha": "half"}}, "option 'alpha' must be float; got 'half'"),
        ({"options": {"feature": "mean"}}, "feature must be one of pooled, map; got 'mean'"),
        ({"options": {"side": 100}}, "side must be a multiple of 32 pixels; got 100"),
        ({"detector": "compakt"}, "there is no detector 'compakt'; did you mean 'compact'"),
        ({"detector": "fcos-untraind"}, "there is no detector 'fcos-untraind'; did you mean 'fcos-untrained'"),
        ({"resume": True}, "nothing to go on with"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        fit_boxes(squares(), **{"method": "lupi", "out": tmp_path / "run"} | words)
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_had_are_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"weights of detector 'rt-detr-v2' could not be loaded .*hf download"):
        fit_boxes(squares(), detector="rt-detr-v2", out=tmp_path / "run", options={"side": 64})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["fcos", "ssd300-untrained"])
@pytest.mark.parametrize("error", ["ImportError('none')", "RuntimeError('operator torchvision::nms does not exist')"])
def test_a_detector_of_torchvision_without_that_package_is_told_with_the_remedy(tmp_path, monkeypatch, name, error):
    (tmp_path / "torchvision.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    for module in [each for each in sys.modules if each.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImportError, match=r"detector .* needs an extra: pip install 'labelwise\[torchvision\]'"):
        fit_boxes(squares(8), detector=name, out=tmp_path / "run", options={"side": 64})
    assert not (tmp_path / "run").exists()


def test_pictures_without_any_box_are_refused(tmp_path):
    table = squares(8)
    empty = BoxTable(table.names, table.images, [Boxes.none()] * 8, CLASSES, table.split, "empty.json")
    with pytest.raises(ValueError, match=r"training pictures of empty\.json have no box at all"):
        fit_boxes(empty, out=tmp_path / "run", options=OPTIONS)
    assert not (tmp_path / "run").exists()


def test_a_damaged_or_unfinished_folder_is_told(fitted, tmp_path):
    with pytest.raises(ValueError, match="is not a run folder"):
        load_detector(tmp_path)
    folder = fit_boxes(squares(8), out=tmp_path / "run", options={"epochs": 1, "side": 64}, quiet=True)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_detector(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no finished detector; run its command again"):
        load_detector(folder)


def test_boxes_are_split_by_the_rarest_class_in_a_picture():
    table = squares(40, split=False)
    rare = [boxes._replace(labels=np.array([0, 0]) if at % 4 else boxes.labels) for at, boxes in enumerate(table.boxes)]
    rare[-1] = Boxes.none()
    table = BoxTable(table.names, table.images, rare, CLASSES, table.split, "squares.json")
    with_rare = np.array([1 in boxes.labels for boxes in rare])
    folds = table.folds(5, seed=1)
    assert np.bincount(folds[with_rare]).tolist() == [2] * 5
    assert np.bincount(folds).tolist() == [8] * 5
    assert table.fingerprint() == table.select(np.arange(40)).fingerprint()
    assert table.fingerprint() != table.select(np.arange(39)).fingerprint()


@pytest.mark.parametrize(("pictures", "batch_size", "epochs"), [(60, 8, 100), (60, 4, 54), (205, 8, 31), (5000, 8, 24)])
def test_few_pictures_are_seen_more_often_unless_told_otherwise(pictures, batch_size, epochs):
    assert Training(batch_size=batch_size).plan("compact", pictures).epochs == epochs
    assert Training(epochs=7).plan("compact", pictures).epochs == 7
