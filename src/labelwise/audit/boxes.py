"""Boxes that are probably wrong as findings: each box a row with its picture, so that report and review show them."""

import io
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from labelwise import runs
from labelwise.audit import findings
from labelwise.audit.box_doubts import Doubt, box_doubts
from labelwise.audit.findings import Finding
from labelwise.audit.items import worst_in_turn, write_items
from labelwise.audit.table_facts import write_labels, write_table_facts
from labelwise.labels import Boxes, BoxTable, LabelTable, read
from labelwise.labels.coco import from_coco, to_coco, write_document
from labelwise.runs import RunFolder, read_json, write_json, writing

TASK = "class"
GROUP = "picture"
ROWS = "boxes.parquet"
PLACES = "places.json"

_SIDE = 320  # pixels of the longer side of the picture of a box
_AROUND = 0.6  # of the size of a box, to each side
_GIVEN, _SUGGESTED = "#00e5d4", "#ff8c1a"
_NOTE = (
    "Pictures show the given box in blue-green and, where the detector sees the thing elsewhere or where no box is "
    "given, its box in orange. Found boxes are by detectors that had not seen the picture; where these are often "
    "wrong, read the findings from the top."
)


def write_box_audit(folder: RunFolder, table: BoxTable, found: Sequence[Boxes], seed: int = 0) -> None:
    """Write the findings about the boxes of a table into a run folder, as an audit of a table of boxes.

    `found` are the boxes of detectors that had not seen the picture, see `box_doubts`. Every given box is a row of
    `boxes.parquet` (`id`: picture#number, from 1; `picture`, `class`, corners, `image`, what it looks like), and after
    them every box that is probably missing, without a class (`id`: picture+place, the corners in whole pixels, so that
    a verdict on it is taken for one on another box in no other audit). The findings are about these rows; where the
    detector sees those that are badly placed or missing is in `places.json`, by row. `annotations.json` holds the given
    boxes as COCO json: the source itself, where it is that. The folder's configuration must name `boxes.parquet` as its
    source, see `box_audit_roles`.
    """
    found = [_inside(boxes, *size) for boxes, size in zip(found, table.sizes(), strict=True)]
    doubts = box_doubts(table.boxes, found)
    first = np.cumsum([0, *(len(boxes.labels) for boxes in table.boxes)])
    missing = [doubt for doubt in doubts if doubt.box < 0]
    # The place that people can take is the one to show; else the worst stays.
    by_box = {(doubt.picture, doubt.box): doubt for doubt in reversed(doubts) if doubt.box >= 0}
    by_box |= {(doubt.picture, doubt.box): doubt for doubt in doubts if doubt.kind == "misplaced_box"}
    _write_rows(folder / ROWS, table, by_box, missing)
    listed = read_rows(folder.path)
    write_table_facts(folder, listed, None, seed)
    write_labels(folder / runs.LABELS, listed)
    number = {id(doubt): int(first[-1]) + at for at, doubt in enumerate(missing)}
    rows = [number.get(id(doubt), int(first[doubt.picture] + doubt.box)) for doubt in doubts]
    drawn = {id(doubt) for doubt in (*by_box.values(), *missing)}
    frame = findings.as_frame(
        _finding(doubt, row, table, id(doubt) in drawn) for doubt, row in zip(doubts, rows, strict=True)
    )
    write_document(folder / runs.ANNOTATIONS, _document(table))
    write_json(folder / PLACES, _places(doubts, rows))
    write_items(folder / "items.parquet", listed, worst_in_turn(frame))
    write_json(folder / "notes.json", [_NOTE])
    write_json(folder / "data_issues.json", [])
    kinds = frame["kind"].value_counts().sort_index()
    folder.add_metrics(
        audit={
            "flagged": int(frame["example"].nunique()),
            "by_kind": {kind: int(count) for kind, count in kinds.items()},
            "tasks": {},
        }
    )
    findings.write(folder / runs.ISSUES, frame, listed.id_column)


def box_audit_roles(folder: Path) -> dict[str, object]:
    """What the configuration of an audit of boxes says, so that it can be opened again as one of a table."""
    return {
        "source": str((folder / ROWS).absolute()),
        "labels": [TASK],
        "group": GROUP,
        "split": None,
        "id": "id",
        "parents": {},
    }


def read_rows(folder: Path) -> LabelTable:
    """The rows of `boxes.parquet` as they are audited."""
    return read(folder / ROWS, TASK, group=GROUP, id="id", parents={}, quiet=True)


def _inside(boxes: Boxes, width: int, height: int) -> Boxes:
    """What of each box lies within the picture, without those of which nothing does; as a given box must be."""
    corners = boxes.corners.clip(0, np.array([width, height, width, height], np.float32))
    held = (corners[:, 2:] > corners[:, :2]).all(1)
    return Boxes(corners[held], boxes.labels[held], None if boxes.scores is None else boxes.scores[held])


def _document(table: BoxTable) -> dict[str, Any]:
    """The given boxes as COCO json holds them: the source itself, if it is that, so that ids and all else stay."""
    source = Path(table.source)
    if source.suffix == ".json" and source.is_file():
        with suppress(ValueError):  # a table that was made in Python may be called as it likes
            document = read_json(source)
            names, boxes, classes, _ = from_coco(document, table.source)
            pairs = zip(boxes, table.boxes, strict=False)
            same = all(np.array_equal(a.corners, b.corners) and np.array_equal(a.labels, b.labels) for a, b in pairs)
            if (names, classes) == ([*table.names], table.classes) and same:
                return document
    split = table.split if any(table.split) else None
    return to_coco(table.names, table.sizes(), table.boxes, table.classes, split)


def _places(doubts: Sequence[Doubt], rows: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Where the detector sees what is badly placed or missing, by row: the number of the picture, and the corners."""
    return {
        str(row): {"picture": doubt.picture, "corners": np.asarray(doubt.corners, float).tolist()}
        for doubt, row in zip(doubts, rows, strict=True)
        if doubt.kind in ("misplaced_box", "missing_box")
    }


def _finding(doubt: Doubt, row: int, table: BoxTable, drawn: bool) -> Finding:
    given = None if doubt.box < 0 else table.classes[table.boxes[doubt.picture].labels[doubt.box]]
    suggested = None if doubt.suggested is None else table.classes[doubt.suggested]
    at = "" if doubt.corners is None else _pixels(doubt) + " (orange)" * drawn
    why = {
        "label": f"the detector finds {suggested} here, at {at}",
        "spurious_box": f"the detector is far less sure of anything here than it is of other boxes of {given}",
        "misplaced_box": f"the detector finds {given} at {at} instead",
        "missing_box": f"the detector finds {suggested} at {at}, where no box is given",
    }[doubt.kind]
    return Finding(
        row,
        TASK,
        doubt.kind,
        float(min(1.0, doubt.score)),
        given,
        suggested if doubt.kind in ("label", "missing_box") else None,
        why,
    )


def _pixels(doubt: Doubt) -> str:
    """Where the detector sees the thing, x1 y1 x2 y2 in whole pixels."""
    return " ".join(f"{value:.0f}" for value in np.asarray(doubt.corners))


def _write_rows(path: Path, table: BoxTable, doubts: dict[tuple[int, int], Doubt], missing: Sequence[Doubt]) -> None:
    """Write all given boxes, and then those that are probably missing, with what they look like."""
    wanted: list[list[tuple[int, np.ndarray | None, np.ndarray | None]]] = [[] for _ in table.names]
    ids, pictures, classes, corners = [], [], [], []
    for picture, boxes in enumerate(table.boxes):
        for box, (own, label) in enumerate(zip(boxes.corners, boxes.labels, strict=True)):
            doubt = doubts.get((picture, box))
            ids.append(f"{table.names[picture]}#{box + 1}")
            pictures.append(picture)
            classes.append(table.classes[label])
            corners.append(own)
            wanted[picture].append((len(ids) - 1, own, None if doubt is None else doubt.corners))
    for doubt in missing:
        ids.append(f"{table.names[doubt.picture]}+{_pixels(doubt)}")
        pictures.append(doubt.picture)
        classes.append(None)
        corners.append(doubt.corners)
        wanted[doubt.picture].append((len(ids) - 1, None, doubt.corners))
    drawn: dict[int, bytes] = {}
    for content, looks in zip(table.images, wanted, strict=True):
        with Image.open(io.BytesIO(content)) as image:
            whole = image.convert("RGB")
        drawn |= {row: _look(whole, given, suggested) for row, given, suggested in looks}
    places = np.array(corners, np.float32).reshape(-1, 4)
    columns = {
        "id": pa.array(ids, pa.string()),
        GROUP: pa.array([table.names[picture] for picture in pictures], pa.string()),
        TASK: pa.array(classes, pa.string()),
        **{name: pa.array(places[:, at]) for at, name in enumerate(("x1", "y1", "x2", "y2"))},
        "image": pa.array([drawn[row] for row in range(len(ids))], pa.large_binary()),
    }
    with writing(path) as temporary:
        pq.write_table(pa.table(columns, metadata=_naming(table.classes)), temporary)


def _naming(classes: Sequence[str]) -> dict[str, str]:
    """What tells a reader all classes in their order, also those without boxes, as `datasets` writes it."""
    names = [*dict.fromkeys(name.strip() for name in classes)]
    return {"huggingface": json.dumps({"info": {"features": {TASK: {"names": names, "_type": "ClassLabel"}}}})}


def _look(whole: Image.Image, given: np.ndarray | None, suggested: np.ndarray | None) -> bytes:
    """A JPEG of a box and what is around it, with its outline, and that of where it should be."""
    boxes = [box for box in (given, suggested) if box is not None]
    low, high = np.min([box[:2] for box in boxes], 0), np.max([box[2:] for box in boxes], 0)
    around = np.maximum(_AROUND * (high - low), 8)
    left, top = np.floor(np.maximum(low - around, 0)).astype(int).tolist()
    right, bottom = np.ceil(np.minimum(high + around, whole.size)).astype(int).tolist()
    scale = _SIDE / max(right - left, bottom - top, 1)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    look = whole.crop((left, top, max(right, left + 1), max(bottom, top + 1))).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(look)
    for box, colour in ((suggested, _SUGGESTED), (given, _GIVEN)):
        if box is not None:
            x1, y1, x2, y2 = ((box - [left, top, left, top]) * scale).tolist()
            pen.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=3)
    buffer = io.BytesIO()
    look.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
