"""`labelwise bench`: methods side by side on real data."""

from typing import Annotated

import typer

from labelwise.cli import common


@common.guarded
def bench(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which comparison; lists them if left out.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the result as JSON beside the bench file.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The full size, where the default is a part.")] = False,
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Run a comparison: same data, same budget, same seeds; prints means with 95 % intervals and a paired test.

    Example: `labelwise bench frog-calls`
    """
    from labelwise import bench as benches

    if name is None:
        found = [{"name": each, "about": benches.about(each)} for each in benches.names()]
        if json:
            common.print_json({"bench": found})
        else:
            common.table("comparisons", ("name", "about"), [tuple(each.values()) for each in found])
        return
    result = benches.run(name, save=save, full=full, seed=seed, out=out, quiet=quiet or json)
    if json:
        common.print_json(result)
    elif not quiet:
        for title, columns, rows in benches.tables(result):
            common.table(title, columns, rows)
