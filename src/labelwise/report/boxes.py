"""How well a detector found boxes, as facts: figures of COCO, precision by recall, pictures with both sorts."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.labels import Boxes
from labelwise.labels.boxes import overlaps
from labelwise.labels.coco import read_coco
from labelwise.metrics import precision_recall
from labelwise.report.plain import Missing, attempt, clip, existing, read_table
from labelwise.runs import FOUND, GIVEN, PICTURES, RunFolder

NAME = 120
OVERLAPS = (0.5, 0.75)
CURVES = 3  # classes with a curve of their own
BUDGET = 3_000_000  # characters of all pictures in one page
ALL = "all classes"

_EDGES = (0, 32**2, 96**2, np.inf)  # pixels of a small, a medium and a large box
_COLUMNS = ["name", "split", "image", "width", "height", "given_corners", "given_labels", "found_corners"]


def box_facts(run: RunFolder) -> dict[str, Any] | None:
    """What is known of a detector; None if the run is about something else.

    `{"scores", "alpha", "alphas", "sizes", "curves", "pictures", "classes", "not_shown"}`: COCO's figures by who found
    the boxes and by split, `oracle` where it was shown the right ones; the alphas tried; how many given boxes are
    small, medium and large, by split; precision at 101 recalls by overlap and class; pictures, those with most errors
    first. Parts whose file is missing or broken are None, and `not_shown` says why. Raises `Missing` if nothing was
    measured.
    """
    if run.config.get("task") != "boxes" or "labels" in run.config:  # an audit of boxes is one of a table
        return None
    metrics = run.metrics
    if not metrics.get("boxes"):
        raise Missing(f"the detector in {run.path.name} is not finished")
    classes = [str(name) for name in run.config["classes"]]
    not_shown: list[dict[str, Any]] = []
    measured = attempt(not_shown, "precision by recall", lambda: _curves(run, list(metrics["boxes"])[-1])) or {}
    return {
        "scores": list(_scores(metrics)),
        "teacher_note": (metrics.get("teacher") or {}).get("note"),
        "alpha": metrics.get("alpha"),
        "alphas": metrics.get("alphas"),
        "classes": classes,
        "sizes": measured.get("sizes"),
        "curves": measured.get("curves"),
        "pictures": attempt(not_shown, "pictures", lambda: _pictures(run / PICTURES, classes)),
        "not_shown": not_shown,
    }


def _scores(metrics: Mapping[str, Any]) -> Any:
    teacher = metrics.get("teacher") or {"boxes": {}}
    for who, parts, oracle in (("detector", metrics["boxes"], False), ("teacher", teacher["boxes"], True)):
        for split, figures in parts.items():
            yield {"who": who, "split": split, "oracle": oracle, "figures": dict(figures)}


def _curves(run: RunFolder, split: str) -> dict[str, Any]:
    """Curves of the most frequent classes and of the mean of all, and sizes of the given boxes, of one split."""
    given, classes, parts = read_coco(existing(run / GIVEN))
    found, _, _ = read_coco(existing(run / FOUND))
    rows = [row for row, part in enumerate(parts) if part == split]
    right, guessed = [given[row] for row in rows], [found[row] for row in rows]
    labels = np.concatenate([one.labels for one in right])
    counts = np.bincount(labels, minlength=len(classes))
    frequent = [classes[at] for at in np.argsort(-counts, kind="stable")[:CURVES] if counts[at]]
    curves = {}
    for overlap in OVERLAPS:
        by_class = precision_recall(right, guessed, classes, overlap)
        mean = {ALL: np.mean(list(by_class.values()), axis=0).round(4).tolist()} if len(by_class) > 1 else {}
        curves[f"{overlap:.2f}"] = mean | {name: np.round(by_class[name], 4).tolist() for name in frequent}
    areas = np.concatenate([(one.corners[:, 2:] - one.corners[:, :2]).prod(1) for one in right])
    sizes = dict(zip(("small", "medium", "large"), np.histogram(areas, _EDGES)[0].tolist(), strict=True))
    return {"curves": {"split": split, "by_overlap": curves}, "sizes": {"split": split, **sizes}}


def _pictures(path: Path, classes: list[str]) -> list[dict[str, Any]]:
    """Pictures, those with most errors first, while there is room."""
    frame = read_table(path, [*_COLUMNS, "found_labels", "found_scores"])
    shown = [_picture(row, classes) for row in frame.to_dict("records")]
    shown.sort(key=lambda one: -one["missed"] - one["extra"])
    room = np.cumsum([len(one["image"]) for one in shown]) <= BUDGET
    return [one for one, fits in zip(shown, room, strict=True) if fits]


def _picture(row: Mapping[Any, Any], classes: list[str]) -> dict[str, Any]:
    given, found = (
        Boxes(
            np.array([*map(np.asarray, row[f"{kind}_corners"])], np.float32).reshape(-1, 4),
            np.asarray(row[f"{kind}_labels"], np.int64),
        )
        for kind in ("given", "found")
    )
    alike = (overlaps(given.corners, found.corners) >= OVERLAPS[0]) & (given.labels[:, None] == found.labels)
    missed, extra = ~alike.any(1), ~alike.any(0)
    return {
        "name": clip(row["name"], NAME),
        "split": str(row["split"]),
        "width": int(row["width"]),
        "height": int(row["height"]),
        "image": f"data:image/webp;base64,{base64.b64encode(row['image']).decode('ascii')}",
        "missed": int(missed.sum()),
        "extra": int(extra.sum()),
        "given": _drawn(given, classes, missed, None),
        "found": _drawn(found, classes, extra, np.asarray(row["found_scores"], float)),
    }


def _drawn(boxes: Boxes, classes: list[str], alone: np.ndarray, scores: np.ndarray | None) -> list[dict[str, Any]]:
    """Boxes to be drawn; `alone`, those that have no counterpart on the other side."""
    return [
        {
            "x": round(float(x1), 1),
            "y": round(float(y1), 1),
            "width": round(float(x2 - x1), 1),
            "height": round(float(y2 - y1), 1),
            "class": clip(classes[label], NAME),
            "at": int(label),
            "alone": bool(alone[at]),
            "score": None if scores is None else round(float(scores[at]), 3),
        }
        for at, ((x1, y1, x2, y2), label) in enumerate(zip(boxes.corners, boxes.labels, strict=True))
    ]
