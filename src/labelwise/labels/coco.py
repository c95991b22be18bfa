"""Boxes as COCO json."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from labelwise.labels.boxes import Boxes
from labelwise.runs import write_text


def write_coco(
    path: str | os.PathLike[str],
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Boxes],
    classes: Sequence[str],
    split: Sequence[str] | None = None,
) -> None:
    """Write boxes of pictures as COCO json, in the order of the pictures, whole or not at all; ids count from 1.

    `sizes` are width and height in pixels. Boxes that have scores carry them as `score`, as COCO's results do; `split`
    goes into the images. `labelwise.labels.read_boxes` reads it.
    """
    images = [
        {"id": at, "file_name": name, "width": width, "height": height} | ({"split": split[at - 1]} if split else {})
        for at, (name, (width, height)) in enumerate(zip(names, sizes, strict=True), 1)
    ]
    annotations: list[dict[str, Any]] = []
    for picture, own in enumerate(boxes, 1):
        corners = np.asarray(own.corners, float)
        spans = corners[:, 2:] - corners[:, :2]
        rows = np.hstack([corners[:, :2], spans]).round(3).tolist()
        scores = [None] * len(rows) if own.scores is None else own.scores.tolist()
        for box, label, score in zip(rows, own.labels.tolist(), scores, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": round(box[2] * box[3], 3),
                    "iscrowd": 0,
                }
                | ({} if score is None else {"score": round(score, 6)})
            )
    categories = [{"id": at, "name": name} for at, name in enumerate(classes, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write_text(path, json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
