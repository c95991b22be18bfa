"""The `labelwise` command and its list of commands."""

from typing import Annotated

import typer

from labelwise.cli import audit, bench, demo, exchange, fit, look, recommend, review, team

app = typer.Typer(
    name="labelwise",
    help="Learn well from the labels you really have: audit them, train in spite of them, show what was found.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        from labelwise import __version__

        print(f"labelwise {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


app.command("audit")(audit.audit)
app.command("fit")(fit.fit)
app.command("predict")(fit.predict)
app.command("review")(review.review)
app.command("report")(look.report)
app.command("export")(exchange.export)
app.command("import")(exchange.import_)
app.command("evaluate-cleaning")(look.evaluate_cleaning)
app.command("compare-models")(look.compare_models)
app.command("recommend")(recommend.recommend)
app.command("methods")(look.methods)
app.add_typer(look.data, name="data")
app.command("team")(team.team)
app.command("bench")(bench.bench)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line; the entry point of the package."""
    app()
