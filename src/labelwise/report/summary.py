"""The facts of a run as one plain dictionary; what the page draws, and what a program can read in its place."""

import os
from pathlib import Path
from typing import Any

from labelwise.report.about import ABOUT, about_facts, read_about
from labelwise.report.alerts import alert_facts
from labelwise.report.boxes import box_facts
from labelwise.report.columns import association_facts, reference_facts, unusual_facts
from labelwise.report.data_issues import data_issue_facts
from labelwise.report.findings import confusion_facts, findings_facts
from labelwise.report.glance import glance_facts
from labelwise.report.modules import MODULES
from labelwise.report.plain import attempt, existing, plain
from labelwise.report.training import cross_fit_facts, destabilised_facts, models_facts
from labelwise.runs import DESTABILISED, RunFolder, read_json

DESCRIPTION = "describe.json"
COLUMNS = "columns.json"
ASSOCIATIONS = "associations.json"
UNUSUAL = "unusual.json"
DATA_ISSUES = "data_issues.json"
NOTES = "notes.json"


def to_dict(run: str | os.PathLike[str], seed: int = 0) -> dict[str, Any]:
    """All that the report says of a run, as plain JSON values, read from the files of the run folder alone.

    Keys: `modules` (of each part of the label its title, what it shows and what it cannot know), `run` (`name`,
    `config`), `about` (what people told, None where nothing was given: `about.about_facts`), `data` (as
    `labels.describe` tells it), `columns` (statistics by column), `associations` (of columns with each other),
    `unusual` (rows that a model of all columns finds unlikely), `reference` (columns from trusted outside data beside
    the others), `data_issues` (what is wrong with classes, columns, groups and annotators), `findings` (counts by kind
    and task, score histograms, the worst ones with what they are about), `confusion` (given against likely labels, by
    task), `cross_fit` (out-of-fold scores by task), `models` (scores, calibration, learning curve and experts of each),
    `boxes` (of a detector: `boxes.box_facts`),
    `destabilised` (by task which model is best as the share of wrong labels changes, if `audit.compare_models` found
    out), `metrics` (figures of the whole run), `notes` (what the audit could not do), `alerts` (what to watch for, by
    fixed rules), `glance` (the figures to read first) and `not_shown`. A part whose file is missing or broken is None,
    and `not_shown` has its name, the reason, and whether it is broken. `seed` is that of the bootstrap behind the
    out-of-fold intervals.

    Raises `ValueError` if `run` is not a run folder.
    """
    folder = RunFolder(run)
    not_shown: list[dict[str, Any]] = []
    modules = {name: module._asdict() for name, module in MODULES.items()}
    facts: dict[str, Any] = {"modules": modules, "run": {"name": folder.path.resolve().name}}
    facts["run"]["config"] = attempt(not_shown, "settings", lambda: folder.config)
    facts["about"] = attempt(not_shown, "about", lambda: _about(folder / ABOUT))
    data = facts["data"] = attempt(not_shown, "data", lambda: _object(folder / DESCRIPTION))
    classes = {task["name"]: list(task["counts"]) for task in (data or {}).get("tasks", []) if task.get("counts")}
    facts["columns"] = attempt(not_shown, "columns", lambda: _object(folder / COLUMNS))
    facts["associations"] = attempt(not_shown, "associations", lambda: association_facts(folder / ASSOCIATIONS))
    facts["unusual"] = attempt(not_shown, "unusual", lambda: unusual_facts(folder / UNUSUAL))
    named = (facts["about"] or {}).get("reference", [])
    facts["reference"] = attempt(not_shown, "reference", lambda: reference_facts(facts["associations"], named))
    facts["data_issues"] = attempt(not_shown, "data issues", lambda: data_issue_facts(folder / DATA_ISSUES))
    facts["findings"] = attempt(not_shown, "findings", lambda: findings_facts(folder.path))
    facts["confusion"] = attempt(not_shown, "confusion", lambda: confusion_facts(folder.path, classes))
    facts["cross_fit"] = attempt(not_shown, "cross-fitting", lambda: cross_fit_facts(folder.path, classes, seed))
    facts["models"] = attempt(not_shown, "models", lambda: models_facts(folder))
    facts["boxes"] = attempt(not_shown, "boxes", lambda: box_facts(folder))
    facts["destabilised"] = attempt(
        not_shown, "comparison of models", lambda: destabilised_facts(folder / DESTABILISED)
    )
    facts["metrics"] = attempt(not_shown, "figures", lambda: folder.metrics) or {}
    facts["notes"] = attempt(not_shown, "notes", lambda: _notes(folder / NOTES))
    facts["alerts"] = attempt(not_shown, "alerts", lambda: alert_facts(facts))
    facts["glance"] = attempt(not_shown, "glance", lambda: glance_facts(facts))
    return plain(facts | {"not_shown": not_shown})


def _about(path: Path) -> dict[str, Any]:
    return read_about(path) if path.is_file() else about_facts(None)


def _object(path: Path) -> dict[str, Any]:
    value = read_json(existing(path))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} should hold an object")
    return value


def _notes(path: Path) -> list[str]:
    value = read_json(existing(path))
    if not isinstance(value, list):
        raise ValueError(f"{path.name} should hold a list of sentences")
    return [str(note) for note in value]
