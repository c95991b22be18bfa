import io
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from labelwise.labels import Boxes, BoxTable
from labelwise.methods import training
from labelwise.models.detectors import CompactDetector

CLASSES = ("dark", "light")


def squares(n=20, size=(32, 64), seed=0, split=True):
    """Pictures with one dark and one light square each, and a last one without any."""
    generator = np.random.default_rng(seed)
    images, boxes = [], []
    for at in range(n):
        pixels = generator.normal(120, 10, (*size, 3))
        corners = []
        for shade, left in ((10, 0), (240, size[1] // 2)):
            side = int(generator.integers(9, 15))
            x, y = left + int(generator.integers(1, 15)), int(generator.integers(1, 15))
            corners.append([x, y, x + side, y + side])
            if at < n - 1:
                pixels[y : y + side, x : x + side] = shade
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
        images.append(buffer.getvalue())
        boxes.append(Boxes(np.array(corners, np.float32), np.array([0, 1])) if at < n - 1 else Boxes.none())
    parts = ["train"] * (n // 2) + ["validation"] * (n // 4)
    parts += ["test"] * (n - len(parts))
    names = [f"{at:02}.png" for at in range(n)]
    return BoxTable(names, images, boxes, CLASSES, parts if split else [""] * n, "squares.json")


def with_errors(table, nothing):
    """Squares with an error of each kind, in picture `nothing` a box around nothing; and what a sure detector finds."""
    found = [one._replace(scores=np.full(len(one.labels), 0.9, np.float32)) for one in table.boxes]
    given = [Boxes(one.corners.copy(), one.labels.copy()) for one in table.boxes]
    given[0].labels[0] = 1
    given[1].corners[1] += [-7, 0, -7, 0]
    given[2] = Boxes(given[2].corners[:1], given[2].labels[:1])
    given[nothing] = Boxes(np.array([[4, 4, 16, 16]], np.float32), np.array([0]))
    return given, found


@contextmanager
def stopped_at(call, monkeypatch):
    """Ctrl-C at a call of the detector's loss, which has to come; checkpoints are kept after every epoch before."""
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    original, calls = CompactDetector.loss, []

    def struck(self, images, targets):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(self, images, targets)

    with monkeypatch.context() as patch:
        patch.setattr(CompactDetector, "loss", struck)
        with pytest.raises(KeyboardInterrupt):
            yield
