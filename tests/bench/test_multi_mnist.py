import json

import numpy as np
import pytest
import torch

from labelwise import bench
from labelwise.bench import multi_mnist
from labelwise.bench.gated_tasks import size
from labelwise.bench.multi_mnist import CanvasBudget, draw, load, overlay

TINY = CanvasBudget(rows=40, judged=20, epochs=1, batch_size=20, learning_rate=5e-3, tuned_on=2, side=18)


def some_digits(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (n, 28, 28), generator=generator).to(torch.uint8)
    return images, torch.randint(10, (n,), generator=generator)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive in which each image has one value of its own in all its pixels, and a class that follows from it."""
    monkeypatch.setenv("LABELWISE_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    values = np.arange(1, 161, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None], (160, 28, 28))
    arrays = {
        "x_train": images[:120],
        "y_train": values[:120] % 10,
        "x_test": images[120:],
        "y_test": values[120:] % 10,
    }
    np.savez(tmp_path / "mnist" / "mnist.npz", **arrays)


def test_digits_lie_at_opposite_corners_and_add_up():
    images, classes = some_digits(50)
    canvases, pairs = overlay((images, classes), torch.Generator().manual_seed(1))
    assert canvases.shape == (100, 36, 36)
    assert (pairs[:, 0] == classes.repeat(2)).all()  # each image twice at the top left
    top_left = images.repeat(2, 1, 1).short()
    assert (canvases[:, :8, :28] == top_left[:, :8]).all()  # where the other one is not
    assert (canvases[:, :28, :8] == top_left[:, :, :8]).all()
    assert (canvases[:, :8, 28:] == 0).all()
    assert (canvases[:, 28:, :8] == 0).all()
    rest = canvases.clone()
    rest[:, :28, :28] -= top_left
    bottom_right = rest[:, 8:, 8:]
    partner = (bottom_right[:, None] == images).flatten(2).all(2)  # [canvas, image]
    assert (partner.sum(1) == 1).all()
    assert (pairs[:, 1] == classes[partner.long().argmax(1)]).all()
    assert canvases.max() > 255  # sums are not cut off


def test_partners_are_drawn_by_the_generator():
    digits = some_digits(300)
    one, again, other = (overlay(digits, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert (one[1][:, 1] != other[1][:, 1]).any()
    assert (one[1][:300, 1] != one[1][300:, 1]).any()  # another one for the second time


def test_parts_share_no_image(archive):
    drawn = draw(load(), TINY, torch.Generator().manual_seed(0))
    seen = {}
    for part, (canvases, classes) in drawn.items():
        rows = 40 if part == "train" else 20
        assert canvases.shape == (rows, 1, 18, 18)
        first, second = canvases[:, 0, 0, 0] * 255, canvases[:, 0, -1, -1] * 255  # each pixel there is of one image
        assert (first.round().long() % 10 == classes[:, 0]).all()
        assert (second.round().long() % 10 == classes[:, 1]).all()
        assert (torch.unique(first.round(), return_counts=True)[1] == 2).all()
        seen[part] = {*first.round().int().tolist(), *second.round().int().tolist()}
    assert max(seen["train"]) <= 100 < min(seen["validation"])
    assert max(seen["validation"]) <= 120 < min(seen["test"])


def test_too_few_images_are_refused():
    digits = some_digits(5)
    with pytest.raises(ValueError, match="train needs 20 images; there are 5"):
        draw({"train": digits}, TINY, torch.Generator())


def test_experts_and_heads_are_the_published_ones():
    convolutions = 10 * 25 + 10 + 20 * 10 * 25 + 20
    assert size(multi_mnist._bottom(36, 50)) == convolutions + 20 * 6 * 6 * 50 + 50 + 50 * 50 + 50
    assert size(multi_mnist._head(50)) == 2 * (50 * 50 + 50) + 50 * 10 + 10
    networks = multi_mnist._networks(2, 20, 10)
    ours, wide = (size(networks[method](None)) for method in ("dselect-k", "shared bottom, wide"))
    assert ours <= wide < 1.1 * ours


@pytest.fixture
def result(tmp_path):
    digits = {part: some_digits(40, seed) for seed, part in enumerate(("train", "validation", "test"))}
    return multi_mnist.run(digits, (2, 4), range(2), TINY, tmp_path, quiet=True)


def test_every_method_has_figures_for_both_tasks_and_each_k(result):
    assert json.loads(json.dumps(result, allow_nan=False))["seeds"] == [0, 1]
    methods = list(multi_mnist._networks(2, 20, 1))
    assert list(result["figures"]) == [
        "top-left, k = 2",
        "bottom-right, k = 2",
        "top-left, k = 4",
        "bottom-right, k = 4",
    ]
    assert all(list(by_method) == methods for by_method in result["figures"].values())
    ((_, columns, rows),) = bench.tables(result)
    assert len(rows) == 4 * len(methods)
    assert all(len(row) == len(columns) for row in rows)
    assert result["uses"]["top-left, k = 2"]["top-k"]["experts"] == [2, 2]
    assert result["uses"]["bottom-right, k = 4"]["top-k"]["experts"] == [4, 4]
    assert "single task" not in result["uses"]["top-left, k = 2"]
    assert result["budget"]["steps"] == 2


def test_a_network_learns_both_tasks():
    images = torch.zeros(400, 28, 28, dtype=torch.uint8)
    classes = torch.arange(400) % 2
    images[classes == 0, 8:20, 12:16] = 255  # a bar that stands, and one that lies
    images[classes == 1, 12:16, 8:20] = 255
    digits = dict.fromkeys(("train", "validation", "test"), (images, classes))
    budget = CanvasBudget(rows=800, judged=100, epochs=6, batch_size=32, learning_rate=5e-3, tuned_on=2, side=18)
    found = multi_mnist._fit(digits, 2, budget, "dselect-k", 0, 0.05)
    assert min(found["accuracy"].values()) > 0.9
    assert found["validation"] < 0.1


@pytest.mark.data
def test_the_real_digits_are_split_as_published(data):
    digits = load()
    assert {part: len(classes) for part, (_, classes) in digits.items()} == {
        "train": 50_000,
        "validation": 10_000,
        "test": 10_000,
    }
