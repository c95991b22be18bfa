"""What is wrong with whole classes, columns, groups and annotators, as facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelwise.report.plain import clip, existing
from labelwise.runs import read_json

TITLES = {
    "pseudo_class": "Looks like another class",
    "new_class": "May hold a class of its own",
    "leak": "Gives the label away",
    "annotator": "Differs from the other annotators",
    "underperforming_group": "Predicted worse than the rest",
    "repeated": "Occurs more than once",
    "imbalance": "Uneven classes",
    "rare_class": "Rare class",
}
_FIELDS = ("kind", "task", "subject", "rows", "score", "why", "ids")
_NAME = 200
_WHY = 400


def data_issue_facts(path: Path) -> list[dict[str, Any]]:
    """The issues in `data_issues.json`, each with a title; what to look at first comes first, worst first in each kind.

    Raises `Missing` without the file, and `ValueError` if it is broken.
    """
    value = read_json(existing(path))
    if not isinstance(value, list) or not all(
        isinstance(each, Mapping) and set(_FIELDS) <= set(each) for each in value
    ):
        raise ValueError(f"{path.name} should hold a list of issues, each with {', '.join(_FIELDS)}")
    order = list(TITLES)
    issues = [
        {
            "kind": str(each["kind"]),
            "title": TITLES.get(each["kind"], str(each["kind"]).replace("_", " ").capitalize()),
            "task": clip(each["task"], _NAME),
            "subject": clip(each["subject"], _NAME),
            "rows": int(each["rows"]),
            "score": float(each["score"]),
            "why": clip(each["why"], _WHY),
            "ids": [clip(name, _NAME) for name in each["ids"]],
        }
        for each in value
    ]
    return sorted(
        issues,
        key=lambda issue: (order.index(issue["kind"]) if issue["kind"] in order else len(order), -issue["score"]),
    )
