"""Fills measured results into the pages, from the files that `labelwise bench NAME --save` keeps."""

import re
from functools import cache
from typing import Any

from labelwise import bench
from labelwise.bench.gate_charts import charts
from labelwise.bench.harness import result_path
from labelwise.runs import read_json


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each line `[measured: NAME]` by the tables of that comparison, `[drawn: NAME]` by a chart of gates."""
    markdown = re.sub(r"^\[measured: (.+)\]$", lambda found: _tables(found[1]), markdown, flags=re.MULTILINE)
    return re.sub(r"^\[drawn: (.+)\]$", lambda found: _figure(found[1]), markdown, flags=re.MULTILINE)


def _tables(name: str) -> str:
    return "\n\n".join(_table(*table) for table in bench.tables(read_json(result_path(name))))


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return f"**{title}**\n\n" + "\n".join("| " + " | ".join(map(_shown, line)) + " |" for line in lines)


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _figure(name: str) -> str:
    return f"<figure>{_gate_charts()[name]}</figure>"


@cache
def _gate_charts() -> dict[str, Any]:
    return charts(read_json(result_path("gate-settings")))
