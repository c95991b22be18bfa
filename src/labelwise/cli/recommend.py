"""`labelwise recommend`: which method to try first, and why."""

from pathlib import Path
from typing import Annotated

import typer

from labelwise.cli import common


@common.guarded
def recommend(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `labelwise audit`.")],
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="The task to go by; default: that with most errors.")
    ] = None,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Say which method for wrong labels to try first on an audited RUN, by `labelwise bench noisy`, and why.

    Example: `labelwise recommend runs/birds`
    """
    from labelwise.bench.recommending import recommend as recommended
    from labelwise.runs import write_json

    found = recommended(run, label)
    if out is not None:
        write_json(out, found)
    if json:
        common.print_json(found)
    elif not quiet:
        common.say(f"try {found['method']} first\n")
        for reason in found["why"]:
            common.say(f"- {reason}")
        common.say(f"\n{found['command']}")
