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
from labelwise.report import box_charts, charts, column_charts, expert_charts, model_charts
from labelwise.report.about import QUESTIONS
from labelwise.report.croissant import to_croissant
from labelwise.report.data_card import md, tidy
from labelwise.report.modules import MODULES
from labelwise.report.plain import attempt
from labelwise.report.summary import to_dict
from labelwise.runs import REPORT, RunFolder, write_json, write_text
from labelwise.wording import SIGNS

DATA_CARD = "data-card.md"
CROISSANT = "croissant.json"

SECTIONS = (
    "glance",
    "uses",
    "findings",
    "data",
    "columns",
    "associations",
    "unusual",
    "reference",
    "models",
    "experts",
    "metadata",
    "provenance",
    "variables",
    "notes",
)
CARD = ("glance", "uses", "columns", "associations", "unusual", "reference", "metadata", "provenance", "variables")
FIRST_PAGE = 24  # findings that show without script, and on each page with it
CLAUSE = "; "  # between the clauses of a reason
TABLE_ROWS = 200  # rows of a table behind a chart


def write(run: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, seed: int = 0) -> Path:
    """Write the report of a run as one HTML file and return its path: `out`, else `report.html` in the run folder.

    The page needs no network: styles, script, charts, pictures and sounds are inside. In the run folder `data-card.md`
    and `croissant.json` are written too, which say the same in Markdown and as JSON-LD (`croissant.to_croissant`); with
    `out`, the page alone. `seed` is that of the bootstrap intervals that the page works out itself. Equal runs give
    equal bytes. Raises `ValueError` if `run` is not a run folder; a part whose file is missing or broken is named in
    the page instead of shown.
    """
    folder = RunFolder(run)
    facts = to_dict(run, seed)
    if out is not None:
        write_text(out, render(facts))
        return Path(out)
    description = attempt(facts["not_shown"], CROISSANT, lambda: to_croissant(facts, title(facts)))
    if description is not None:
        write_json(folder / CROISSANT, description)
    write_text(folder / DATA_CARD, render_data_card(facts))
    write_text(folder / REPORT, render(facts))
    return folder / REPORT


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
        listed=_listed(facts["findings"]),
        version=labelwise.__version__,
    )


def render_data_card(facts: dict[str, Any]) -> str:
    """The same facts in Markdown; of a part that cannot be shown, the reason."""
    template = _environment().get_template("data-card.md.j2")
    parts = [f"# {md(title(facts))}"]
    for name in CARD:
        failed: list[dict[str, Any]] = []
        shown = attempt(failed, name, partial(template.render, facts=facts, part=name))
        parts.append(f"## {MODULES[name].title}\n\nNot shown: {md(failed[0]['why'])}" if shown is None else shown)
    return tidy("\n\n".join([*parts, f"Made by labelwise {labelwise.__version__}."]))


def title(facts: dict[str, Any]) -> str:
    """What the report is about: the title that people gave, else the name of the source, else that of the run."""
    given = ((facts["about"] or {}).get("metadata") or {}).get("title")
    source = (facts["data"] or {}).get("source")
    return given or (PurePath(source).name if source else None) or facts["run"]["name"]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("labelwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, figure=_figure, percent=_percent, decimal=_decimal, md=md)
    environment.globals.update(
        box_charts=box_charts,
        charts=charts,
        column_charts=column_charts,
        expert_charts=expert_charts,
        model_charts=model_charts,
        modules=MODULES,
        questions=QUESTIONS,
        first_page=FIRST_PAGE,
        table_rows=TABLE_ROWS,
        signs=SIGNS,
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
    """The facts without the single findings and pictures."""
    findings = facts["findings"]
    if findings is not None:
        facts = facts | {"findings": {key: value for key, value in findings.items() if key != "worst"}}
    if facts["boxes"] is not None:
        facts = facts | {"boxes": {key: value for key, value in facts["boxes"].items() if key != "pictures"}}
    return _json(facts)


def _listed(findings: dict[str, Any] | None) -> Markup:
    """The single findings for the script, each a list of plain values, and each item once.

    What many of them say, also in a clause of a reason, is in `words` once, and each of them has its number there.
    """
    words: dict[str, int] = {}

    def number(text: str | None) -> int | None:
        return None if text is None else words.setdefault(text, len(words))

    items: list[dict[str, Any]] = []
    place: dict[int, int] = {}
    rows = []
    for finding in (findings or {}).get("worst", []):
        if finding["item"] is not None and finding["example"] not in place:
            place[finding["example"]] = len(items)
            items.append(finding["item"])
        fields = [number(finding[name]) for name in ("kind", "task", "given", "suggested")]
        why = [number(clause) for clause in (finding["why"] or "").split(CLAUSE)]
        rows.append([*fields, why, finding["id"], round(finding["score"], 5), place.get(finding["example"], -1)])
    return _json({"words": list(words), "rows": rows, "items": items})


def _json(value: Any) -> Markup:
    """The value as JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
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
