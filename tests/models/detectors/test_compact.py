import numpy as np
import pytest
import torch

from labelwise.labels import Boxes
from labelwise.models import feature_tap, with_extra_input_channels
from labelwise.models.detectors import CompactDetector


def made(n_classes=2, seed=0, **more):
    torch.manual_seed(seed)
    return CompactDetector(n_classes, width=8, **more)


def pictures(n=2, size=(24, 32)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0))


def targets():
    corners = np.array([[2, 3, 12, 13], [16, 8, 30, 22]], np.float32)
    return [Boxes(corners, np.array([0, 1])), Boxes.none()]


def test_a_channel_of_weight_zero_changes_no_bit_whatever_is_in_it():
    model = made()
    wider = with_extra_input_channels(model, 1, path=model.first)
    images = pictures()
    for extra in (torch.zeros(2, 1, 24, 32), 50 * torch.randn(2, 1, 24, 32)):
        for one, other in zip(wider(torch.cat([images, extra], 1)), model(images), strict=True):
            assert torch.equal(one, other)


def test_the_loss_reaches_every_weight_and_takes_empty_pictures():
    model = made()
    model.loss(pictures(), targets()).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    empty = made().loss(pictures(), [Boxes.none(), Boxes.none()])
    assert empty.isfinite()
    assert empty > 0


def test_neither_the_order_of_boxes_nor_that_of_pictures_counts():
    model, images = made(), pictures()
    full, none = targets()
    turned = Boxes(full.corners[::-1].copy(), full.labels[::-1].copy())
    loss = model.loss(images, [full, none])
    torch.testing.assert_close(model.loss(images, [turned, none]), loss)
    torch.testing.assert_close(model.loss(images.flip(0), [none, full]), loss)


def test_the_loss_is_least_for_the_right_answer():
    """A model that says what is right is not better off by saying anything else."""

    class Said(CompactDetector):
        def __init__(self, wrong):
            super().__init__(2)
            self.wrong = wrong

        def forward(self, images):
            goals, _, boxes = zip(*(self._goal(one, torch.zeros(2, 6, 8)) for one in targets()), strict=True)
            logits = torch.where(torch.stack(goals) == 1, 9.0, -9.0)
            return logits - self.wrong * logits, torch.stack(boxes) + 8 * self.wrong

    losses = [Said(wrong).loss(pictures(), targets()).item() for wrong in (0.0, 0.2, 0.6, 1.0)]
    assert losses[0] < 1e-3
    assert losses == sorted(losses)


def test_what_is_found_lies_in_the_picture_the_surest_first():
    model = made().eval()
    for found in model.predict(10 * pictures(3)):
        assert 0 < len(found.labels) <= 100
        assert (np.diff(found.scores) <= 0).all()
        assert ((found.corners >= 0) & (found.corners <= [32, 24, 32, 24])).all()
        assert (found.corners[:, :2] <= found.corners[:, 2:]).all()
        assert set(found.labels) <= {0, 1}


def test_boxes_are_learned():
    model, images = made(), pictures(2)
    images[0, :, 3:13, 2:12] += 2
    images[0, 0, 8:22, 16:30] -= 2
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(60):
        loss = model.loss(images, targets())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    first, second = model.eval().predict(images)
    sure = first.scores > 0.5
    order = first.labels[sure].argsort()
    assert first.labels[sure][order].tolist() == [0, 1]
    assert first.corners[sure][order] == pytest.approx(targets()[0].corners, abs=2)
    assert (second.scores < 0.5).all()


def test_the_tap_is_before_all_that_answers():
    model, images = made(), pictures()
    with feature_tap(model, model.tap) as tap:
        model(images)
    assert tap.features.shape == (2, 32, 3, 4)
    tap.features.sum().backward()
    answering = ("narrow", "join", "centres", "edges")
    assert {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is None} == set(answering)
