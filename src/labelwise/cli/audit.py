"""`labelwise audit`: find what is wrong with the labels of a source."""

from pathlib import Path
from typing import Annotated, Any

import typer

from labelwise.cli import boxes, common


@common.guarded
def audit(
    source: common.Source,
    label: common.Label = None,
    group: common.Group = None,
    split: common.Split = None,
    id: common.Id = None,
    parent: common.Parent = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Out-of-sample probabilities [n, classes] (.npy, .parquet); skips our models."
        ),
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Features [n, d] (.npy) to use in place of our encoders.")
    ] = None,
    margins: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="A folder of `labelwise fit` to the same rows; what it learned last is told."
        ),
    ] = None,
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Look at labels, ids and groups alone; run no model.")
    ] = False,
    annotator: Annotated[
        list[str] | None,
        typer.Option("--annotator", metavar="LABEL", help="A label that is one person's answer; name two or more."),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What only people know of the data (YAML), for the report; see docs/report.md."
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Folds of the cross-fitting; 10 if left out, of boxes 4.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Times the cross-fitting is repeated with other folds.")] = 1,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="METHOD", help="Cross-fit this training method too; see `labelwise methods`."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="NAME", help="Where models are fitted: local, or ray (extra: scale)."),
    ] = "local",
    text: common.Text = None,
    vision: common.Vision = None,
    task: Annotated[str, typer.Option("--task", help=boxes.TASK_HELP)] = "labels",
    detector: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of boxes: as for `labelwise fit`; default compact.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="Of boxes: an option of the detector.")
    ] = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Find what is probably wrong with the labels of SOURCE, and write a run folder with findings and a report.

    Example: `labelwise audit birds.csv --label genus --label species --group slide --out runs/birds`

    Example: `labelwise audit cells.json --task boxes`
    """
    import labelwise
    from labelwise import report
    from labelwise.audit import run_audit
    from labelwise.runs import RunFolder, write_text

    others = {
        "--label": label,
        "--group": group,
        "--split": split,
        "--id": id,
        "--parent": parent,
        "--probabilities": probabilities,
        "--embeddings": embeddings,
        "--margins": margins,
        "--labels-only": labels_only,
        "--annotator": annotator,
        "--about": about,
        "--model": model,
        "--text": text,
        "--vision": vision,
    }
    if boxes.wanted(task, others):
        boxes.audit(source, detector or "compact", common.values(set_), folds, out, seed, quiet, json)
        return
    if detector or set_:
        raise typer.BadParameter("--detector and --set are for boxes; give --task boxes too")
    if labels_only and (model or embeddings):
        raise typer.BadParameter("--labels-only looks at labels alone: leave --model and --embeddings out")
    if probabilities and model:
        raise typer.BadParameter("--probabilities take the place of models: leave --model out")
    links = common.parents(parent)
    told = report.read_about(about) if about is not None else None  # before minutes of work, so that errors come now
    table = labelwise.read(source, label or (), group, split, id, links, quiet=quiet or json)
    run = run_audit(
        table,
        run=out,
        models=_models(table, model),
        probabilities=probabilities,
        embeddings=embeddings,
        margins=margins,
        labels_only=labels_only,
        annotators=annotator or (),
        kinds=told and report.kinds_of(told, table),
        folds=folds or 10,
        repeats=repeats,
        engine=engine,
        text=text,
        vision=vision,
        seed=seed,
        quiet=quiet or json,
    ).run
    if about is not None:
        write_text(run / report.ABOUT, about.read_text(encoding="utf-8"))
    page = report.write(run)
    measured = RunFolder(run).metrics["audit"]
    facts = labelwise.labels.describe(table)
    if json:
        common.print_json({"run": str(run), "report": str(page), "audit": measured, "data": facts})
    elif not quiet:
        _show(measured, facts)
        common.say(f"run     {run}\nreport  {page}")


def _models(table: Any, names: list[str] | None) -> dict[str, Any] | None:
    if not names:
        return None
    from labelwise import Classifier, methods
    from labelwise.audit import default_models

    for name in names:
        methods.get(name)  # a wrong name is told now, not after minutes of other models

    return default_models() | {name: Classifier(method=name) for name in names}


def _show(measured: dict[str, Any], facts: dict[str, Any]) -> None:
    columns = ("task", "in", "classes", "labels", "missing", "imbalance", "rare", "flagged", "wrong")
    rows = [
        (
            task["name"],
            task["parent"],
            task["classes"] or None,
            task["labelled"],
            task["missing"],
            task.get("imbalance_factor"),  # of one class a row alone
            task.get("rare"),
            measured["tasks"].get(task["name"], {}).get("flagged"),
            measured["tasks"].get(task["name"], {}).get("estimated_error_rate"),
        )
        for task in facts["tasks"]
    ]
    common.table(f"{facts['source']}: {facts['rows']} rows", columns, rows)
    common.say("rare: classes of fewer than 10 rows; wrong: estimated share of wrong labels\n")
    if measured["by_kind"]:
        common.table("findings", ("kind", "number"), list(measured["by_kind"].items()))
    if measured.get("data_issues"):  # runs of older versions have none
        common.table("about classes, columns and groups", ("kind", "number"), list(measured["data_issues"].items()))
