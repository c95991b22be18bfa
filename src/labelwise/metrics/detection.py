"""How well boxes were found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelwise.labels.boxes import Boxes

_SUMMARY = (
    "map",
    "map_50",
    "map_75",
    "map_small",
    "map_medium",
    "map_large",
    "mar_1",
    "mar_10",
    "mar_100",
    "mar_small",
    "mar_medium",
    "mar_large",
)


def coco_map(
    given: Sequence[Boxes],
    found: Sequence[Boxes],
    classes: Sequence[str],
    score_min: float = 0.0,
    label_map: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Mean average precision and recall by the protocol of COCO, over pictures.

    Precision is averaged over 101 recalls, ten overlaps from 0.50 to 0.95 and the classes that have boxes, with at most
    100 found boxes a picture, the surest first. Needs the extra `vision`.

    Args:
        given: the right boxes of each picture.
        found: those of the detector, with scores, in the same order of pictures.
        classes: names of the classes, in the order of their indices.
        score_min: found boxes with a lower score are left out; above 0 this lowers the figures.
        label_map: a common class by class, for a detector that was trained on other classes than those given; classes
            that it does not name are left out on both sides.

    Returns:
        The twelve COCO figures in [0, 1], None where there is no box of that size: `map`, `map_50`, `map_75` (at these
        overlaps), `map_small`, `map_medium`, `map_large` (boxes of less than 32², 96² and more pixels), `mar_1`,
        `mar_10`, `mar_100` (mean recall with so many boxes a picture), `mar_small`, `mar_medium`, `mar_large`; and
        `by_class`, `map` by class.

    Raises `ValueError` for another number of pictures, found boxes without scores, a class out of range.
    """
    names, annotations, detections, pictures = _documents(given, found, classes, score_min, label_map)
    by_class: dict[str, float | None] = dict.fromkeys(names)
    if not annotations:
        return dict.fromkeys(_SUMMARY) | {"by_class": by_class}
    if not detections:
        seen = {entry["category_id"] for entry in annotations}
        held = _sizes_held(annotations)
        figures = {name: 0.0 if name.rpartition("_")[2] in held else None for name in _SUMMARY}
        return figures | {"by_class": {name: 0.0 if at in seen else None for at, name in enumerate(names)}}
    judge = _judge(names, annotations, detections, pictures)
    precision = judge.eval["precision"][:, :, :, 0, -1]  # overlap, recall, class; all sizes, 100 boxes
    for at, name in enumerate(names):
        by_class[name] = _figure(precision[:, :, at].mean())
    return dict(zip(_SUMMARY, map(_figure, judge.stats[: len(_SUMMARY)]), strict=True)) | {"by_class": by_class}


def precision_recall(
    given: Sequence[Boxes], found: Sequence[Boxes], classes: Sequence[str], overlap: float = 0.5
) -> dict[str, list[float]]:
    """Precision at recalls 0, 0.01, ..., 1 by class, 101 numbers in [0, 1] each, as `coco_map` averages them.

    `overlap` is one of 0.5, 0.55, ..., 0.95. Classes without a given box are left out. Needs the extra `vision`; raises
    as `coco_map` does, and for another overlap.
    """
    at = round((overlap - 0.5) / 0.05, 6)
    if at not in range(10):
        raise ValueError(f"overlap must be one of 0.5, 0.55, ..., 0.95; got {overlap}")
    names, annotations, detections, pictures = _documents(given, found, classes)
    present = sorted({entry["category_id"] for entry in annotations})
    if not detections:
        return {names[one]: [0.0] * 101 for one in present}
    precision = _judge(names, annotations, detections, pictures).eval["precision"][int(at), :, :, 0, -1]
    return {names[one]: precision[:, one].tolist() for one in present}


def _documents(
    given: Sequence[Boxes],
    found: Sequence[Boxes],
    classes: Sequence[str],
    score_min: float = 0.0,
    label_map: Mapping[str, str] | None = None,
) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]], int]:
    """Names of classes, given and found boxes as COCO writes them, and the number of pictures."""
    if len(given) != len(found):
        raise ValueError(f"given and found boxes must be of the same pictures; got {len(given)} and {len(found)}")
    names, codes = _common(classes, label_map)
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for picture, (right, guessed) in enumerate(zip(given, found, strict=True)):
        if guessed.scores is None:
            raise ValueError(f"found boxes need scores; those of picture {picture} have none")
        annotations += _entries(picture, right, codes, np.ones(len(right.labels)))
        sure = guessed.scores >= score_min
        kept = Boxes(guessed.corners[sure], guessed.labels[sure], guessed.scores[sure])
        detections += _entries(picture, kept, codes, guessed.scores[sure])
    for number, entry in enumerate(annotations, 1):
        entry |= {"id": number, "iscrowd": 0}
    return names, annotations, detections, len(given)


def _judge(
    names: Sequence[str], annotations: list[dict[str, Any]], detections: list[dict[str, Any]], pictures: int
) -> Any:
    """COCO's own evaluation, done; there must be given and found boxes."""
    from faster_coco_eval import COCO, COCOeval_faster

    categories = [{"id": at, "name": name} for at, name in enumerate(names)]
    images = [{"id": picture} for picture in range(pictures)]
    truth = COCO({"images": images, "annotations": annotations, "categories": categories})
    judge = COCOeval_faster(truth, truth.loadRes(detections), "bbox", print_function=lambda *_: None)
    judge.run()
    return judge


def _figure(value: float) -> float | None:
    return None if value < 0 else float(value)


def _common(classes: Sequence[str], label_map: Mapping[str, str] | None) -> tuple[list[str], np.ndarray]:
    """The classes that are compared, and by class the index among them, -1 where it is left out."""
    if label_map is None:
        return list(classes), np.arange(len(classes))
    names = list(dict.fromkeys(label_map.values()))
    return names, np.array([names.index(label_map[name]) if name in label_map else -1 for name in classes])


def _entries(picture: int, boxes: Boxes, codes: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """The boxes of one picture as COCO writes them."""
    wrong = (boxes.labels < 0) | (boxes.labels >= len(codes))
    if wrong.any():
        raise ValueError(f"classes must be in [0, {len(codes)}); got {boxes.labels[wrong][0]} in picture {picture}")
    corners = boxes.corners.astype(float)
    spans = corners[:, 2:] - corners[:, :2]
    areas = spans.prod(1)
    return [
        {"image_id": picture, "category_id": int(code), "bbox": box, "area": float(area), "score": float(score)}
        for code, box, area, score in zip(
            codes[boxes.labels], np.hstack([corners[:, :2], spans]).tolist(), areas, scores, strict=True
        )
        if code >= 0
    ]


def _sizes_held(annotations: Sequence[Mapping[str, Any]]) -> set[str]:
    """Ends of the names of figures that these boxes have."""
    areas = np.array([entry["area"] for entry in annotations])
    sizes = {"small": areas < 32**2, "medium": (areas >= 32**2) & (areas < 96**2), "large": areas >= 96**2}
    return {"map", "50", "75", "1", "10", "100"} | {name for name, inside in sizes.items() if inside.any()}
