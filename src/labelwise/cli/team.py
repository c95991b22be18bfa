"""`labelwise team`: who may review."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelwise.cli import common


@common.guarded
def team(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The team file (YAML); made if there is none.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who logs in by this name.")],
    role: Annotated[
        str, typer.Option("--role", help="read-only, reviewer or admin (who decides conflicts and exports).")
    ] = "reviewer",
    out: common.Out = None,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Add a person to a team file, or change their role and password; asks for the password.

    A running review takes notice at once. To take somebody out, delete their lines. Where standard input is no
    terminal, the password is its first line. Example: `labelwise team team.yaml ada --role admin`
    """
    from labelwise.review.people import add_member

    add_member(file, name, role, _password(name))
    if json:
        common.print_json({"team": str(file), "name": name, "role": role})
    elif not quiet:
        common.say(f"{name} is {role} in {file}")


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("The same again: ") != password:
        raise ValueError("the two passwords differ; nothing was changed")
    return password
