"""Boxes as COCO json."""

import json
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.labels.boxes import Boxes
from labelwise.runs import read_json, write_text

PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""What others call the splits."""

_LISTS = ("images", "annotations", "categories")


def write_coco(
    path: str | os.PathLike[str],
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Boxes],
    classes: Sequence[str],
    split: Sequence[str] | None = None,
) -> None:
    """Write boxes of pictures as COCO json, whole or not at all; see `to_coco`. `labels.read_boxes` reads it."""
    write_document(path, to_coco(names, sizes, boxes, classes, split))


def write_document(path: str | os.PathLike[str], document: Mapping[str, Any]) -> None:
    """Write what COCO json holds, whole or not at all."""
    write_text(path, json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def to_coco(
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[Boxes],
    classes: Sequence[str],
    split: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Boxes of pictures as COCO json holds them, in the order of the pictures; ids count from 1.

    `sizes` are width and height in pixels. Boxes that have scores carry them as `score`, as COCO's results do, and are
    rounded to thousandths of a pixel; `split` goes into the images.
    """
    images = [
        {"id": at, "file_name": name, "width": width, "height": height} | ({"split": split[at - 1]} if split else {})
        for at, (name, (width, height)) in enumerate(zip(names, sizes, strict=True), 1)
    ]
    annotations: list[dict[str, Any]] = []
    for picture, own in enumerate(boxes, 1):
        scores = [None] * len(own.labels) if own.scores is None else own.scores.tolist()
        spans = as_spans(own.corners, exact=own.scores is None)
        for span, label, score in zip(spans, own.labels.tolist(), scores, strict=True):
            annotations.append(
                annotation(len(annotations) + 1, picture, label + 1, span)
                | ({} if score is None else {"score": round(score, 6)})
            )
    categories = [{"id": at, "name": name} for at, name in enumerate(classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def annotation(key: int, picture: Any, category: Any, span: list[float]) -> dict[str, Any]:
    """A box as COCO has it: its id, those of its picture and class, and x, y, width and height."""
    area = round(span[2] * span[3], 3)
    return {"id": key, "image_id": picture, "category_id": category, "bbox": span, "area": area, "iscrowd": 0}


def as_spans(corners: np.ndarray, exact: bool = True) -> list[list[float]]:
    """x, y, width and height of corners, float32 [n, 4], in thousandths of a pixel.

    In more decimals where these would not give the same corners again and `exact` says that they must.
    """
    whole = np.asarray(corners, np.float64)
    spans = np.hstack([whole[:, :2], whole[:, 2:] - whole[:, :2]])
    short = spans.round(3)
    again = np.hstack([short[:, :2], short[:, :2] + short[:, 2:]]).astype(np.float32)
    same = (again == corners).all(1, keepdims=True) if exact else True
    return np.where(same, short, spans).tolist()


def from_coco(document: Any, where: str) -> tuple[list[str], list[Boxes], tuple[str, ...], list[str]]:
    """Names of the pictures, their boxes without those of crowds, classes by their ids, and splits.

    Classes of which some have text as ids are in the order of the file. `where` is the file. Raises `ValueError` that
    names it, the annotation and what is wrong.
    """
    parts: list[Any] = [document.get(name) if isinstance(document, dict) else None for name in _LISTS]
    if not all(isinstance(part, list) and all(isinstance(each, dict) for each in part) for part in parts):
        raise ValueError(f"{where} is no COCO file: it must hold {', '.join(_LISTS)}, each a list of objects")
    pictures, annotations, categories = parts
    try:
        if not any(isinstance(each["id"], str) for each in categories):
            categories = sorted(categories, key=lambda each: each["id"])
        codes = {each["id"]: at for at, each in enumerate(categories)}
        classes = tuple(str(each["name"]) for each in categories)
        names = {each["id"]: str(each["file_name"]) for each in pictures}
        split = {each["id"]: PARTS.get(str(each.get("split")), "") for each in pictures}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{where}: each image needs an id and a file_name, each category an id and a name ({error})"
        ) from None
    for what, entries, keys in (("images", pictures, names), ("categories", categories, codes)):
        if len(keys) < len(entries):
            twice, _ = Counter(each["id"] for each in entries).most_common(1)[0]
            raise ValueError(f"{where}: several {what} have the id {twice!r}; give each its own")
    rows: dict[Any, list[tuple[list[float], int]]] = {key: [] for key in names}
    for at, each in enumerate(annotations):
        place = f"{where}, annotation {each.get('id', at)}"
        for what, known in (("image", rows), ("category", codes)):
            key = each.get(f"{what}_id")
            if not isinstance(key, Hashable) or key not in known:
                raise ValueError(f"{place}: there is no {what} of id {key!r}")
        box = each.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(each, int | float) for each in box):
            raise ValueError(
                f"{place}, picture {names[each['image_id']]}: bbox must be [x, y, width, height]; got {box!r}"
            )
        if not each.get("iscrowd"):
            x, y, width, height = box
            rows[each["image_id"]].append(([x, y, x + width, y + height], codes[each["category_id"]]))
    return list(names.values()), [Boxes.of(own) for own in rows.values()], classes, list(split.values())


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
