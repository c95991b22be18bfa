"""`labelwise review`: mend labels in a web page."""

from pathlib import Path
from typing import Annotated

import typer

from labelwise.cli import common


@common.guarded
def review(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `labelwise audit`.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on; others than loopback need --team.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8321,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql+psycopg://user:password@host/name; default RUN/review.sqlite."),
    ] = None,
    team: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may log in (made by `labelwise team`).")
    ] = None,
    opinions: Annotated[
        int | None, typer.Option("--opinions", min=1, max=10, help="People who must agree on a label; default 1.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Labels without a finding to ask about, of each task.")
    ] = 50,
    migrate: Annotated[bool, typer.Option("--migrate", help="Bring an older database up to date, and stop.")] = False,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
) -> None:
    """Go through the findings of RUN in a web page, worst first, and say what is right; Ctrl-C stops it.

    Every verdict is kept in a database in RUN. Example: `labelwise review runs/birds`
    """
    from labelwise import review as reviews

    if migrate:
        before, after = reviews.migrate(run, database)
        if not quiet:
            common.say(f"schema {before or 'none'} -> {after}")
        return
    reviews.serve(
        run,
        host=host,
        port=port,
        database=database,
        team=team,
        opinions=opinions,
        sample=sample,
        seed=seed,
        browser=browser,
        quiet=quiet,
    )
