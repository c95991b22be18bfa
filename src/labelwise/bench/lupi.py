"""Blood cells found by a small detector, alone and as the student of one that sees the right boxes.

Pictures of 160 x 120 pixels, the official split. In each seed all detectors start from the same random weights, so that
no gain comes from other ones. The teacher is an oracle: its figures need the right boxes of the test pictures.
"""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelwise.bench.harness import compare, kept, paired, versions
from labelwise.labels import data_path, read_boxes
from labelwise.methods.privileged.detection import DetectorPlan, Feature, Scenes, detect, train_detector, train_teacher
from labelwise.methods.training import seeded
from labelwise.metrics import coco_map
from labelwise.models.detectors import CompactDetector
from labelwise.progress import progress

_SIZE = (120, 160)  # height and width in pixels
_MEASURES = ("map", "map_50", "map_75")
_SETTINGS: dict[str, tuple[int | None, int]] = {"60 pictures": (60, 24)}  # pictures and epochs
_SETTINGS_FULL = _SETTINGS | {"all 205 pictures": (None, 12)}
_ALPHAS, _ALPHAS_FULL = (0.5,), (0.25, 0.5, 0.75)
_SEEDS, _SEEDS_FULL = 3, 5


def lupi(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Train baseline, teacher and students on 60 pictures of bccd, and measure mAP on the test pictures.

    Students learn from averaged features ("pooled", as published) or position by position ("map"), with alpha 0.5;
    `full` tries 0.25, 0.5 and 0.75, chooses by mAP on the validation pictures, takes five seeds in place of three, and
    trains on all pictures too.
    """
    seeds = list(range(seed, seed + (_SEEDS_FULL if full else _SEEDS)))
    alphas = _ALPHAS_FULL if full else _ALPHAS
    settings = _SETTINGS_FULL if full else _SETTINGS
    parts, classes = _pictures(data_path("bccd") / "bccd.npz")
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    chosen: dict[str, dict[str, list[float]]] = {}
    with progress("lupi", len(settings) * len(seeds), quiet) as advance:
        for setting, (pictures, epochs) in settings.items():
            for one in seeds:
                file = (
                    Path(out) / f"{'full-' if full else ''}{setting.replace(' ', '-')}-{one}.json"
                    if out is not None
                    else None
                )
                plan = DetectorPlan(epochs=epochs)
                found = kept(
                    file,
                    lambda p=plan, n=pictures, s=one: _run(parts, classes, n, p, alphas, s),  # type: ignore[misc]
                )
                for method, scores in found["scores"].items():
                    place = figures.setdefault(setting, {}).setdefault(method, {})
                    for measure in _MEASURES:
                        place.setdefault(measure, []).append(100 * scores[measure])
                for method, alpha in found["alphas"].items():
                    chosen.setdefault(setting, {}).setdefault(method, []).append(alpha)
                advance()
    return {
        "name": "lupi",
        "about": "Blood cells found by a small detector, alone and taught by one that sees the right boxes.",
        "data": {part: len(scenes.boxes) for part, scenes in parts.items()},
        "seeds": seeds,
        "alphas": chosen,
        "figures": figures,
        "comparisons": compare(figures, "baseline"),
        "tables": [_table(setting, methods) for setting, methods in figures.items()],
        "versions": versions(),
    }


def _pictures(path: Path) -> tuple[dict[str, Scenes], tuple[str, ...]]:
    """Pictures and boxes by part, and the names of the classes."""
    table = read_boxes(path)
    parts = {}
    for part in ("train", "validation", "test"):
        images, boxes = table.select(table.rows(part)).pixels(_SIZE)
        parts[part] = Scenes(torch.from_numpy(images), boxes)
    return parts, table.classes


def _run(
    parts: dict[str, Scenes],
    classes: Sequence[str],
    pictures: int | None,
    plan: DetectorPlan,
    alphas: Sequence[float],
    seed: int,
) -> dict[str, Any]:
    """One seed: scores on the test pictures by method, and the alpha of each student."""
    train, validation, test = (parts[name] for name in ("train", "validation", "test"))
    rows = np.random.default_rng(seed).permutation(len(train.boxes))[:pictures]
    shown = train.select(rows)
    with seeded(seed):
        start = CompactDetector(len(classes))
    baseline = copy.deepcopy(start)
    train_detector(baseline, shown, plan, seed)
    teacher = train_teacher(start, shown, plan, len(classes), seed, outline=0)
    images = test.images.float() / 255
    scores = {
        "baseline": coco_map(test.boxes, detect(baseline, images), classes),
        "teacher (oracle)": coco_map(test.boxes, detect(teacher.detector, teacher.inputs(images, test.boxes)), classes),
    }
    best = {}
    features: tuple[Feature, ...] = ("pooled", "map")
    for feature in features:
        students = {}
        for alpha in alphas:
            students[alpha] = copy.deepcopy(start)
            train_detector(students[alpha], shown, plan, seed, teacher=teacher, alpha=alpha, feature=feature)
        best[feature] = alphas[0]
        if len(alphas) > 1:
            seen = validation.images.float() / 255
            held = {a: coco_map(validation.boxes, detect(one, seen), classes)["map"] for a, one in students.items()}
            best[feature] = max(alphas, key=lambda alpha: held[alpha])
        scores[feature] = coco_map(test.boxes, detect(students[best[feature]], images), classes)
    return {"scores": scores, "alphas": best}


def _table(setting: str, methods: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for method, measures in methods.items():
        versus = paired(measures["map"], methods["baseline"]["map"])
        means = [round(float(np.mean(measures[measure])), 1) for measure in _MEASURES]
        gain: list[Any] = [None, None, None]
        if method != "baseline":
            half = versus["half_width"]
            gain = [round(versus["difference"], 1), None if half is None else round(half, 1), versus["p"]]
        rows.append([method, *means, *gain])
    columns = ["detector", "mAP", "mAP at 0.50", "mAP at 0.75", "mAP over baseline", "± 95 %", "p"]
    return {"title": f"Test pictures, after {setting}", "columns": columns, "rows": rows}
