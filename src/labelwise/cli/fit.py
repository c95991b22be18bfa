"""`labelwise fit` and `labelwise predict`: train on the labels there are, and use what was trained."""

from pathlib import Path
from typing import Annotated, Any

import typer

from labelwise.cli import boxes, common


@common.guarded
def fit(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE|RUN", help="What to learn from; a run folder means its corrected labels.")
    ],
    method: Annotated[
        str | None,
        typer.Option(help="How to learn; see `labelwise methods`. Default: dselect-k; of boxes detection, or lupi."),
    ] = None,
    task: Annotated[str, typer.Option("--task", help=boxes.TASK_HELP)] = "labels",
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of boxes: compact, rt-detr-v2, d-fine, yolos, a folder of transformers; faster-rcnn, fcos, "
            "retinanet, ssd300 or ssdlite320 of torchvision, with -untrained after it for random weights.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the method; repeatable.")
    ] = None,
    label: common.Label = None,
    group: common.Group = None,
    split: common.Split = None,
    id: common.Id = None,
    parent: common.Parent = None,
    privileged: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A feature that will be missing in use; for `lupi`; repeatable."),
    ] = None,
    second: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A feature of a second modality, with a network of its own; repeatable."),
    ] = None,
    text: common.Text = None,
    vision: common.Vision = None,
    database: common.ReviewDatabase = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was stopped; needs --out.")] = False,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Train a method on SOURCE, or on the corrected labels of an audited RUN, and write a folder with the model.

    Where RUN was reviewed, what people decided goes before what was found.

    Example: `labelwise fit birds.csv --label genus --label species --group slide --method dselect-k --set k=2`

    Example: `labelwise fit cells.json --task boxes --method lupi --set feature=map`
    """
    import labelwise
    from labelwise import methods, report
    from labelwise.runs import CONFIG, METRICS, read_json

    others = {
        "--label": label,
        "--group": group,
        "--split": split,
        "--id": id,
        "--parent": parent,
        "--text": text,
        "--privileged": privileged,
        "--second": second,
        "--vision": vision,
    }
    options = common.values(set_)
    if boxes.wanted("boxes" if boxes.audited(source) else task, others):
        method, detector = method or "detection", detector or "compact"
        boxes.fit(source, method, detector, options, database, out, seed, resume, quiet, json)
        return
    if detector:
        raise typer.BadParameter("--detector is for boxes; give --task boxes too")
    method = method or "dselect-k"
    audited = (Path(source) / CONFIG).is_file()
    if audited:
        if label or group or split or id or parent:
            raise typer.BadParameter("a run folder knows its labels and groups; give those options with a SOURCE only")
        table, name = _corrected(source, method, database, quiet or json)
        out = out or Path(source) / name
    else:
        common.only_of_runs(database)
        table = labelwise.read(source, label or (), group, split, id, common.parents(parent), quiet=quiet or json)
    folder = methods.fit(
        table,
        method,
        out,
        options=options,
        seed=seed,
        resume=resume,
        privileged=privileged or (),
        second=second or (),
        text=text,
        vision=vision,
        quiet=quiet or json,
    )
    page = report.write(source if audited else folder)
    measured = read_json(folder / METRICS)
    if json:
        common.print_json({"run": str(folder), "report": str(page), **measured})
    elif not quiet:
        _show(measured)
        common.say(f"model   {folder}\nreport  {page}")


def _corrected(run: str, method: str, database: str | None, quiet: bool) -> tuple[Any, str]:
    """The corrected labels of a run, and the name of the folder for what is learned from them.

    The name has the number of the last verdict, so that a fit after more of them does not collide with one before.
    """
    from labelwise import audit

    if not common.has_review(run, database):
        return audit.corrected(run, quiet=quiet), method
    from labelwise.review.exporting import apply_verdicts, reviewed

    review = reviewed(run, database)
    table = apply_verdicts(run, audit.examples(run, quiet=quiet), review)
    return table, f"{method}-verdict-{review.last}" if review.last else method


@common.guarded
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `labelwise fit`.")],
    source: common.Source,
    id: common.Id = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Write the label and the class probabilities of each task for every row of SOURCE, as Parquet.

    Of a RUN that learned boxes, write the boxes found in the pictures of SOURCE (also a plain folder), as COCO json.

    Example: `labelwise predict runs/birds new.csv --out predicted.parquet`
    """
    import labelwise
    from labelwise import methods
    from labelwise.runs import RunFolder

    if RunFolder(run).config.get("task") == "boxes":
        boxes.predict(run, source, out, quiet, json)
        return
    table = labelwise.read(source, id=id, quiet=quiet or json)
    path = methods.write_predictions(run, table, out or Path("predictions.parquet"), quiet=quiet or json)
    if json:
        common.print_json({"predictions": str(path), "rows": len(table)})
    elif not quiet:
        common.say(f"{len(table)} rows predicted: {path}")


def _show(measured: dict[str, Any]) -> None:
    rows = []
    for name, task in measured["tasks"].items():
        for part in ("validation", "test"):
            scores = task.get(part)
            if scores and "per_class" in scores:
                accuracy = scores["accuracy"]
                low, high = accuracy["low"], accuracy["high"]
                interval = None if low is None else f"{low:.3f} to {high:.3f}"
                f1 = scores["macro_f1"]["value"]
                rows.append((name, part, scores["n"], accuracy["value"], interval, f1, scores["calibration_error"]))
    columns = ("task", "part", "rows", "accuracy", "95 % interval", "macro F1", "calibration error")
    if rows:
        common.table(f"{measured['method']}", columns, rows)
    _show_others(measured)


def _show_others(measured: dict[str, Any]) -> None:
    """Scores of tasks that have not one class a row."""
    rows = []
    for name, task in measured["tasks"].items():
        for part in ("validation", "test"):
            scores = task.get(part, {})
            if "per_class" not in scores:
                for score, figures in scores.items():
                    if score != "n":
                        low, high = figures["low"], figures["high"]
                        interval = None if low is None else f"{low:.3f} to {high:.3f}"
                        rows.append((name, part, scores["n"], score.replace("_", " "), figures["value"], interval))
    if rows:
        common.table(f"{measured['method']}", ("task", "part", "rows", "score", "value", "95 % interval"), rows)
