import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import labelwise.audit
from labelwise.audit import relabel
from labelwise.functional import roi_mean

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def logits(batch: int = 4, classes: int = 6, height: int = 3, width: int = 5) -> Tensor:
    return torch.randn(batch, classes, height, width, generator=torch.Generator().manual_seed(0))


def stored(dense: Tensor, k: int) -> relabel.LabelMaps:
    values, ids = relabel.sparsify(dense, k)
    return relabel.LabelMaps(values, ids, dense.shape[1])


def some_boxes(n: int) -> Tensor:
    return relabel.random_boxes(n, 30, 50, torch.Generator().manual_seed(1))


def test_the_module_is_there_without_being_imported():
    assert labelwise.audit.__getattr__("relabel") is labelwise.audit.relabel is relabel
    with pytest.raises(AttributeError, match="no attribute 'relable'"):
        labelwise.audit.relable  # noqa: B018


def test_dense_logits_are_on_average_those_of_the_picture():
    features, head = torch.randn(3, 7, 4, 5), nn.Linear(7, 6)
    dense = relabel.dense_logits(features, head)
    torch.testing.assert_close(dense.mean((2, 3)), head(features.mean((2, 3))))
    torch.testing.assert_close(dense[:, :, 1, 2], head(features[:, :, 1, 2]))
    bare = nn.Linear(7, 6, bias=False)
    torch.testing.assert_close(relabel.dense_logits(features, bare)[:, :, 3, 0], bare(features[:, :, 3, 0]))


@pytest.mark.parametrize("k", [1, 3, 6])
def test_what_is_kept_is_the_largest_and_the_rest_is_zero(k):
    dense = logits()
    back = relabel.densify(*relabel.sparsify(dense, k), 6)
    kept = dense >= dense.topk(k, dim=1).values[:, -1:]
    torch.testing.assert_close(back, torch.where(kept, dense, torch.zeros(())), rtol=0, atol=0)
    assert (kept.sum(1) == k).all()


def test_all_classes_kept_lose_nothing():
    torch.testing.assert_close(relabel.densify(*relabel.sparsify(logits(), 6), 6), logits(), rtol=0, atol=0)


@pytest.mark.parametrize("k", [2, 6])
def test_pooling_stored_maps_is_pooling_dense_ones(k):
    maps, rows, boxes = stored(logits(), k), torch.tensor([2, 0, 2, 3, 1]), some_boxes(5)
    dense = relabel.densify(maps.values, maps.ids, 6)
    torch.testing.assert_close(maps.pool(rows, boxes), roi_mean(dense[rows], boxes))
    targets = maps.targets(rows, boxes)
    torch.testing.assert_close(targets, roi_mean(dense[rows], boxes).softmax(-1))
    torch.testing.assert_close(targets.sum(1), torch.ones(5))


def test_the_whole_picture_has_the_label_that_the_annotator_gives_it():
    backbone, head = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 10)
    pictures = torch.randn(7, 3, 15, 11)
    maps = relabel.build(backbone, head, pictures.split(3), k=10, quiet=True)
    assert len(maps) == 7
    expected = head(backbone(pictures).mean((2, 3))).softmax(-1)
    torch.testing.assert_close(maps.targets(torch.arange(7), WHOLE.expand(7, 4)), expected, rtol=0, atol=1e-3)


def test_building_leaves_the_annotator_as_it_was():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    maps = relabel.build(backbone, nn.Linear(4, 40_000), [torch.randn(2, 3, 5, 5)], k=2, quiet=True)
    assert backbone.training
    assert all((value == before[name]).all() for name, value in backbone.state_dict().items())
    assert (maps.values.dtype, maps.ids.dtype) == (torch.float16, torch.int32)
    assert not maps.values.requires_grad


def test_saved_maps_come_back(tmp_path):
    maps = stored(logits(), 3)
    maps.save(tmp_path / "maps.npz")
    again = relabel.LabelMaps.load(tmp_path / "maps.npz")
    torch.testing.assert_close((again.values, again.ids, again.classes), (maps.values, maps.ids, 6), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"values": np.zeros((1, 2, 3, 3)), "ids": np.zeros((1, 2, 3, 3), int)}, "holds no label maps"),
        ({"values": np.zeros((1, 2, 3, 3)), "ids": np.full((1, 2, 3, 3), 4), "classes": 4}, r"ids in \[0, 4\)"),
        ({"values": np.zeros((1, 2, 3, 3)), "ids": np.full((1, 2, 3, 3), -1), "classes": 4}, r"ids in \[0, 4\)"),
        ({"values": np.zeros((1, 2, 3)), "ids": np.zeros((1, 2, 3), int), "classes": 4}, r"values float64 \[1, 2, 3\]"),
        ({"values": np.array([None]), "ids": np.zeros(1, int), "classes": 4}, "holds no label maps"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, message):
    path = tmp_path / "odd.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        relabel.LabelMaps.load(path)


def test_boxes_in_pixels_are_refused():
    maps = relabel.LabelMaps(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int16), 2)
    with pytest.raises(ValueError, match=r"boxes must be shares of the picture, 0 to 1; got 0 to 24 \(divide pixels"):
        maps.targets(torch.tensor([0]), torch.tensor([[0, 0, 24.0, 24]]))


@pytest.mark.parametrize(("name", "range"), [("scale", (0.5, 2)), ("scale", (0.9, 0.1)), ("ratio", (0, 1))])
def test_unfit_crops_are_refused(name, range):
    with pytest.raises(ValueError, match=f"{name} must be least and largest, above 0"):
        relabel.random_boxes(1, 8, 8, torch.Generator(), **{name: range})


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_broken_files_are_refused(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.npz holds no label maps"):
        relabel.LabelMaps.load(path)


def test_random_boxes_have_the_sizes_asked_for():
    boxes = relabel.random_boxes(4000, 40, 20, torch.Generator().manual_seed(0), (0.1, 0.3), (0.5, 2))
    left, top, right, bottom = boxes.unbind(1)
    assert ((boxes >= 0) & (boxes <= 1)).all()
    area, shape = (right - left) * (bottom - top), (right - left) * 20 / ((bottom - top) * 40)
    assert area.min() > 0.1 - 1e-5
    assert area.max() < 0.3 + 1e-5
    assert area.mean().item() == pytest.approx(0.2, abs=0.01)
    assert 0.5 - 1e-4 < shape.min() < 0.52
    assert shape.max() < 2 + 1e-4
    assert ((left + right) / 2).mean().item() == pytest.approx(0.5, abs=0.02)


def test_crops_show_what_is_inside_their_box():
    pictures = torch.arange(2 * 6 * 8, dtype=torch.float32).reshape(2, 1, 6, 8)
    torch.testing.assert_close(relabel.crop(pictures, WHOLE.expand(2, 4), (6, 8)), pictures)
    part = torch.tensor([[2 / 8, 1 / 6, 5 / 8, 3 / 6], [3 / 8, 4 / 6, 1, 1]])
    first, second = (
        relabel.crop(pictures[i : i + 1], part[i : i + 1], size) for i, size in enumerate([(2, 3), (2, 5)])
    )
    torch.testing.assert_close(first[0, 0], pictures[0, 0, 1:3, 2:5])
    torch.testing.assert_close(second[0, 0], pictures[1, 0, 4:, 3:])


def test_a_crop_gets_the_labels_of_what_it_shows():
    """Scenes of 3 x 3 cells with two digits, one of them the label; an annotator that knows single digits."""
    pixels, digits = load_digits(return_X_y=True)
    pixels, generator = pixels.astype(np.float32) / 16, np.random.default_rng(0)
    patches, classes = np.concatenate([pixels[:900], np.zeros((300, 64))]), np.r_[digits[:900], np.full(300, 10)]
    taught = LogisticRegression(max_iter=200).fit(patches, classes)
    head = nn.Linear(64, 11)
    head.load_state_dict({"weight": torch.tensor(taught.coef_), "bias": torch.tensor(taught.intercept_)})

    n = 200
    scenes, truth = np.zeros((n, 3, 3, 8, 8), np.float32), np.full((n, 9), 10)
    for scene in range(n):
        cells, shown = generator.choice(9, 2, replace=False), generator.integers(900, len(digits), 2)
        truth[scene, cells] = digits[shown]
        scenes[scene, cells // 3, cells % 3] = pixels[shown].reshape(2, 8, 8)
    pictures = torch.from_numpy(scenes.transpose(0, 1, 3, 2, 4).reshape(n, 1, 24, 24))
    cut = nn.Conv2d(1, 64, 8, 8, bias=False)
    nn.init.dirac_(cut.weight.data.view(64, 64, 1))
    maps = relabel.build(cut, head, pictures.split(50), k=11, quiet=True)

    cell = np.argsort(truth, axis=1)[np.arange(n), generator.integers(0, 2, n)]  # of one of the two
    corner = torch.from_numpy(np.stack([cell % 3, cell // 3], 1) / 3)
    targets = maps.targets(torch.arange(n), torch.cat([corner, corner + 1 / 3], 1))
    assert (targets.argmax(1).numpy() == truth[np.arange(n), cell]).mean() > 0.85


def test_unfit_arguments_are_refused():
    with pytest.raises(ValueError, match=r"k must be in \[1, 6\]"):
        relabel.sparsify(logits(), 7)
    with pytest.raises(ValueError, match=r"features \[batch, 4, height, width\].*got \[2, 3\]"):
        relabel.build(nn.Flatten(), nn.Linear(4, 2), [torch.zeros(2, 3)], k=1, quiet=True)
    with pytest.raises(ValueError, match="at least one batch"):
        relabel.build(nn.Identity(), nn.Linear(4, 2), [], k=1, quiet=True)
