"""An audit of boxes from end to end: detectors on folds of the pictures, and what they make of the given boxes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelwise.audit.boxes import box_audit_roles, write_box_audit
from labelwise.labels import Boxes, BoxTable
from labelwise.labels.coco import read_coco, write_coco
from labelwise.methods.boxes.fitting import in_source, on_device, picture_size
from labelwise.methods.boxes.options import box_options, training_of
from labelwise.methods.privileged.detection import DetectorPlan, Scenes, detect, train_detector
from labelwise.methods.training import seeded
from labelwise.models.detectors import COMPACT, check_detector, named_detector
from labelwise.runs import ISSUES, RunFolder, short_hash

FOLDS = 4


def audit_boxes(
    table: BoxTable,
    detector: str = COMPACT,
    out: str | os.PathLike[str] | None = None,
    *,
    folds: int = FOLDS,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Find boxes that are probably missing, around nothing, badly placed or of another class; give the run folder.

    A detector is trained without each fold of the pictures (`options` are those of `Training`; it is not stopped
    early) and looks at that fold, see `audit.write_box_audit` for the folder. A call that was stopped goes on where it
    was; a finished folder of equal settings is given back at once.

    Raises `ValueError` for options, detectors or folders that do not fit, and if no picture has a box.
    """
    chosen = box_options("detection", options or {})
    check_detector(detector)
    if not sum(len(boxes.labels) for boxes in table.boxes):
        raise ValueError(f"the pictures of {table.source} have no box at all, so there is nothing to audit")
    settings: dict[str, Any] = {
        "task": "boxes",
        "detector": detector,
        "options": chosen,
        "seed": seed,
        "folds": folds,
        "data": {"source": table.source, "pictures": len(table), "fingerprint": table.fingerprint()},
    }
    source = Path(table.source)
    path = Path(out) if out is not None else Path("runs") / f"{source.stem or 'boxes'}-audit-{short_hash(settings)}"
    if source.exists():
        settings["data"]["source"] = str(source.absolute())  # so that the run can be used from any folder
    table.folds(folds, seed)  # before the folder is made, so that too few pictures leave none behind
    run = RunFolder.start(path, settings | box_audit_roles(path))
    if (run / ISSUES).is_file():
        return path
    found = find_out_of_sample(table, detector, folds=folds, options=options, seed=seed, store=run.path, quiet=quiet)
    write_box_audit(run, table, found, seed)
    for leftover in (*run.path.glob("fold-*"), *run.path.glob(".fold-*")):
        leftover.unlink(missing_ok=True)
    return path


def find_out_of_sample(
    table: BoxTable,
    detector: str = COMPACT,
    *,
    folds: int = FOLDS,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    store: Path | None = None,
    quiet: bool = True,
) -> list[Boxes]:
    """The boxes found in each picture by a detector that was trained without its fold, in pixels of the source.

    With `store`, a folder, each fold's boxes are kept there as `fold-K.json`, so that a call that was stopped goes on.
    Other arguments, and errors, are those of `audit_boxes`.
    """
    check_detector(detector)
    training = training_of(box_options("detection", options or {}))
    of_picture = table.folds(folds, seed)
    images, boxes = table.pixels(picture_size(table, training.pixels(detector)))
    scenes = Scenes(torch.from_numpy(images), boxes)
    found = [Boxes.none()] * len(table)
    for fold in np.unique(of_picture).tolist():
        rows = np.flatnonzero(of_picture == fold)
        own, others = scenes.select(rows), scenes.select(np.flatnonzero(of_picture != fold))
        plan = training.plan(detector, len(others.boxes))
        kept = None if store is None else store / f"fold-{fold}.json"
        seen = _fold(table.select(rows), others, own, detector, plan, seed, kept, quiet)
        for row, one in zip(rows.tolist(), seen, strict=True):
            found[row] = one
    return found


def _fold(
    table: BoxTable,
    others: Scenes,
    own: Scenes,
    detector: str,
    plan: DetectorPlan,
    seed: int,
    kept: Path | None,
    quiet: bool,
) -> list[Boxes]:
    """The boxes found in the pictures of a fold, `table` and `own`, by a detector of the others."""
    if kept is not None and kept.is_file():
        return read_coco(kept)[0]
    with seeded(seed):
        model = named_detector(detector, len(table.classes))
    checkpoint = None if kept is None else kept.with_name(f"{kept.stem}-checkpoint.safetensors")
    train_detector(model, others, plan, seed, checkpoint=checkpoint, quiet=quiet)
    size = (own.images.shape[2], own.images.shape[3])
    found = in_source(detect(on_device(model), own.images), table.sizes(), size)
    if kept is None:
        return found
    write_coco(kept, table.names, table.sizes(), found, table.classes)
    return read_coco(kept)[0]  # as a call that goes on would read them, so that both end with the same bytes
