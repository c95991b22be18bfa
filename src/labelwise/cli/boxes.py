"""`--task boxes` of `labelwise fit`, `predict` and `audit`: pictures with boxes in place of a table with labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from labelwise.cli import common

TASK_HELP = "labels, or boxes: SOURCE is then a COCO .json, a folder of Pascal VOC or YOLO, or an .npz."
_FIGURES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_100")


def wanted(task: str, options: Mapping[str, Any]) -> bool:
    """Whether `--task boxes` was asked for; complains of options, by name, that mean nothing then."""
    if task not in ("labels", "boxes"):
        raise typer.BadParameter(f"must be labels or boxes; got {task!r}", param_hint="--task")
    given = [name for name, value in options.items() if value]
    if task == "boxes" and given:
        raise typer.BadParameter(f"{', '.join(given)} cannot be given with --task boxes")
    return task == "boxes"


def audited(source: str) -> bool:
    """Whether this is the folder of an audit of boxes."""
    from labelwise.runs import ANNOTATIONS, CONFIG

    return all((Path(source) / name).is_file() for name in (CONFIG, ANNOTATIONS))


def fit(
    source: str,
    method: str,
    detector: str,
    options: Mapping[str, Any],
    database: str | None,
    out: Path | None,
    seed: int,
    resume: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Train a detector and write its folder and report."""
    from labelwise import report
    from labelwise.labels import read_boxes
    from labelwise.methods.boxes import fit_boxes
    from labelwise.runs import CONFIG, METRICS, read_json

    if (Path(source) / CONFIG).is_file():
        from labelwise.review import corrected_boxes

        table = corrected_boxes(source, database)
    else:
        common.only_of_runs(database)
        table = read_boxes(source)
    folder = fit_boxes(table, method, detector, out, options=options, seed=seed, resume=resume, quiet=quiet or json)
    page = report.write(folder)
    measured = read_json(folder / METRICS)
    if json:
        common.print_json({"run": str(folder), "report": str(page), **measured})
    elif not quiet:
        _show(measured)
        common.say(f"model   {folder}\nreport  {page}")


def _show(measured: dict[str, Any]) -> None:
    rows = [("found", part, *(scores[name] for name in _FIGURES)) for part, scores in measured["boxes"].items()]
    teacher = measured.get("teacher") or {"boxes": {}}
    rows += [
        ("teacher (oracle)", part, *(scores[name] for name in _FIGURES)) for part, scores in teacher["boxes"].items()
    ]
    names = ("mAP", "at 0.50", "at 0.75", "small", "medium", "large", "recall")
    common.table(f"{measured['method']}, {measured['detector']}", ("boxes", "part", *names), rows)
    if measured.get("alphas"):
        tried = [(each["alpha"], each["map"]) for each in measured["alphas"]]
        common.table(f"alpha {measured['alpha']:g} was chosen", ("alpha", "mAP on validation"), tried)


def predict(run: Path, source: str, out: Path | None, quiet: bool, json: bool) -> None:
    """Write the boxes found in the pictures of SOURCE."""
    from labelwise.methods.boxes import read_pictures, write_found

    table = read_pictures(source)
    path = write_found(run, table, out or Path("predictions.json"))
    if json:
        common.print_json({"predictions": str(path), "pictures": len(table)})
    elif not quiet:
        common.say(f"{len(table)} pictures looked at: {path}")


def audit(
    source: str,
    detector: str,
    options: Mapping[str, Any],
    folds: int | None,
    out: Path | None,
    seed: int,
    quiet: bool,
    json: bool,
) -> None:
    """Find boxes that are probably wrong, and write a run folder with findings and a report."""
    from labelwise import report
    from labelwise.labels import read_boxes
    from labelwise.methods.boxes import FOLDS, audit_boxes
    from labelwise.runs import METRICS, read_json
    from labelwise.wording import title_of

    table = read_boxes(source)
    run = audit_boxes(table, detector, out, folds=folds or FOLDS, options=options, seed=seed, quiet=quiet or json)
    page = report.write(run)
    measured = read_json(run / METRICS)["audit"]
    if json:
        common.print_json({"run": str(run), "report": str(page), "audit": measured})
    elif not quiet:
        found = [(title_of(kind), count) for kind, count in measured["by_kind"].items()]
        common.table(repr(table), ("finding", "number"), found)
        common.say(f"run     {run}\nreport  {page}")
