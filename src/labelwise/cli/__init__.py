"""The command line: `labelwise COMMAND --help` says what each command takes."""

from labelwise.cli.main import app, main

__all__ = ["app", "main"]
