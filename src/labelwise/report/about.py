"""What only people know of a data set: a small YAML file, checked, with what was left out shown as such."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from labelwise.labels import LabelTable
from labelwise.labels.kinds import KINDS
from labelwise.labels.nearest import nearest
from labelwise.report.plain import text

ABOUT = "about.yaml"
SEVERITIES = ("red", "amber", "grey")

# section -> field -> the question that it answers
QUESTIONS: dict[str, dict[str, str]] = {
    "badges": {
        "human_data": "Does it hold data of or about people?",
        "expert_review": "Did experts of the subject review it?",
        "ethical_review": "Did a board review its ethics?",
        "updates": "How often is it updated?",
        "upstream": "Which other data sets is it made from?",
    },
    "metadata": {
        "title": "What is it called?",
        "description": "What is in it?",
        "domain": "What field is it from?",
        "keywords": "Under which words should it be found?",
        "url": "Where is its home?",
        "version": "Which version is this?",
        "licence": "Under which licence?",
        "citation": "How is it to be cited?",
        "released": "When was it released?",
        "time_range": "Which time does it cover?",
    },
    "provenance": {
        "source": "Where do the data come from?",
        "authors": "Who made it?",
        "contact": "Whom can one ask?",
        "collection": "How were the examples collected?",
        "labelling": "Who labelled them, and by what instructions?",
        "consent": "Did the people in it agree?",
        "maintenance": "Who keeps it, and where are errors reported?",
        "history": "What changed between versions?",
    },
}
_LISTS = ("keywords", "authors", "upstream", "history")
_USE = ("use", "fit", "why")
_FITS = ("intended", "restricted", "unsafe")
_ALERT = ("what", "severity", "mitigation", "uses")
_VARIABLE = ("meaning", "kind", "unit")
_SECTIONS = (*QUESTIONS, "variables", "uses", "alerts", "reference")


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what people say of a data set, and check it; see `about_facts` for what comes of it.

    The file is YAML. `badges`, `metadata` and `provenance` answer the fields of `QUESTIONS`. `variables` gives each
    column its meaning, as text or as `{meaning, kind, unit}` (kinds: `labels.kinds.KINDS`). `uses` is a list of
    `{use, fit: intended | restricted | unsafe, why}`; `alerts` one of `{what, severity: red | amber | grey, mitigation,
    uses: [...]}`. `reference` lists columns that come from outside data that one trusts. All can be left out. Raises
    `ValueError`, with the name of the file and of the key and what would be right, for anything else.
    """
    path = Path(path)
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    try:
        return about_facts(value)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def about_facts(value: Any) -> dict[str, Any]:
    """What people say of a data set, whole: every field of `QUESTIONS` is there, None where it was not given.

    Besides them `variables` ({column: {"meaning", "kind", "unit"}}), `uses`, `alerts` and `reference` (lists), and
    `asked` and `answered`, the numbers of questions. `value` is the content of the YAML file; None gives all blank.
    """
    given = _mapping(value, "the file", _SECTIONS)
    facts: dict[str, Any] = {}
    for section, questions in QUESTIONS.items():
        answers = _mapping(given.get(section), section, questions)
        facts[section] = {
            field: _answer(answers.get(field), f"{section}.{field}", field in _LISTS) for field in questions
        }
    facts["variables"] = {
        text(name): _variable(told, f"variables.{name}")
        for name, told in _mapping(given.get("variables"), "variables").items()
    }
    facts["uses"] = [_use(each, f"uses[{at}]") for at, each in enumerate(_list(given.get("uses"), "uses"))]
    facts["alerts"] = [_alert(each, f"alerts[{at}]") for at, each in enumerate(_list(given.get("alerts"), "alerts"))]
    facts["reference"] = _answer(given.get("reference"), "reference", True) or []
    asked = [answer for section in QUESTIONS for answer in facts[section].values()]
    asked += [facts[section] or None for section in ("variables", "uses", "alerts")]
    return facts | {"asked": len(asked), "answered": sum(answer is not None for answer in asked)}


def kinds_of(facts: Mapping[str, Any], table: LabelTable) -> dict[str, str]:
    """The kinds of columns that people gave, by column.

    Raises `ValueError` if `variables` or `reference` name a column that the table does not have.
    """
    for section in ("variables", "reference"):
        for name in facts[section]:
            try:
                table.check_column(name)
            except ValueError as error:
                raise ValueError(f"{ABOUT}: {section} names no column: {error}") from None
    return {name: told["kind"] for name, told in facts["variables"].items() if told["kind"]}


def _mapping(value: Any, key: str, known: Any = None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} should hold `name: value` lines; got {value!r}")
    for name in value:
        if known is not None and name not in known:
            raise ValueError(
                f"{key} has no field {str(name)!r}{nearest(str(name), known)} (fields: {', '.join(known)})"
            )
    return dict(value)


def _list(value: Any, key: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{key} should be a list, one `- ` line each; got {value!r}")
    return value


def _answer(value: Any, key: str, many: bool = False) -> Any:
    """A text, yes or no, or with `many` a list of texts; None where nothing was given."""
    if value is None or value == "" or value == []:
        return None
    if many:
        each = value if isinstance(value, list) else [value]
        return [_text(one, f"{key}[{at}]") for at, one in enumerate(each)]
    return _text(value, key)


def _text(value: Any, key: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (Mapping, list)) or value is None:
        raise ValueError(f"{key} should be a text; got {value!r}")
    return text(value).strip()


def _choice(value: Any, key: str, choices: Any) -> str:
    if value not in choices:
        raise ValueError(f"{key} should be one of {', '.join(choices)}; got {value!r}{nearest(str(value), choices)}")
    return str(value)


def _required(given: dict[str, Any], key: str, field: str) -> str:
    if given.get(field) in (None, ""):
        raise ValueError(f"{key} needs a field {field!r}")
    return _text(given[field], f"{key}.{field}")


def _variable(told: Any, key: str) -> dict[str, str | None]:
    given = _mapping(told if isinstance(told, Mapping) else {"meaning": told}, key, _VARIABLE)
    kind = given.get("kind")
    return {
        "meaning": _answer(given.get("meaning"), f"{key}.meaning"),
        "kind": None if kind is None else _choice(kind, f"{key}.kind", KINDS),
        "unit": _answer(given.get("unit"), f"{key}.unit"),
    }


def _use(value: Any, key: str) -> dict[str, Any]:
    given = _mapping(value, key, _USE)
    return {
        "use": _required(given, key, "use"),
        "fit": _choice(given.get("fit", "intended"), f"{key}.fit", _FITS),
        "why": _answer(given.get("why"), f"{key}.why"),
    }


def _alert(value: Any, key: str) -> dict[str, Any]:
    given = _mapping(value, key, _ALERT)
    return {
        "what": _required(given, key, "what"),
        "severity": _choice(given.get("severity", "amber"), f"{key}.severity", SEVERITIES),
        "mitigation": _answer(given.get("mitigation"), f"{key}.mitigation"),
        "uses": _answer(given.get("uses"), f"{key}.uses", True) or [],
    }
