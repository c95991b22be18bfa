"""Boxes as COCO json."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.labels.boxes import Boxes
from labelwise.runs import read_json, write_text


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


def read_coco(path: Path) -> tuple[list[Boxes], tuple[str, ...], list[str]]:
    """The boxes of each picture, the names of the classes, and the split of each picture, of what `write_coco` wrote.

    Raises `ValueError` if the file is broken.
    """
    document = read_json(path)
    try:
        classes = tuple(str(each["name"]) for each in document["categories"])
        split = [str(each.get("split", "")) for each in document["images"]]
        rows: list[list[tuple[list[float], int, float | None]]] = [[] for _ in split]
        for each in document["annotations"]:
            x, y, width, height = each["bbox"]
            corners = [x, y, x + width, y + height]
            rows[each["image_id"] - 1].append((corners, each["category_id"] - 1, each.get("score")))
    except (KeyError, IndexError, TypeError, ValueError):
        raise ValueError(f"{path.name} is not a COCO file as labelwise writes it") from None
    return [_boxes(own) for own in rows], classes, split


def _boxes(rows: list[tuple[list[float], int, float | None]]) -> Boxes:
    if not rows:
        return Boxes.none()._replace(scores=np.zeros(0, np.float32))
    corners, labels, scores = zip(*rows, strict=True)
    known = None if None in scores else np.array(scores, np.float32)
    return Boxes(np.array(corners, np.float32), np.array(labels, np.int64), known)
