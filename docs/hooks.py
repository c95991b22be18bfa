"""Fills into the pages what would go stale if it were typed: measured results, their charts, and examples."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from labelwise import bench
from labelwise.bench import gate_charts, noisy_charts
from labelwise.bench.harness import result_path
from labelwise.runs import read_json


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace lines of their own: `[measured: NAME]` by tables, `[drawn: NAME]` by a chart, `[example: FILE]` by code.

    Results are those that `labelwise bench NAME --save` keeps, charts those of `gate-settings` and
    `noisy`, files in `examples/`.
    """
    fill = {"measured": _tables, "drawn": _figure, "example": _example}
    return re.sub(
        rf"^\[({'|'.join(fill)}): (.+)\]$", lambda found: fill[found[1]](found[2]), markdown, flags=re.MULTILINE
    )


def _tables(name: str) -> str:
    return "\n\n".join(_table(*table) for table in bench.tables(read_json(result_path(name))))


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return f"**{title}**\n\n" + "\n".join("| " + " | ".join(map(_shown, line)) + " |" for line in lines)


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _figure(name: str) -> str:
    result = "noisy" if name.startswith("noisy-") else "gate-settings"
    return f"<figure>{_charts(result)[name]}</figure>"


def _example(name: str) -> str:
    code = (Path(__file__).parent.parent / "examples" / name).read_text(encoding="utf-8")
    return f"```python\n{code}```"


@cache
def _charts(result: str) -> dict[str, Any]:
    draw = {"noisy": noisy_charts.charts, "gate-settings": gate_charts.charts}[result]
    return draw(read_json(result_path(result)))
