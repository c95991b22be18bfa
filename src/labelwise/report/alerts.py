"""What to watch for, by fixed rules over the facts, each with its evidence and what to do."""

from collections.abc import Iterator
from typing import Any

from labelwise.report.about import SEVERITIES
from labelwise.report.plain import clip

ERRORS = 0.05  # estimated share of wrong labels, at the low end of its interval, that is red
SOME_ERRORS = 0.01
WEAK = 0.7  # accuracy of the models below which their errors may pass for those of the labels
MISSING = 0.05  # share of a column or task
SKEWNESS = 2.0
IMBALANCE = 100

_NAMES = 3


def alert_facts(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Alerts computed from the facts of a run and those that people wrote, the most severe first.

    Each is `{"id", "severity": red | amber | grey, "what", "section": where the evidence is, "mitigation", "uses": what
    it matters for, all if none is named}`.
    """
    alerts = [*_about_labels(facts), *_about_columns(facts)]
    for at, told in enumerate((facts["about"] or {}).get("alerts", [])):
        alerts.append({"id": f"told-{at + 1}", "section": "uses", **told})
    return sorted(alerts, key=lambda alert: SEVERITIES.index(alert["severity"]))


def _alert(name: str, severity: str, what: str, section: str, mitigation: str) -> dict[str, Any]:
    return {"id": name, "severity": severity, "what": what, "section": section, "mitigation": mitigation, "uses": []}


def _about_labels(facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for task, told in ((facts["metrics"].get("audit") or {}).get("tasks") or {}).items():
        rate, interval = told.get("estimated_error_rate"), told.get("estimated_error_interval")
        if rate is not None and rate >= SOME_ERRORS:
            accuracy = told.get("accuracy_out_of_sample", 1.0)
            sure = accuracy >= WEAK and (interval[0] if interval else rate) >= ERRORS
            severity = "red" if sure else "amber"
            what = f"About {100 * rate:.1f} % of the labels of {task} are probably wrong."
            if accuracy < WEAK:
                what += (
                    f" The models predict only {100 * accuracy:.0f} % of the labels, so this may tell of them instead."
                )
            yield _alert("label-errors", severity, what, "findings", "Look through the findings, and correct or drop.")
    kinds = {kind: told["examples"] for kind, told in ((facts["findings"] or {}).get("kinds") or {}).items()}
    if kinds.get("taxonomy"):
        what = f"{kinds['taxonomy']:,} rows have labels that contradict each other."
        yield _alert("contradictions", "red", what, "findings", "Correct one of the two labels.")
    twins = kinds.get("duplicate", 0) + kinds.get("near_duplicate", 0)
    if twins:
        what = f"{twins:,} rows equal, or almost equal, one with another label."
        yield _alert("duplicates-other-label", "amber", what, "findings", "Keep one of each, with the right label.")
    if kinds.get("unreadable"):
        what = f"{kinds['unreadable']:,} rows could not be read."
        yield _alert("unreadable", "amber", what, "findings", "Mend or drop them.")
    issues = facts["data_issues"] or []
    rules = {
        "leak": ("red", "Columns that predict the label by themselves", "Leave them out of what is learned from."),
        "repeated": ("amber", "Rows that occur more than once", "Drop the copies, or name what belongs together."),
        "pseudo_class": ("amber", "Classes that look like another", "Merge them, or say better what sets them apart."),
        "underperforming_group": (
            "amber",
            "Groups predicted worse than the rest",
            "Look at them; collect more of them.",
        ),
        "annotator": ("amber", "Annotators who differ from the others", "Ask them; weigh their answers less."),
        "new_class": ("grey", "Classes that may hold another", "Look whether they are two."),
        "rare_class": ("grey", "Classes of fewer than ten rows", "Collect more, merge or leave out."),
    }
    for kind, (severity, what, mitigation) in rules.items():
        found = [issue for issue in issues if issue["kind"] == kind]
        subjects = [f"{issue['rows']:,} rows" if kind == "repeated" else issue["subject"] for issue in found]
        if subjects:
            yield _alert(kind.replace("_", "-"), severity, f"{what}: {_named(subjects)}.", "data", mitigation)
    for task in (facts["data"] or {}).get("tasks", []):
        factor, missing, labelled = (
            task.get("imbalance_factor") or 0,
            task.get("missing") or 0,
            task.get("labelled") or 0,
        )
        if factor >= IMBALANCE:
            what = f"The largest class of {task['name']} is {factor:,.0f} times the smallest."
            yield _alert(
                "imbalance", "amber", what, "data", "Measure by macro F1; train with balanced batches or losses."
            )
        if missing > MISSING * (missing + labelled):
            what = f"{missing:,} rows have no label for {task['name']}."
            yield _alert("missing-labels", "grey", what, "data", "Ask why they are missing: it is seldom by chance.")


def _about_columns(facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    flags = (facts["associations"] or {}).get("flags", [])
    leaks = [f"{flag['b']} ({flag['value']:.2f} with {flag['a']})" for flag in flags if flag["kind"] == "leak"]
    if leaks:
        what = f"Columns that almost tell a label: {_named(leaks)}."
        yield _alert(
            "leak-suspects", "amber", what, "associations", "Good measurements, or known only afterwards? Ask."
        )
    same = [f"{flag['a']} and {flag['b']} ({flag['value']:.2f})" for flag in flags if flag["kind"] == "redundant"]
    if same:
        what = f"Columns that say almost the same: {_named(same)}."
        yield _alert("redundant", "grey", what, "associations", "One of each may do; weights between them mean little.")
    repeated = (facts["columns"] or {}).get("repeated")
    if repeated and not any(issue["kind"] == "repeated" for issue in facts["data_issues"] or []):
        what = f"{repeated:,} row{'s equal' if repeated > 1 else ' equals'} an earlier one in all features."
        yield _alert("repeated-rows", "grey", what, "columns", "Drop the copies, unless they were measured twice.")
    columns = (facts["columns"] or {}).get("columns", {})
    rules = {
        "missing-cells": (
            "Columns with more than 5 % missing",
            [name for name, told in columns.items() if (told.get("null_proportion") or 0) > MISSING],
            "Ask why they are missing before filling them.",
        ),
        "constant": (
            "Columns of one value",
            [name for name, told in columns.items() if told.get("value_is_constant")],
            "They tell nothing; leave them out.",
        ),
        "skewed": (
            "Strongly skewed columns",
            [name for name, told in columns.items() if abs(told.get("skewness") or 0) > SKEWNESS],
            "Read medians, not means; think of logarithms.",
        ),
    }
    for name, (what, found, mitigation) in rules.items():
        if found:
            yield _alert(name, "grey", f"{what}: {_named(found)}.", "columns", mitigation)


def _named(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(str(clip(name, 80)) for name in names[:_NAMES])
    return shown + (f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else "")
