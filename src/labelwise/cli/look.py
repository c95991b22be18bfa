"""Commands that show or hand out what is there: `report`, `export`, `methods`, `data`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from labelwise.cli import common

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `labelwise audit` or `labelwise fit`.")]


@common.guarded
def report(
    run: Run,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Build the report page of RUN again: one HTML file that opens offline.

    Example: `labelwise report runs/birds --out birds.html`
    """
    from labelwise import report as reports

    page = reports.write(run, out, seed=seed)
    if json:
        common.print_json({"run": str(run), "report": str(page)})
    elif not quiet:
        common.say(f"report  {page}")


@common.guarded
def evaluate_cleaning(
    run: Run,
    truth: Annotated[
        str, typer.Option("--truth", metavar="FILE", help="The true labels, in any form that `labelwise audit` reads.")
    ],
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="The label to judge, if the audit had several.")
    ] = None,
    id: common.Id = None,
    focus: Annotated[
        str | None, typer.Option("--focus", metavar="CLASS", help="A class to tell the hit rate of by itself.")
    ] = None,
    pseudo: Annotated[
        list[str] | None, typer.Option("--pseudo", metavar="CLASS", help="A class that should not exist; repeat it.")
    ] = None,
    absent_removed: Annotated[
        bool, typer.Option("--absent-removed", help="Rows that FILE lacks were removed by the expert, not left out.")
    ] = False,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Say how good the audit in RUN was, where an expert cleaned the labels: hit rates, precision, a table by class.

    Rows are joined by id; a row of FILE without a label was removed by the expert. With --out the result is written
    there as JSON. Example: `labelwise evaluate-cleaning runs/birds --truth birds-clean.csv --id photo`
    """
    from labelwise.audit import evaluate_cleaning as evaluate
    from labelwise.runs import write_json

    table = _truth(run, truth, label, id, quiet or json)
    found = evaluate(run, table, label, focus, pseudo or (), absent_removed)
    if out is not None:
        write_json(out, found)
    if json:
        common.print_json(found)
    elif not quiet:
        classes = found.pop("classes")
        common.table("cleaning", ("figure", "value"), [(k, "n/a" if v is None else v) for k, v in found.items()])
        if classes:
            common.table("by given class", list(classes[0]), [list(each.values()) for each in classes])


@common.guarded
def compare_models(
    run: Run,
    truth: Annotated[
        str, typer.Option("--truth", metavar="FILE", help="The true labels, in any form that `labelwise audit` reads.")
    ],
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="The label to compare by, if the audit had several.")
    ] = None,
    id: common.Id = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Say which model of the audit in RUN is best, and whether another would be if more, or fewer, labels were wrong.

    Rows are joined by id; a row of FILE without a label is left out. The result is kept in the run and drawn in its
    report; with --out it is also written there as JSON. Example: `labelwise compare-models runs/birds --truth
    birds-clean.csv --id photo`
    """
    from labelwise import report as reports
    from labelwise.audit import compare_models as compare
    from labelwise.runs import DESTABILISED, read_json, write_json

    found = compare(run, _truth(run, truth, label, id, quiet or json), label, seed)
    page = reports.write(run, seed=seed)
    kept = read_json(run / DESTABILISED)
    if out is not None:
        write_json(out, kept)
    if json:
        common.print_json(kept)
    elif not quiet:
        for title, frame in (("models", found.models), ("where two change places", found.crossings)):
            if frame.empty:
                common.say("no two models change places, whatever share of the labels is corrected\n")
            else:
                cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
                common.table(title, list(frame.columns), cells)
        common.say(f"share of corrected labels here: {found.share:.3f}\nreport  {page}")


def _truth(run: Path, file: str, label: str | None, id: str | None, quiet: bool) -> Any:
    """The table of true labels of the task that is meant, read as the audit read its source."""
    from labelwise import read
    from labelwise.runs import RunFolder

    config = RunFolder(run).config
    wanted = label or (config.get("labels") or [None])[0]
    return read(file, wanted or (), id=id or config.get("id"), parents={}, quiet=quiet)


@common.guarded
def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Say all about this one.")] = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """List the training methods, or say what one is for, what it needs, its options, its paper, and what it measured.

    Example: `labelwise methods dselect-k`
    """
    from labelwise import methods as known

    if name is None:
        listed = [{"name": each, "summary": known.summary(each)} for each in known.names()]
        if json:
            common.print_json({"methods": listed})
        elif not quiet:
            common.table("methods", ("name", "what it is"), [tuple(each.values()) for each in listed])
        return
    info = known.info(name)
    if json:
        common.print_json(info)
    elif not quiet:
        _show_method(info)


def _show_method(info: dict[str, Any]) -> None:
    from labelwise.bench import tables

    common.say(f"{info['name']}: {info['summary']}\n")
    for field in ("needs", "kinds", "paper", "card", "bench"):
        if told := info.get(field):
            common.say(f"{field:9} {', '.join(told) if isinstance(told, list) else told}")
    header = ("option", "type", "default", "meaning")
    common.table("options", header, [tuple(option.values()) for option in info["options"]])
    if info.get("measured"):
        common.say(f"measured by `labelwise bench {info['bench']}`: {info['measured']['about']}\n")
        for title, columns, rows in tables(info["measured"]):
            common.table(title, columns, rows)


data = typer.Typer(help="Data sets: those bundled, those at hand, those that can be fetched.", no_args_is_help=True)


@data.command("list")
@common.guarded
def data_list(
    out: common.Out = None, seed: common.Seed = 0, quiet: common.Quiet = False, json: common.Json = False
) -> None:
    """List the data sets by name: bundled, at hand (in LABELWISE_DATA or the cache), to be fetched.

    Example: `labelwise data list`
    """
    from labelwise.labels import known_data

    found = known_data()
    if json:
        common.print_json({"data": found})
    else:
        rows = [(each["name"], each["where"], each["about"]) for each in found]
        common.table("data sets", ("name", "where", "about"), rows)


@data.command("path")
@common.guarded
def data_path(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Print where the data set NAME is on this machine.

    Example: `labelwise audit $(labelwise data path frog-calls)/frogs_mfcc.csv.gz --label Species`
    """
    from labelwise.labels import data_path as find

    found = str(find(name))
    if json:
        common.print_json({"name": name, "path": found})
    else:
        common.say(found)


@data.command("fetch")
@common.guarded
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Fetch the public data set NAME into the cache (or to --out), show its terms, and print where it is.

    Example: `labelwise data fetch frog-calls`
    """
    from labelwise.labels import fetch_data

    path = fetch_data(name, out, quiet=quiet or json)
    if json:
        common.print_json({"name": name, "path": str(path)})
    else:
        common.say(str(path))
