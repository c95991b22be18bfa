"""From verdicts on boxes to annotations."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from labelwise import runs
from labelwise.audit.boxes import PLACES
from labelwise.labels import BoxTable, read_boxes
from labelwise.labels.coco import annotation, as_spans
from labelwise.runs import RunFolder, read_json


def correct_boxes(
    folder: RunFolder, classes: Mapping[int, str], moved: Collection[int], removed: Collection[int]
) -> tuple[dict[str, Any], dict[str, int]]:
    """The annotations that were audited, as COCO json holds them, with these changes, and how many of each kind.

    Rows are those of `boxes.parquet`. `classes` names the class of a box, and of one that is probably missing so says
    that it is there; `moved` ones go to where the detector sees them, `removed` ones go, whatever else is said of them.
    All else stays as it was given, in its order and with its ids; new annotations come last, with ids of their own, as
    do classes that there were not. A box that moves has no `segmentation` any longer. The counts are called
    `relabelled`, `moved`, `added` and `removed`.

    Raises `ValueError` for a run that is no audit of boxes.
    """
    check_of_boxes(folder)
    document = read_json(folder / runs.ANNOTATIONS)
    places = {int(row): place for row, place in read_json(folder / PLACES).items()}
    images, annotations, categories = (document[name] for name in ("images", "annotations", "categories"))
    order = {each["id"]: at for at, each in enumerate(images)}
    given = [each for each in annotations if not each.get("iscrowd")]
    given.sort(key=lambda each: order[each["image_id"]])
    names = {each["id"]: str(each["name"]).strip() for each in categories}
    ids = {name: key for key, name in reversed(names.items())}  # of several classes of one name the first
    counts = dict.fromkeys(("relabelled", "moved", "added", "removed"), 0)
    first = _free(annotations)
    added: list[dict[str, Any]] = []
    for row, name in sorted(classes.items()):
        if row in removed or (row < len(given) and names[given[row]["category_id"]] == name):
            continue
        if name not in ids:
            ids[name] = _free(categories)
            categories.append({"id": ids[name], "name": name})
        if row < len(given):
            given[row]["category_id"] = ids[name]
            counts["relabelled"] += 1
        else:
            picture = images[places[row]["picture"]]["id"]
            added.append(annotation(first + len(added), picture, ids[name], _span(places[row])))
            counts["added"] += 1
    for row in sorted({*moved} - {*removed}):
        _, _, width, height = given[row]["bbox"] = _span(places[row])
        given[row]["area"] = round(width * height, 3)
        given[row].pop("segmentation", None)
        counts["moved"] += 1
    gone = {id(given[row]) for row in removed if row < len(given)}
    counts["removed"] = len(gone)
    document["annotations"] = [each for each in annotations if id(each) not in gone] + added
    return document, counts


def audited_boxes(folder: RunFolder) -> BoxTable:
    """The pictures and boxes that were audited, read from their source again.

    Raises `ValueError` for a run that is no audit of boxes or does not say of which source, and if that has changed
    since; `FileNotFoundError` if it is gone.
    """
    check_of_boxes(folder)
    data = folder.config.get("data")
    if data is None:
        raise ValueError(f"{folder.path} does not say where its pictures are; export its boxes as .json and read that")
    try:
        table = read_boxes(data["source"])
    except FileNotFoundError:
        raise FileNotFoundError(
            f"the audit in {folder.path} is of {data['source']!r}, which cannot be read again; put it back"
        ) from None
    if table.fingerprint() != data["fingerprint"]:
        raise ValueError(
            f"pictures or boxes in {data['source']!r} have changed since the audit in {folder.path}; audit again"
        )
    return table


def check_of_boxes(folder: RunFolder) -> None:
    """Raise `ValueError` unless the run is an audit of boxes."""
    if not (folder / runs.ANNOTATIONS).is_file():
        raise ValueError(
            f"{folder.path} is not a run of `labelwise audit --task boxes`, so it holds no boxes; its corrected "
            "labels are written as .parquet or .csv"
        )


def _free(entries: list[dict[str, Any]]) -> int:
    """A whole number above all ids of these that are numbers."""
    return 1 + max((int(each["id"]) for each in entries if isinstance(each.get("id"), int | float)), default=0)


def _span(place: Mapping[str, Any]) -> list[float]:
    return as_spans(np.array([place["corners"]], np.float32))[0]
