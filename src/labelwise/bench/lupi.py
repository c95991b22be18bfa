"""Blood cells found by a small detector, alone and as the student of one that sees the right boxes.

Pictures of 160 x 120 pixels. In each seed all detectors start from the same random weights, so that no gain comes from
other ones. The teacher is an oracle: its figures need the right boxes of the test pictures.
"""

import copy
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from labelwise.bench.harness import compare, kept, paired, versions
from labelwise.labels import data_path, read_boxes
from labelwise.methods.privileged.detection import DetectorPlan, Feature, Scenes, detect, train_detector, train_teacher
from labelwise.methods.training import seeded
from labelwise.metrics import coco_map
from labelwise.models.detectors import CompactDetector, Detector
from labelwise.progress import progress

_SIZE = (120, 160)  # height and width in pixels
_MEASURES = ("map", "map_50", "map_75")
_FEATURES: tuple[Feature, ...] = ("pooled", "map")
_ALPHAS = (0.25, 0.5, 0.75)  # beside 0, which is the baseline
_SEEDS = 3
_TIMED = 15  # times that a detector is run to tell how fast it is
_BASELINE, _TEACHER = "baseline", "teacher (oracle)"

Parts = Mapping[str, Scenes]


class _Setting(NamedTuple):
    """What is learned from: so many training pictures (None: all), of this half by brightness, for so many epochs."""

    epochs: int
    pictures: int | None = None
    half: str | None = None


# About equally many steps, chosen by the baseline's mAP on validation pictures (60 pictures, seeds 100 and 101):
# 36.1 and 29.8 after 24 epochs, 41.1 and 39.8 after 48, 44.9 and 45.9 after 96, 44.8 and 44.2 after 192.
_SETTINGS = {"60 pictures": _Setting(96, 60)}
_SETTINGS_FULL = _SETTINGS | {
    "all 205 pictures": _Setting(30),
    "the darker half, tested on the brighter": _Setting(43, half="dark"),
    "the brighter half, tested on the darker": _Setting(43, half="bright"),
}


def lupi(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Train baseline, teacher and students on 60 pictures of bccd, and measure mAP on the test pictures; three seeds.

    Students learn from averaged features ("pooled", as published) or position by position ("map"); alpha is chosen
    among 0 (the baseline itself), 0.25, 0.5 and 0.75 by mAP on the validation pictures. `full` also trains on all
    pictures, and on either half by brightness, tested on the other.
    """
    seeds = list(range(seed, seed + _SEEDS))
    settings = _SETTINGS_FULL if full else _SETTINGS
    official, classes = _pictures(data_path("bccd") / "bccd.npz")
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    with progress("lupi", len(settings) * len(seeds), quiet) as advance:
        for name, setting in settings.items():
            for one in seeds:
                file = Path(out) / f"{name.replace(' ', '-')}-{one}.json" if out is not None else None
                result = kept(file, lambda s=setting, n=one: _run(official, classes, s, n))  # type: ignore[misc]
                found.setdefault(name, []).append(result)
                for method, scores in result["scores"].items():
                    place = figures.setdefault(name, {}).setdefault(method, {})
                    for measure in _MEASURES:
                        place.setdefault(measure, []).append(100 * scores[measure])
                advance()
    return {
        "name": "lupi",
        "about": "Blood cells found by a small detector, alone and taught by one that sees the right boxes.",
        "data": {part: len(scenes.boxes) for part, scenes in official.items()},
        "seeds": seeds,
        "alphas": {name: [one["alphas"] for one in each] for name, each in found.items()},
        "by_alpha": {name: [one["by_alpha"] for one in each] for name, each in found.items()},
        "size": {name: [one["size"] for one in each] for name, each in found.items()},
        "figures": figures,
        "comparisons": compare(figures, _BASELINE),
        "tables": [
            *(_table(name, methods) for name, methods in figures.items()),
            _alpha_table(found),
            _size_table(found),
        ],
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


def _halves(parts: Parts, source: str) -> dict[str, Scenes]:
    """All pictures halved by their mean brightness: a quarter of the half `source` is for validation, the other tests.

    Which quarter is the same in every seed.
    """
    everything = Scenes(
        torch.cat([scenes.images for scenes in parts.values()]),
        [boxes for scenes in parts.values() for boxes in scenes.boxes],
    )
    order = everything.images.float().mean((1, 2, 3)).argsort(stable=True).numpy()
    halves = dict(zip(("dark", "bright"), np.array_split(order, 2), strict=True))
    own = np.random.default_rng(0).permutation(halves.pop(source))
    (other,) = halves.values()
    validation, train = np.split(own, [len(own) // 4])
    rows = {"train": train, "validation": validation, "test": np.sort(other)}
    return {part: everything.select(numbers) for part, numbers in rows.items()}


def _run(official: Parts, classes: Sequence[str], setting: _Setting, seed: int) -> dict[str, Any]:
    """One seed: scores on the test pictures by method, and by alpha of each student, of which one was chosen."""
    parts = _halves(official, setting.half) if setting.half else official
    train, validation, test = (parts[name] for name in ("train", "validation", "test"))
    shown = train.select(np.random.default_rng(seed).permutation(len(train.boxes))[: setting.pictures])
    plan = DetectorPlan(setting.epochs)
    with seeded(seed):
        start = CompactDetector(len(classes))

    def score(detector: Detector, scenes: Scenes) -> dict[str, Any]:
        return coco_map(scenes.boxes, detect(detector, scenes.images), classes)

    baseline = copy.deepcopy(start)
    train_detector(baseline, shown, plan, seed)
    teacher = train_teacher(start, shown, plan, len(classes), seed, outline=0)
    seen = detect(teacher.detector, teacher.inputs(test.images.float() / 255, test.boxes))
    scores = {_BASELINE: score(baseline, test), _TEACHER: coco_map(test.boxes, seen, classes)}
    chosen, by_alpha, student = {}, {}, baseline
    for feature in _FEATURES:
        students: dict[float, Detector] = {0.0: baseline}
        for alpha in _ALPHAS:
            student = copy.deepcopy(start)
            train_detector(student, shown, plan, seed, teacher=teacher, alpha=alpha, feature=feature)
            students[alpha] = student
        held = {alpha: score(one, validation)["map"] for alpha, one in students.items()}
        tested = {alpha: score(one, test) for alpha, one in students.items()}
        chosen[feature] = max(students, key=lambda alpha: held[alpha])
        scores[feature] = tested[chosen[feature]]
        by_alpha[feature] = {f"{alpha:g}": one["map"] for alpha, one in tested.items()}
    return {
        "scores": scores,
        "alphas": chosen,
        "by_alpha": by_alpha,
        "size": _compared(student, baseline, test.images[:8].float() / 255),
    }


def _compared(student: Detector, baseline: Detector, images: torch.Tensor) -> dict[str, float]:
    """How many times as many parameters and as much time a student takes; each is timed in turn, the best time of each
    counts."""
    sizes = [sum(parameter.numel() for parameter in one.parameters()) for one in (student, baseline)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_TIMED):
        for one, own in zip((student, baseline), times, strict=True):
            start = time.perf_counter()
            detect(one, images)
            own.append(time.perf_counter() - start)
    return {"parameters": sizes[0] / sizes[1], "time": min(times[0]) / min(times[1])}


def _table(setting: str, methods: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for method, measures in methods.items():
        versus = paired(measures["map"], methods[_BASELINE]["map"])
        means = [round(float(np.mean(measures[measure])), 1) for measure in _MEASURES]
        gain: list[Any] = [None, None, None]
        if method != _BASELINE:
            half = versus["half_width"]
            gain = [round(versus["difference"], 1), None if half is None else round(half, 1), versus["p"]]
        rows.append([method, *means, *gain])
    columns = ["detector", "mAP", "mAP at 0.50", "mAP at 0.75", "mAP over baseline", "± 95 %", "p"]
    return {"title": f"Test pictures, after {setting}", "columns": columns, "rows": rows}


def _alpha_table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for setting, results in found.items():
        for feature in _FEATURES:
            tested = [one["by_alpha"][feature] for one in results]
            means = [round(100 * float(np.mean([one[alpha] for one in tested])), 1) for alpha in tested[0]]
            rows.append([setting, feature, *means, ", ".join(f"{one['alphas'][feature]:g}" for one in results)])
    columns = ["learned from", "student", *(f"alpha {alpha:g}" for alpha in (0.0, *_ALPHAS)), "chosen by seed"]
    return {"title": "Mean mAP on the test pictures by alpha, 0 being the baseline", "columns": columns, "rows": rows}


def _size_table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    sizes = [one["size"] for results in found.values() for one in results]
    rows = [[name, round(float(np.median([one[name] for one in sizes])), 2)] for name in ("parameters", "time")]
    columns = ["in use", "student over baseline"]
    return {"title": "What a student costs, median of all runs", "columns": columns, "rows": rows}
