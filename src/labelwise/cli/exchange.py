"""`labelwise export` and `labelwise import`: labels out, verdicts in."""

from pathlib import Path
from typing import Annotated

import typer

from labelwise.cli import common

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `labelwise audit`.")]


@common.guarded
def export(
    run: Run,
    corrected: Annotated[
        Path,
        typer.Option(
            "--corrected",
            metavar="FILE",
            help="Where the corrected labels go (.parquet or .csv; of boxes also COCO .json).",
        ),
    ],
    diff: Annotated[
        Path | None,
        typer.Option("--diff", metavar="FILE", help="Where each changed label goes: given, corrected, who, when, why."),
    ] = None,
    only_verdicts: Annotated[
        bool, typer.Option("--only-verdicts", help="Leave labels that nobody decided as they were given.")
    ] = False,
    database: common.ReviewDatabase = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Write the labels of RUN with what people decided, else what was found, beside the given ones: one row an example.

    A .json has what people decided alone. Example: `labelwise export runs/birds --corrected birds-corrected.csv --diff
    changes.csv`
    """
    if diff or only_verdicts or corrected.suffix == ".json" or common.has_review(run, database):
        from labelwise.review.exporting import export as export_reviewed

        changed = export_reviewed(run, corrected, diff, database, only_verdicts)
    else:
        from labelwise.audit import export_corrected

        changed = export_corrected(run, corrected)
    if json:
        common.print_json({"corrected": str(corrected), "changed": changed})
    elif not quiet:
        columns = ("task", *next(iter(changed.values()), ()))
        common.table("labels changed", columns, [(k, *v.values()) for k, v in changed.items()])
        common.say(f"corrected labels  {corrected}")


@common.guarded
def import_(
    run: Run,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Verdicts: .csv, .json (Label Studio), .sqlite or the URL of another review."
        ),
    ],
    new_classes: Annotated[
        bool, typer.Option("--new-classes", help="Take classes that the task has not for new ones, not for slips.")
    ] = False,
    database: common.ReviewDatabase = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Bring verdicts from elsewhere into the review of RUN; the same ones twice change nothing.

    Example: `labelwise import runs/birds verdicts.csv`
    """
    from labelwise.review.importing import import_verdicts

    found = import_verdicts(run, source, database, new_classes=new_classes)
    if json:
        common.print_json({"imported": found._asdict()})
    elif not quiet:
        told = f"{found.new} verdicts imported; {found.known} were known"
        told += f", {found.older} are older than what the same person says now" * bool(found.older)
        told += f", {found.foreign} are about what this run has not" * bool(found.foreign)
        common.say(told)
