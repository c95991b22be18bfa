"""Fitting a detector: split, train, choose, measure, and keep all of it in a folder."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import save_file

from labelwise.labels import Boxes, BoxTable
from labelwise.labels.coco import write_coco
from labelwise.methods.boxes.options import Teaching, box_options, teaching_of, training_of
from labelwise.methods.boxes.pictures import write_pictures
from labelwise.methods.checkpoint import load_tree, save_tree
from labelwise.methods.privileged.detection import (
    DetectorPlan,
    Feature,
    Oracle,
    Scenes,
    detect,
    train_detector,
    train_oracle,
    untrained_teacher,
)
from labelwise.methods.training import seeded
from labelwise.metrics import coco_map
from labelwise.models.detectors import COMPACT, Detector, check_detector, named_detector
from labelwise.runs import FOUND, GIVEN, HISTORY, MODEL, PICTURES, RunFolder, short_hash, write_json, writing

ALPHAS = (0.0, 0.25, 0.5, 0.75)
"""What is tried where alpha is not set; 0 is the detector without a teacher."""

_ORACLE = "an oracle: it saw the right boxes of these pictures, which nobody has where the detector is used"


def fit_boxes(
    table: BoxTable,
    method: str = "detection",
    detector: str = COMPACT,
    out: str | os.PathLike[str] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    resume: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a detector on pictures with boxes and write a folder with it and what is known of it; give that folder.

    `method` is "detection", the detector's own loss, or "lupi", as the student of a teacher that sees the right boxes
    (see `Teaching`, `Training` for `options`); `detector` one that `named_detector` knows. Pictures are split by the
    table's own split or by `BoxTable.parts`. The weights of the lowest detection loss on the validation pictures are
    kept; without `alpha` each of `ALPHAS` is tried, and the one of the highest mAP on the validation pictures is kept.

    `out` holds then `config.yaml` (settings), `model.safetensors` (weights), `metrics.json` (the COCO figures on the
    validation and test pictures, the alphas tried, what the teacher does), `history.json` (one entry an epoch),
    `given.json` and `found.json` (the boxes of all pictures as COCO json, in pixels of the source), and
    `pictures.parquet` (what some held-out pictures look like). Without `out` a folder under `runs/` is named by the
    settings.

    A call that was stopped or killed goes on where it was when it is repeated, and ends with the same weights; a
    finished folder of equal settings is given back at once. With `resume=True` it is an error if nothing was begun.

    Raises `ValueError` for options, detectors, pictures or folders that do not fit, with the remedy, and `ImportError`
    without the extra `vision`, or the one that the detector needs.
    """
    if find_spec("faster_coco_eval") is None:  # told now, not after the training
        raise ImportError("boxes are measured with an extra: pip install 'labelwise[vision]'")
    chosen = box_options(method, options or {})
    check_detector(detector)
    training, teaching = training_of(chosen), teaching_of(chosen)
    size = picture_size(table, training.pixels(detector))
    config = {
        "task": "boxes",
        "method": method,
        "detector": detector,
        "options": chosen,
        "seed": seed,
        "classes": list(table.classes),
        "size": list(size),
        "data": {"source": table.source, "pictures": len(table), "fingerprint": table.fingerprint()},
    }
    stem = Path(table.source).stem or "boxes"
    out = Path(out) if out is not None else Path("runs") / f"{stem}-{method}-{short_hash(config)}"
    if RunFolder.is_fitted(out, config, resume):
        return out
    parts = table.parts(seed)
    scenes = _scenes(table, size, parts)
    with seeded(seed):
        start = named_detector(detector, len(table.classes))
    run = RunFolder.start(out, config)  # only now, so that wrong input or options leave no folder behind
    plan = training.plan(detector, int((parts == "train").sum()))
    work = _Work(run, table, scenes, parts, plan, seed, quiet)
    model, history = work.fit(start, teaching)

    found = work.find(model, "")
    write_json(run / HISTORY, history)
    sizes = table.sizes()
    for name, boxes in ((GIVEN, table.boxes), (FOUND, found)):
        write_coco(run / name, table.names, sizes, boxes, table.classes, parts.tolist())
    write_pictures(run / PICTURES, table, found, parts)
    run.add_metrics(
        method=method,
        detector=detector,
        boxes={part: work.score(part, found) for part in ("validation", "test") if (parts == part).any()},
        epochs=len(history),
        pictures={part: int((parts == part).sum()) for part in ("train", "validation", "test")},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        settings=model.settings(),
    )
    with writing(run / MODEL) as temporary:  # last: where it is, the folder is finished
        # Copies, because safetensors refuses tensors that share memory, as tied weights do.
        save_file({name: value.clone().contiguous() for name, value in model.state_dict().items()}, temporary)
    for pattern in ("stage-*", "checkpoint-*", ".stage-*", ".checkpoint-*"):  # with a dot, of writes that were killed
        for leftover in run.path.glob(pattern):
            leftover.unlink(missing_ok=True)
    return out


class _Work(NamedTuple):
    """What the trainings of one run share."""

    run: RunFolder
    table: BoxTable
    scenes: Mapping[str, Scenes]  # by part; those of "" are all
    parts: np.ndarray
    plan: DetectorPlan
    seed: int
    quiet: bool

    def fit(self, start: Detector, teaching: Teaching | None) -> tuple[Detector, list[dict[str, Any]]]:
        """The detector to keep, and its history."""
        if teaching is None:
            model = copy.deepcopy(start)
            return model, self._student(model, "student", None, 0.0, "pooled")
        teacher = untrained_teacher(start, len(self.table.classes), teaching.outline)
        alphas = ALPHAS if teaching.alpha is None else (teaching.alpha,)
        if any(alphas):
            self._stage("teacher", teacher.detector, lambda checkpoint: self._teach(teacher, checkpoint))
            self._measure_teacher(teacher)
        tried = []
        best: tuple[float, Detector, list[dict[str, Any]]] | None = None
        for alpha in alphas:
            model = copy.deepcopy(start)
            history = self._student(model, f"alpha-{alpha:g}", teacher if alpha else None, alpha, teaching.feature)
            if len(alphas) > 1:
                part = "validation"
                scores = self.score(part, self.find(model, part))
                tried.append({"alpha": alpha, **{name: scores[name] for name in ("map", "map_50", "map_75")}})
            reached = (tried[-1]["map"] or 0.0) if tried else 0.0
            if best is None or reached > best[0]:
                best = reached, model, history
                self.run.add_metrics(alpha=alpha)
        assert best is not None
        self.run.add_metrics(alphas=tried or None)
        return best[1:]

    def _student(
        self, model: Detector, name: str, teacher: Oracle | None, alpha: float, feature: str
    ) -> list[dict[str, Any]]:
        def learn(checkpoint: Path) -> list[dict[str, Any]]:
            return train_detector(
                model,
                self.scenes["train"],
                self.plan,
                self.seed,
                teacher=teacher,
                alpha=alpha,
                feature=cast(Feature, feature),
                validation=self.scenes["validation"],
                checkpoint=checkpoint,
                quiet=self.quiet,
            )

        return self._stage(name, model, learn)

    def _teach(self, teacher: Oracle, checkpoint: Path) -> list[dict[str, Any]]:
        return train_oracle(
            teacher,
            self.scenes["train"],
            self.plan,
            self.seed,
            validation=self.scenes["validation"],
            checkpoint=checkpoint,
            quiet=self.quiet,
        )

    def _stage(self, name: str, model: Detector, learn: Callable[[Path], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Train once: what is finished is read from the run folder, and what was stopped goes on."""
        kept = self.run / f"stage-{name}.safetensors"
        if kept.is_file():
            tree = load_tree(kept)
            model.load_state_dict(tree["weights"])
            history: list[dict[str, Any]] = tree["history"]
            return history
        history = learn(self.run / f"checkpoint-{name}.safetensors")
        save_tree(kept, {"weights": model.state_dict(), "history": history})
        return history

    def _measure_teacher(self, teacher: Oracle) -> None:
        scores = {}
        for part in ("validation", "test"):
            images, boxes = self.scenes[part]
            if len(boxes):
                seen = teacher.inputs(images.float() / 255, boxes)
                scores[part] = self.score(part, self._in_source(detect(teacher.detector, seen), part))
        self.run.add_metrics(teacher={"boxes": scores, "note": _ORACLE})

    def find(self, model: Detector, part: str) -> list[Boxes]:
        """The boxes found in the pictures of a part ("" for all), in pixels of the source."""
        return self._in_source(detect(on_device(model), self.scenes[part].images), part)

    def score(self, part: str, found: Sequence[Boxes]) -> dict[str, Any]:
        """The COCO figures of a part, given the boxes found in its pictures, or in all."""
        rows = np.flatnonzero(self.parts == part).tolist()
        own = found if len(found) == len(rows) else [found[row] for row in rows]
        return coco_map([self.table.boxes[row] for row in rows], own, self.table.classes)

    def _in_source(self, found: Sequence[Boxes], part: str) -> list[Boxes]:
        height, width = self.scenes[part].images.shape[2:]
        sizes = self.table.sizes()
        rows = np.flatnonzero(self.parts == part) if part else np.arange(len(self.table))
        return in_source(found, [sizes[row] for row in rows], (height, width))


def in_source(found: Sequence[Boxes], sizes: Sequence[tuple[int, int]], size: tuple[int, int]) -> list[Boxes]:
    """Boxes found in pictures of `size`, height and width, in pixels of pictures of `sizes`, width and height each."""
    return [one.scaled(w / size[1], h / size[0]) for one, (w, h) in zip(found, sizes, strict=True)]


def on_device(model: Detector) -> Detector:
    """The detector on the GPU, if there is one."""
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def picture_size(table: BoxTable, side: int) -> tuple[int, int]:
    """Height and width that all pictures are resized to: the longer side, the other by their typical shape."""
    ratio = float(np.median([width / height for width, height in table.sizes()]))
    other = max(32, round(side * min(ratio, 1 / ratio) / 32) * 32)
    return (other, side) if ratio >= 1 else (side, other)


def _scenes(table: BoxTable, size: tuple[int, int], parts: np.ndarray) -> dict[str, Scenes]:
    """Resized pictures by part, and all of them under ""."""
    images, boxes = table.pixels(size)
    everything = Scenes(torch.from_numpy(images), boxes)
    scenes = {part: everything.select(np.flatnonzero(parts == part)) for part in ("train", "validation", "test")}
    if not sum(len(one.labels) for one in scenes["train"].boxes):
        raise ValueError(
            f"the {len(scenes['train'].boxes)} training pictures of {table.source} have no box at all, so there is "
            "nothing to learn; are the annotations where they belong?"
        )
    return scenes | {"": everything}
