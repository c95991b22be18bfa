import copy

import numpy as np
import pytest
import torch
from tests.methods.boxes.samples import squares
from torch import nn

from labelwise.labels import Boxes
from labelwise.methods.boxes import find_boxes, fit_boxes
from labelwise.methods.privileged.detection import DetectorPlan, Scenes, train_detector, untrained_teacher
from labelwise.models import feature_tap, with_extra_input_channels
from labelwise.models.detectors import TORCHVISION, TorchvisionDetector, named_detector

models = pytest.importorskip("torchvision.models", reason="needs the extra 'torchvision'")

pytestmark = pytest.mark.slow
WIDTHS = {"faster-rcnn": 2048, "fcos": 2048, "retinanet": 2048, "ssd300": 512, "ssdlite320": 480}


@pytest.fixture(scope="module", params=TORCHVISION)
def kept(request):
    torch.manual_seed(0)
    return TorchvisionDetector(request.param, 2)


@pytest.fixture
def detector(kept):
    """One that answers with boxes of any score, since it has learned nothing."""
    own = copy.deepcopy(kept)
    for module in own.modules():
        if hasattr(module, "score_thresh"):
            module.score_thresh = 0.0
    return own


def pictures(n=2, size=(64, 96)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0))


def targets():
    return [Boxes(np.array([[4, 8, 30, 40], [50, 2, 90, 60]], np.float32), np.array([1, 0])), Boxes.none()]


def states(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_also_from_empty_pictures_and_is_tapped(detector):
    with feature_tap(detector, detector.tap) as tap:
        loss = detector.loss(pictures(), targets())
    assert loss.shape == ()
    features = detector.feature_map(tap.features)
    assert features.shape[:2] == (2, WIDTHS[detector.name])
    assert features.ndim == 4
    loss.backward()
    parameters = dict(detector.named_parameters())
    assert parameters[f"{detector.first}.weight"].grad.abs().sum() > 0
    assert all(p.requires_grad and (p.grad is None or p.grad.isfinite().all()) for p in parameters.values())
    assert detector.loss(pictures(), [Boxes.none()] * 2).isfinite()


def test_a_teacher_that_has_learned_nothing_gives_what_the_student_gives_bit_for_bit(detector):
    wider = with_extra_input_channels(detector, 1, path=detector.first)
    more = torch.cat([pictures(), 9 * torch.rand(2, 1, 64, 96)], 1)
    own, seen = detector.model.transform, wider.model.transform
    assert (seen.image_mean, seen.image_std) == ([*own.image_mean, 0], [*own.image_std, np.mean(own.image_std)])
    assert len(own.image_mean) == 3
    for one in (detector, wider):
        one.eval()
    assert same(wider(more), detector(pictures()))
    for one, other in zip(wider.predict(more), detector.predict(pictures()), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    wider.train().loss(more, targets()).backward()
    assert wider.get_submodule(wider.first).weight.grad[:, 3].abs().sum() > 0


def test_neither_the_mode_nor_the_other_pictures_change_features_and_a_loss_leaves_nothing_behind(detector):
    before = states(detector)
    training = detector(pictures())
    detector.loss(pictures(), targets())
    detector.eval()
    assert same(detector(pictures()), training)
    alone = detector(pictures()[:1])
    for name, features in training.items():
        torch.testing.assert_close(alone[name], features[:1], rtol=1e-3, atol=1e-4)
    random = torch.get_rng_state()
    with torch.no_grad():
        losses = [detector.loss(pictures(), targets()).item() for _ in range(2)]
    assert losses[0] == losses[1]
    assert torch.equal(torch.get_rng_state(), random)
    assert same(states(detector), before)
    assert not any(module.training for module in detector.modules())


def test_what_is_found_lies_in_the_picture_the_surest_first(detector):
    for found in detector.eval().predict(pictures()):
        assert 0 < len(found.labels) <= 100
        assert set(found.labels) <= {0, 1}
        assert found.corners.dtype == np.float32
        assert ((found.corners >= 0) & (found.corners <= [96.001, 64.001, 96.001, 64.001])).all()
        assert (found.corners[:, :2] < found.corners[:, 2:]).all()
        assert (np.diff(found.scores) <= 0).all()


def test_the_model_sees_corners_in_its_own_pixels_and_classes_after_the_background(detector):
    """A model that finds what it was told finds the boxes that were given, whatever size it works on."""
    told = []

    class Echo(nn.Module):
        transform = detector.model.transform

        def forward(self, pictures, given=None):
            if given is None:
                return [each | {"scores": torch.ones(len(each["labels"]))} for each in told]
            told.extend(given)
            return {"one": torch.tensor(1.0), "other": torch.tensor(0.5)}

    size = detector.model.transform.fixed_size or (96, 64)
    detector.model = Echo()
    assert detector.loss(pictures(), targets()).item() == 1.5
    assert told[0]["labels"].tolist() == [2, 1]
    wide = np.array([size[0] / 96, size[1] / 64] * 2)
    assert told[0]["boxes"].numpy() == pytest.approx(targets()[0].corners * wide)
    for one, other in zip(detector.eval().predict(pictures()), targets(), strict=True):
        assert one.corners == pytest.approx(other.corners, abs=1e-4)
        assert one.labels.tolist() == other.labels.tolist()


def test_with_alpha_0_it_is_the_training_without_a_teacher_and_an_equal_teacher_is_at_no_distance(detector):
    scenes = Scenes((255 * pictures()).to(torch.uint8), targets())
    plan = DetectorPlan(epochs=1, batch_size=2, learning_rate=1e-4)
    teacher = untrained_teacher(detector, 2)
    before = states(teacher.detector)
    runs = {}
    for name, words in {"plain": {}, "0": {"alpha": 0.0}, "0.5": {"alpha": 0.5}, "1": {"alpha": 1.0}}.items():
        student = copy.deepcopy(detector)
        history = train_detector(student, scenes, plan, teacher=teacher if words else None, **words)
        runs[name] = history[0]["train_loss"], states(student)
    assert runs["0"][0] == runs["plain"][0]
    assert same(runs["0"][1], runs["plain"][1])
    assert runs["0.5"][0] == pytest.approx(runs["plain"][0] / 2, rel=1e-4)
    assert runs["1"][0] == pytest.approx(0, abs=1e-5)
    assert same(states(teacher.detector), before)
    assert list(runs["0.5"][1]) == list(runs["plain"][1])


def test_boxes_are_learned():
    torch.manual_seed(0)
    detector, images = TorchvisionDetector("ssdlite320", 2), pictures()
    images[0, :, 8:40, 4:30] = 1
    images[0, :, 2:60, 50:90] = 0
    optimizer = torch.optim.AdamW(detector.parameters(), 2e-3)
    for _ in range(60):
        loss = detector.loss(images, targets())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = detector.eval().predict(images)[0]
    order = found.labels[:2].argsort()[::-1]
    assert found.labels[order].tolist() == [1, 0]
    assert found.corners[order] == pytest.approx(targets()[0].corners, abs=6)
    assert found.scores[1] > 0.5


@pytest.mark.parametrize("name", ["retinanet", "ssdlite320"])  # the others go the same ways
def test_pretrained_weights_give_the_features_that_torchvision_has_of_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    builder = TorchvisionDetector(name, 2).family.builder
    weights = models.get_model_weights(builder).COCO_V1
    torch.manual_seed(1)
    source = models.get_model(builder, weights=None, weights_backbone=None)
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(source.state_dict(), folder / weights.url.rpartition("/")[2])
    theirs = models.get_model(builder, weights=weights).eval()
    ours = named_detector(name, 2).eval()
    images = pictures(size=(320, 320))  # which no model resizes
    theirs.transform.min_size, theirs.transform.max_size = (320,), 320
    with torch.no_grad():
        expected = theirs.backbone(theirs.transform(list(images))[0].tensors)
        for name, features in ours(images).items():
            torch.testing.assert_close(features, expected[name])


def test_weights_that_cannot_be_had_are_told_with_the_remedy(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    message = r"'fcos' could not be loaded from https:.* \(no network\); .*checkpoints, or take fcos-untrained"
    with pytest.raises(ValueError, match=message):
        fit_boxes(squares(8), detector="fcos", out=tmp_path / "run", options={"side": 64})
    (tmp_path / "hub" / "checkpoints" / "fcos_resnet50_fpn_coco-99b0c9b7.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="'fcos' could not be loaded"):
        named_detector("fcos", 2)
    assert not (tmp_path / "run").exists()


def test_it_is_fitted_and_rebuilt_without_weights_to_fetch(tmp_path):
    options = {"epochs": 1, "side": 64, "alpha": 0.5}
    folder = fit_boxes(squares(8), "lupi", "ssdlite320-untrained", tmp_path / "run", options=options, quiet=True)
    found = find_boxes(folder, squares(8))
    kept = (folder / "found.json").read_bytes()
    again = fit_boxes(squares(8), "lupi", "ssdlite320-untrained", tmp_path / "again", options=options, quiet=True)
    assert (again / "found.json").read_bytes() == kept
    assert len(found) == 8
    assert all(set(one.labels) <= {0, 1} for one in found)


def test_another_name_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of faster-rcnn, .*; got 'fast-rcnn'; did you mean 'faster"):
        TorchvisionDetector("fast-rcnn", 2)
