"""Errors planted in the boxes of blood cells, and how many of them an audit of boxes finds.

A twentieth of the boxes each is given another class, moved by 20 to 40 % of its sides, or left out, and as many are put
anywhere. Detectors learn from these boxes, errors included, four folds of the training and validation pictures at
160 x 120 pixels. The form of the score of boxes around nothing was chosen on validation and test pictures with other
planted errors. The boxes as published lack some cells, so that a missing box that was not planted may be a true find,
and counts as a wrong one.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelwise.audit import Doubt, box_doubts
from labelwise.bench.harness import interval, kept, versions
from labelwise.labels import Boxes, BoxTable, data_path, read_boxes
from labelwise.labels.boxes import overlaps
from labelwise.methods.boxes.auditing import find_out_of_sample
from labelwise.progress import progress

KINDS = ("label", "missing_box", "misplaced_box", "spurious_box")
_SHARE = 0.05
_EPOCHS, _EPOCHS_FULL = 12, 24
_SEEDS, _SEEDS_FULL = 3, 5


class Planted(NamedTuple):
    """Boxes of one picture, the kind of error of each ("" for none), and corners [n, 4] of those that were left out."""

    boxes: Boxes
    kinds: list[str]
    missing: np.ndarray


def box_errors(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Plant errors of four kinds, find boxes out of sample, rank by `box_doubts`, and count what was right.

    Of as many boxes as have an error of a kind, the worst by its score are looked at; `chance` is the share among all.
    `full` trains 24 epochs in place of 12, and takes five seeds in place of three.
    """
    seeds = list(range(seed, seed + (_SEEDS_FULL if full else _SEEDS)))
    epochs = _EPOCHS_FULL if full else _EPOCHS
    table = read_boxes(data_path("bccd") / "bccd.npz")
    table = table.select(np.flatnonzero(np.asarray(table.split) != "test"))
    results = []
    with progress("box-errors", len(seeds), quiet) as advance:
        for one in seeds:
            file = Path(out) / f"{epochs}-epochs-{one}.json" if out is not None else None
            results.append(kept(file, lambda s=one: _run(table, epochs, s)))  # type: ignore[misc]
            advance()
    figures = {kind: {name: [one[kind][name] for one in results] for name in results[0][kind]} for kind in KINDS}
    return {
        "name": "box-errors",
        "about": "Planted errors in boxes of blood cells, found by detectors that had not seen the picture.",
        "data": {"pictures": len(table), "boxes": sum(len(boxes.labels) for boxes in table.boxes)},
        "seeds": seeds,
        "epochs": epochs,
        "figures": figures,
        "tables": [_table(figures)],
        "versions": versions(),
    }


def plant(given: Boxes, size: tuple[int, int], n_classes: int, generator: np.random.Generator) -> Planted:
    """Errors of the four kinds in the boxes of one picture of `size`, width and height."""
    n = len(given.labels)
    kinds = generator.choice(["", *KINDS[:3]], n, p=[1 - 3 * _SHARE, *[_SHARE] * 3])
    labels = np.where(kinds == "label", (given.labels + generator.integers(1, n_classes, n)) % n_classes, given.labels)
    sides = given.corners[:, 2:] - given.corners[:, :2]
    moved = sides * generator.choice([-1, 1], (n, 2)) * generator.uniform(0.2, 0.4, (n, 2))
    corners = given.corners + np.tile(moved, 2) * (kinds == "misplaced_box")[:, None]
    whole = np.tile(np.array(size, np.float32), 2)
    corners = np.clip(corners, 0, whole)
    left = kinds != "missing_box"
    extra = generator.poisson(_SHARE * n)
    spans = sides[generator.integers(0, n, extra)] if n else np.zeros((0, 2))
    low = generator.uniform(0, 1, (len(spans), 2)) * (np.array(size) - spans)
    return Planted(
        Boxes(
            np.vstack([corners[left], np.hstack([low, low + spans])]).astype(np.float32),
            np.concatenate([labels[left], generator.integers(0, n_classes, len(spans))]),
        ),
        [*kinds[left].tolist(), *["spurious_box"] * len(spans)],
        given.corners[~left],
    )


def counted(doubts: Sequence[Doubt], planted: Sequence[Planted]) -> dict[str, dict[str, float]]:
    """By kind how many were `planted`, the share `found` among as many of the worst, and the `chance` of one.

    Of missing boxes, chance is the share of hits among all found boxes that no given one explains.
    """
    counts = {}
    for kind in KINDS:
        ranked = [doubt for doubt in doubts if doubt.kind == kind]
        hits = np.array([_is_right(doubt, planted[doubt.picture]) for doubt in ranked])
        if kind == "missing_box":
            number, chance = sum(len(one.missing) for one in planted), float(hits.mean())
        else:
            number = sum(one.kinds.count(kind) for one in planted)
            chance = number / sum(len(one.kinds) for one in planted)
        counts[kind] = {"planted": number, "found": float(hits[:number].mean()), "chance": chance}
    return counts


def _is_right(doubt: Doubt, planted: Planted) -> bool:
    if doubt.kind != "missing_box":
        return planted.kinds[doubt.box] == doubt.kind
    assert doubt.corners is not None
    return bool(overlaps(doubt.corners[None], planted.missing).max(initial=0) >= 0.5)


def _run(table: BoxTable, epochs: int, seed: int) -> dict[str, dict[str, float]]:
    generator = np.random.default_rng(seed)
    sizes = table.sizes()
    planted = [plant(one, size, len(table.classes), generator) for one, size in zip(table.boxes, sizes, strict=True)]
    boxes = [one.boxes for one in planted]
    wrong = BoxTable(table.names, table.images, boxes, table.classes, table.split, table.source)
    found = find_out_of_sample(wrong, options={"epochs": epochs, "side": 160}, seed=seed)
    return counted(box_doubts(boxes, found, {}), planted)


def _table(figures: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for kind, measures in figures.items():
        found = interval(measures["found"])
        half = found["half_width"]
        rows.append(
            [
                kind,
                round(float(np.mean(measures["planted"]))),
                round(100 * found["mean"], 1),
                None if half is None else round(100 * half, 1),
                round(100 * float(np.mean(measures["chance"])), 1),
            ]
        )
    columns = ["error", "planted", "right among as many of the worst, %", "± 95 %", "by chance, %"]
    return {"title": "Errors planted in boxes of blood cells, found out of sample", "columns": columns, "rows": rows}
