"""Fills the tables of measured results into the pages, from the files that `labelwise bench NAME --save` keeps."""

import re
from importlib.resources import files
from json import loads
from typing import Any

from labelwise import bench


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each line `[measured: NAME]` by the tables of that comparison."""
    return re.sub(r"^\[measured: (.+)\]$", lambda found: _tables(found[1]), markdown, flags=re.MULTILINE)


def _tables(name: str) -> str:
    result = loads(files("labelwise.bench").joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return "\n\n".join(_table(*table) for table in bench.tables(result))


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return f"**{title}**\n\n" + "\n".join("| " + " | ".join(map(_shown, line)) + " |" for line in lines)


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
