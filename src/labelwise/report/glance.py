"""The figures to read first, and what to look at first."""

from typing import Any

from labelwise.report.about import SEVERITIES

FIRST = 7  # sentences at most
POOR_CALIBRATION = 0.1  # expected calibration error from which probabilities mislead
STRONG_SKEW = 100  # imbalance factor from which accuracy says little of small classes
MANY_MISSING = 0.05  # share of missing labels worth a sentence
PRESSING = {
    "pseudo_class": "Classes that look like another one",
    "leak": "Columns that give the label away",
    "annotator": "Annotators who differ from the others",
    "underperforming_group": "Groups that are predicted worse than the rest",
    "new_class": "Classes that may hold another one",
}


def glance_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The head of the report, from the facts below it: size, imbalance, flagged, errors, accuracy, what to look at.

    `estimated_error_interval` is the 95 % bootstrap interval over the confident joint, by task (`audit.error_rate`).
    """
    data, findings, metrics = facts["data"] or {}, facts["findings"], facts["metrics"]
    tasks = data.get("tasks", [])
    skewed: dict[str, Any] = max(tasks, key=lambda task: task.get("imbalance_factor") or 0, default={})
    rates = {name: figures.get("estimated_error_rate") for name, figures in _audited(metrics).items()}
    intervals = {name: figures.get("estimated_error_interval") for name, figures in _audited(metrics).items()}
    return {
        "rows": data.get("rows"),
        "tasks": {task["name"]: task.get("classes") for task in tasks},
        "imbalance": {"task": skewed["name"], "factor": skewed["imbalance_factor"]}
        if skewed.get("imbalance_factor")
        else None,
        "flagged": _flagged(findings, data.get("rows")) if findings is not None else None,
        "estimated_error_rate": {name: rate for name, rate in rates.items() if rate is not None},
        "estimated_error_interval": {name: interval for name, interval in intervals.items() if interval},
        "accuracy": (accuracy := _accuracy(facts["models"] or [])),
        "headline": _headline(accuracy),
        "planted": (metrics.get("demo") or {}).get("audit"),
        "alerts": {
            severity: sum(alert["severity"] == severity for alert in facts["alerts"] or []) for severity in SEVERITIES
        },
        "first": _first(facts)[:FIRST],
    }


def _audited(metrics: dict[str, Any]) -> dict[str, Any]:
    return (metrics.get("audit") or {}).get("tasks") or {}


def _flagged(findings: dict[str, Any], rows: int | None) -> dict[str, Any]:
    return {
        "findings": findings["total"],
        "examples": findings["examples"],
        "share": findings["examples"] / rows if rows else None,
        "by_kind": {kind: figures["findings"] for kind, figures in findings["kinds"].items()},
    }


def _accuracy(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy of every model on every task, in the order of the run."""
    return [
        {"model": model["name"], "task": task, "split": scored["split"], **scored["scores"]["accuracy"]}
        for model in models
        for task, scored in model["tasks"].items()
        if (scored["scores"].get("accuracy") or {}).get("value") is not None
    ]


def _headline(accuracy: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one accuracy to name first: raw and corrected labels side by side, else the best model of the first task."""
    if not accuracy:
        return None
    task = accuracy[0]["task"]
    models = {row["model"]: row for row in accuracy if row["task"] == task}
    before, after = models.get("raw"), models.get("corrected")
    if before is None or after is None or before["split"] != after["split"]:
        before, after = None, max(models.values(), key=lambda row: row["value"])
    return {"task": task, "model": after["model"], "split": after["split"], "before": before, "after": after}


def _first(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Sentences on what deserves a look, the surest and most pressing first, each with the section that shows it."""
    sentences = [("findings", sentence) for sentence in _wrong(facts)]
    sentences += [("data", sentence) for sentence in _about_classes(facts["data_issues"] or [])]
    for task in (facts["data"] or {}).get("tasks", []):
        sentences += [("data", sentence) for sentence in _uneven(task)]
    for model in facts["models"] or []:
        for name, scored in model["tasks"].items():
            error = scored["scores"].get("calibration_error")
            if error is not None and error >= POOR_CALIBRATION:
                sentences.append(
                    (
                        "models",
                        f"Probabilities of model {model['name']} for {name} are off by {_percent(error)} on average.",
                    )
                )
    return [{"section": section, "text": sentence} for section, sentence in sentences]


def _wrong(facts: dict[str, Any]) -> list[str]:
    findings = facts["findings"] or {"counts": [], "kinds": {}}
    number = {kind: figures["examples"] for kind, figures in findings["kinds"].items()}
    sentences = []
    if number.get("taxonomy"):
        sentences.append(f"Rows whose labels contradict each other, so that one must be wrong: {number['taxonomy']:,}.")
    for task, confusion in (facts["confusion"] or {}).items():
        wrong = sum(c["examples"] for c in findings["counts"] if c["kind"] == "label" and c["task"] == task)
        if wrong:
            top = confusion["pairs"][0]
            times = "once" if top["count"] == 1 else f"{top['count']:,} times"
            sentences.append(
                f"{_many(wrong, 'label')} of {task} may be wrong; most often “{top['given']}” is likely "
                f"“{top['suggested']}” ({times})."
            )
    duplicates = number.get("duplicate", 0) + number.get("near_duplicate", 0)
    if duplicates:
        sentences.append(f"Rows that equal, or almost equal, one with another label: {duplicates:,}.")
    if number.get("outlier"):
        sentences.append(f"Rows unlike all others: {number['outlier']:,}.")
    if number.get("unreadable"):
        sentences.append(f"{_many(number['unreadable'], 'example')} could not be read and took no part in training.")
    return sentences


def _about_classes(issues: list[dict[str, Any]]) -> list[str]:
    """One sentence for each kind, with the worst of it; the sizes of classes have sentences of their own."""
    sentences = []
    for kind, what in PRESSING.items():
        found = [issue for issue in issues if issue["kind"] == kind]
        if found:
            worst = found[0]["subject"] + (f"” of {found[0]['task']}" if found[0]["task"] else "”")
            sentences.append(f"{what}: {len(found):,}, first “{worst}.")
    return sentences


def _uneven(task: dict[str, Any]) -> list[str]:
    sentences = []
    classes, labelled, missing = task.get("classes") or 0, task.get("labelled") or 0, task.get("missing") or 0
    if task.get("rare"):
        sentences.append(f"{task['rare']:,} of {classes:,} classes of {task['name']} have fewer than 10 rows.")
    if (task.get("imbalance_factor") or 0) >= STRONG_SKEW:
        sentences.append(
            f"The largest class of {task['name']} is {task['imbalance_factor']:,.0f} times the smallest: "
            "read macro F1, not accuracy."
        )
    if missing >= MANY_MISSING * max(1, missing + labelled):
        sentences.append(
            f"{_many(missing, 'row')} have no label for {task['name']} ({_percent(missing / (missing + labelled))})."
        )
    return sentences


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u202f%"
