"""From facts to one self-contained HTML page that opens offline."""

import base64
import hashlib
import json
import os
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import labelwise
from labelwise.report import charts, expert_charts
from labelwise.report.plain import attempt
from labelwise.report.summary import to_dict
from labelwise.runs import REPORT, RunFolder, write_text

SECTIONS = {
    "glance": "At a glance",
    "data": "What the data is",
    "findings": "What is wrong",
    "models": "How the models did",
    "experts": "Which experts each task chose",
    "notes": "How this was made",
}
FIRST_PAGE = 24  # findings that show without script, and on each page with it
TABLE_ROWS = 200  # rows of a table behind a chart


def write(run: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, seed: int = 0) -> Path:
    """Write the report of a run as one HTML file and return its path: `out`, else `report.html` in the run folder.

    The page needs no network: styles, script, charts, pictures and sounds are inside. `seed` is that of the bootstrap
    intervals that the page works out itself. Equal runs give equal bytes. Raises `ValueError` if `run` is not a run
    folder; a part whose file is missing or broken is named in the page instead of shown.
    """
    path = RunFolder(run) / REPORT if out is None else Path(out)
    write_text(path, render(to_dict(run, seed)))
    return path


def render(facts: dict[str, Any]) -> str:
    """The page that shows `facts`, as `to_dict` gives them."""
    environment = _environment()
    failed: list[dict[str, Any]] = []
    sections = {}
    for name in SECTIONS:
        template = environment.get_template(f"{name}.html.j2")
        reasons = failed + facts["not_shown"] if name == "notes" else []
        shown = attempt(failed, name, partial(template.render, facts=facts, not_shown=reasons))
        if shown is None:
            shown = f'<p class="note broken">Not shown: {Markup.escape(failed[-1]["why"])}</p>'
        if shown.strip():
            sections[name] = Markup(shown)
    style, script = (_source(environment, name) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(
        facts=facts,
        title=title(facts),
        sections=sections,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        embedded=_embedded(facts),
        version=labelwise.__version__,
    )


def title(facts: dict[str, Any]) -> str:
    """What the report is about: the name of the source, else that of the run."""
    source = (facts["data"] or {}).get("source")
    return (PurePath(source).name if source else None) or facts["run"]["name"]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("labelwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, figure=_figure, percent=_percent, decimal=_decimal)
    environment.globals.update(
        charts=charts, expert_charts=expert_charts, titles=SECTIONS, first_page=FIRST_PAGE, table_rows=TABLE_ROWS
    )
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy that allows our own style and script, embedded media, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )


def _embedded(facts: dict[str, Any]) -> Markup:
    """The facts without the single findings, as JSON that cannot end the script element that it stands in."""
    findings = facts["findings"]
    if findings is not None:
        facts = facts | {"findings": {key: value for key, value in findings.items() if key != "worst"}}
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _figure(value: float | None) -> str:
    """Four digits that count, or all before the point."""
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}\u202f%"


def _decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
