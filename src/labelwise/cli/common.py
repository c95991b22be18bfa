"""What every command shares: `--out --seed --quiet --json`, errors on one line, results as a table or as JSON."""

import functools
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Out = Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Where the result goes.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw; the same seed, the same bytes.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no tables.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on standard output, alone.")]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A CSV or Parquet file, a folder of images (class/file.png), an .npz, a folder saved by Hugging Face "
        "datasets, label files in the Noisy Ostracods format, or a bundled name (digits, wine, iris, breast_cancer).",
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="COLUMN[=KIND]",
        help="A label column; repeat it for several tasks. KIND: real for numbers, multi for sets of classes, soft for "
        "distributions; else one class a row.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="Rows of one group (a patient, a recording) are never split."),
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="COLUMN", help="Column that says train, validation or test.")
]
Id = Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Column that identifies a row.")]
Parent = Annotated[
    list[str] | None,
    typer.Option(
        "--parent",
        metavar="CHILD=PARENT",
        help="Which label follows from which (species=genus); found by itself if left out; --parent none for none.",
    ),
]
Text = Annotated[
    str | None,
    typer.Option("--text", metavar="MODEL", help="Sentence encoder for text, by name or folder (extra: text)."),
]
Vision = Annotated[
    str | None,
    typer.Option("--vision", metavar="MODEL", help="Transformers model for images, by name or folder (extra: vision)."),
]

ReviewDatabase = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="Where the verdicts are, such as postgresql+psycopg://user:password@host/name; else in the run folder.",
    ),
]


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that a user can mend into one line and exit code 1, and show warnings as one line each."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        warnings.showwarning = _show_warning
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            _complain("stopped; the same command goes on where it was")
        except (ValueError, OSError, ImportError) as error:
            _complain(f"error: {error}")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            # Training cannot even begin then, since Lightning looks whether there is a torchvision.
            _complain(
                f"error: torchvision is not the one made for this torch ({error}); install both anew from one place"
            )
        raise typer.Exit(1)

    return run


def _complain(message: str) -> None:
    print(message, file=sys.stderr)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    # Only what is meant for users: libraries warn of their own affairs under other categories.
    if category is UserWarning:
        _complain(f"warning: {message}")


def has_review(run: str | Path, database: str | None) -> bool:
    """Whether there are verdicts on a run, in its folder or the database named."""
    from labelwise.runs import REVIEW

    return database is not None or (Path(run) / REVIEW).is_file()


def only_of_runs(database: str | None) -> None:
    """Complain of a review database where no run folder was given."""
    if database:
        raise typer.BadParameter("--database holds the verdicts on a run; give the run folder in place of SOURCE")


def parents(pairs: Sequence[str] | None) -> dict[str, str] | None:
    """`--parent child=parent` options as a mapping; None if the tree is to be found, empty for `none`."""
    if not pairs:
        return None
    if list(pairs) == ["none"]:
        return {}
    return settings(pairs, "--parent")


def settings(pairs: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} should be NAME=VALUE", param_hint=option)
    return dict(pair.split("=", 1) for pair in pairs)


def values(pairs: Sequence[str] | None) -> dict[str, Any]:
    """`--set NAME=VALUE` options with each value read as YAML: numbers, true/false, lists, words."""
    import yaml

    return {name: yaml.safe_load(value) for name, value in settings(pairs or [], "--set").items()}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers stand to the right, None is shown as a dash."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    looks: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
    drawn = Table(title=escape(title), title_justify="left", header_style="bold", **looks)
    for index, column in enumerate(columns):
        numeric = rows and all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        drawn.add_column(escape(column), justify="right" if numeric else "left")
    for row in rows:
        drawn.add_row(*(escape(_shown(value)) for value in row))
    Console().print(drawn)


def say(line: str) -> None:
    """Print a line as it is."""
    print(line)


def print_json(result: Any) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str))


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
