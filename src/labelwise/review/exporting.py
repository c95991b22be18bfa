"""From verdicts to labels."""

import getpass
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from labelwise.audit import Finding
from labelwise.audit import findings as audit_findings
from labelwise.audit.box_corrections import audited_boxes, check_of_boxes, correct_boxes
from labelwise.audit.correct import by_findings, names_label, put_labels, unreadable_rows
from labelwise.audit.reopen import check_suffix, count_changes, examples, finished, write_columns, write_corrected
from labelwise.labels import BoxTable, LabelTable
from labelwise.labels.coco import from_coco, write_document
from labelwise.review.database import Database, open_database
from labelwise.review.deciding import answered
from labelwise.review.people import note_event
from labelwise.review.schema import verdict
from labelwise.runs import ANNOTATIONS, ISSUES, RunFolder

_DIFF = ("id", "task", "given", "corrected", "action", "who", "when", "why")


class Decision(NamedTuple):
    """What people decided about one label, or about the item itself (task ""); see `verdicts.answered`."""

    item_id: int
    task: str
    action: str
    classes: tuple[str, ...]
    reviewers: tuple[str, ...]
    notes: tuple[str, ...]
    at: float


class Reviewed(NamedTuple):
    """What people decided, the classes they made by task, and the id of the last verdict, which grows with each."""

    decisions: list[Decision]
    new_classes: dict[str, tuple[str, ...]]
    last: int


def reviewed(run: str | PathLike[str], url: str | None = None) -> Reviewed:
    """What was decided in the review of a run; raises as `open_database` does, also if there is none."""
    with open_database(run, url, create=False) as database:
        return _reviewed(database)


def _reviewed(database: Database) -> Reviewed:
    made = {name: database.classes(name)[len(task.classes) :] for name, task in database.tasks.items()}
    last = database.read(lambda connection: connection.scalar(sa.select(sa.func.max(verdict.c.id))))
    decided = [row for row in answered(database) if row["state"] == "decided"]
    return Reviewed([Decision(*(row[name] for name in Decision._fields)) for row in decided], made, last or 0)


def corrected(
    run: str | PathLike[str], url: str | None = None, only_verdicts: bool = False, *, quiet: bool = False
) -> LabelTable:
    """The audited examples, read from their source again, with what people decided; for training.

    `url` is that of the review database, by default the one in the run folder. What nobody decided is as the findings
    suggest (see `labelwise.audit.apply_corrections`), or with `only_verdicts` as it was given. A decision is one class,
    which may be new; several classes, "cannot tell" and "spoiled: remove" leave the label missing, the last those of
    all tasks; a box that moves keeps it. Parents of linked tasks follow, unless they were decided on themselves.

    Raises as `open_database` does, also if there is no review; `ValueError` if the source has changed since the audit;
    `FileNotFoundError` if it is gone.
    """
    return apply_verdicts(run, examples(run, quiet=quiet), reviewed(run, url), only_verdicts)


def corrected_boxes(run: str | PathLike[str], url: str | None = None) -> BoxTable:
    """The audited pictures, read from their source again, with what people decided about their boxes; for training.

    `url` is that of the review database, by default the one in the run folder. What nobody decided is as it was given;
    see `audit.box_corrections.correct_boxes` for the rest. Raises as its `audited_boxes` does, and as `open_database`,
    also if there is no review.
    """
    folder, _ = finished(run)
    table = audited_boxes(folder)
    document, _ = _mended(folder, reviewed(run, url).decisions)
    _, boxes, classes, _ = from_coco(document, str(folder / ANNOTATIONS))
    return replace(table, boxes=boxes, classes=classes)


def apply_verdicts(
    run: str | PathLike[str], table: LabelTable, review: Reviewed, only_verdicts: bool = False
) -> LabelTable:
    """The table that was audited, with what people decided; see `corrected`."""
    return _corrections(RunFolder(run), table, review, only_verdicts)[0]


def _corrections(
    folder: RunFolder, table: LabelTable, review: Reviewed, only_verdicts: bool
) -> tuple[LabelTable, pd.DataFrame]:
    """The corrected table, and the findings that had a say in it."""
    table = table.with_tasks(
        replace(task, classes=(*task.classes, *review.new_classes.get(task.name, ()))) for task in table.tasks
    )
    found = audit_findings.read(folder / ISSUES)
    # An item of which nobody can tell whether it is at fault stays with its findings.
    settled = {(each.item_id, each.task) for each in review.decisions if each.task or each.action != "unsure"}
    rows = zip(found["example"], found["task"], strict=True)
    found = found[np.array([not only_verdicts and (row, task or "") not in settled for row, task in rows], bool)]
    codes, decided = by_findings(table, found)
    code_of = {task.name: {name: code for code, name in enumerate(task.classes)} for task in table.tasks}
    for each in review.decisions:
        if each.task in codes and each.action != "move":
            is_class = each.action == "label"
            codes[each.task][each.item_id] = code_of[each.task][each.classes[0]] if is_class else -1
            decided[each.task][each.item_id] = True
    spoiled = np.array([each.item_id for each in review.decisions if each.action == "spoiled"], np.int64)
    return put_labels(table, codes, decided, np.union1d(spoiled, unreadable_rows(found))), found


def export(
    run: str | PathLike[str],
    file: str | PathLike[str],
    diff: str | PathLike[str] | None = None,
    url: str | None = None,
    only_verdicts: bool = False,
    who: str | None = None,
) -> dict[str, dict[str, int]]:
    """Write the labels with what people decided, and with `diff` each label that changed; .parquet or .csv, by name.

    Of an audit of boxes `file` may be a .json: the given boxes as COCO has them, with what people decided; see
    `audit.box_corrections.correct_boxes`. It implies `only_verdicts`: findings about boxes are worth a look, not more.
    Several classes and "cannot tell" leave a box as it was given.

    `file` has one row an example: `id`, each task, each `given_TASK`, and `several_TASK` where people gave several
    classes (a list of names; in CSV as JSON). `diff` has one row a changed label: `id`, `task`, `given`, `corrected`
    (null if removed), `action` (what was decided: label, several, move, unsure, spoiled; the kind of finding, where
    nobody decided; "parent" where it followed from another task's), `who` (reviewers, or "audit"), `when` (of the
    newest verdict, UTC) and `why` (their notes, or the finding's). Needs the run folder and the database alone. `who`
    is who exports, for the audit log (default: the user of this machine).

    Takes and raises what `corrected` does. Gives how many labels changed by task: {"relabelled": ..., "removed": ...};
    as .json under "boxes", with "moved" and "added".
    """
    as_coco = Path(file).suffix == ".json"
    for path in (*([] if as_coco else [file]), *([] if diff is None else [diff])):
        check_suffix(path)
    folder, given = finished(run)
    if as_coco:
        check_of_boxes(folder)
    only_verdicts = only_verdicts or as_coco
    with open_database(run, url, create=False) as database:
        review = _reviewed(database)
        table, found = _corrections(folder, given, review, only_verdicts)
        changed = count_changes(given, table)
        if as_coco:
            document, boxes = _mended(folder, review.decisions)
            write_document(file, document)
            changed = {"boxes": boxes}
        else:
            write_corrected(given, table, file, _several(table, review, Path(file).suffix))
        if diff is not None:
            rows = list(_changes(given, table, review.decisions, found))
            columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in _DIFF}
            write_columns(diff, columns)
        note_event(
            database, who or current_user(), "export", file=str(file), only_verdicts=only_verdicts, last=review.last
        )
    return changed


def _mended(folder: RunFolder, decisions: Sequence[Decision]) -> tuple[dict[str, Any], dict[str, int]]:
    """What `correct_boxes` gives of these decisions."""
    rows: dict[str, dict[int, tuple[str, ...]]] = defaultdict(dict)
    for each in decisions:
        rows[each.action][each.item_id] = each.classes
    return correct_boxes(folder, {row: name for row, (name,) in rows["label"].items()}, rows["move"], rows["spoiled"])


def _several(table: LabelTable, review: Reviewed, suffix: str) -> dict[str, pa.Array]:
    """A column for each task of which people gave several classes."""
    columns: dict[str, list[Any]] = {}
    for each in review.decisions:
        if each.action == "several":
            names = columns.setdefault(f"several_{each.task}", [None] * len(table))
            names[each.item_id] = _json(each.classes) if suffix == ".csv" else list(each.classes)
    kind = pa.string() if suffix == ".csv" else pa.list_(pa.string())
    return {name: pa.array(names, kind) for name, names in columns.items()}


def _changes(
    given: LabelTable, table: LabelTable, decisions: list[Decision], found: pd.DataFrame
) -> Iterator[dict[str, str | None]]:
    """One row for each changed label, in the order of the examples."""
    said = {(each.item_id, each.task): each for each in decisions}
    spoiled = {each.item_id: each for each in decisions if each.action == "spoiled"}
    findings = audit_findings.from_frame(found)  # the worst first
    unreadable = {each.example: each for each in findings if each.kind == "unreadable"}
    blamed: dict[tuple[int, str | None], Finding] = {}
    for each in findings:
        if names_label(each):
            blamed.setdefault((each.example, each.task), each)
    before = {task.name: given.labels(task.name) for task in given.tasks}
    after = {task.name: table.labels(task.name) for task in given.tasks}
    ids = given.ids
    special = {(each.item_id, each.task) for each in decisions if each.action in ("several", "move")}
    changed = special | {(row, name) for name in before for row in np.flatnonzero(before[name] != after[name]).tolist()}
    for row in sorted({row for row, _ in changed}):
        for task in table.tasks:
            if (row, task.name) not in changed:
                continue
            old, new = before[task.name][row], after[task.name][row]
            change = {
                "id": str(ids[row]),
                "task": task.name,
                "given": None if old < 0 else task.classes[old],
                "corrected": None if new < 0 else task.classes[new],
            }
            decision = spoiled.get(row) or said.get((row, task.name))
            finding = unreadable.get(row) or blamed.get((row, task.name))
            if decision is not None:
                yield change | {
                    "corrected": _json(decision.classes) if decision.action == "several" else change["corrected"],
                    "action": decision.action,
                    "who": "; ".join(decision.reviewers),
                    "when": datetime.fromtimestamp(decision.at, UTC).isoformat(timespec="seconds"),
                    "why": "; ".join(decision.notes),
                }
            elif finding is not None:
                yield change | {"action": finding.kind, "who": "audit", "when": None, "why": finding.why}
            else:
                child = next(one for one in table.tasks if one.parent == task.name and (row, one.name) in changed)
                why = f"{child.name} is {child.classes[after[child.name][row]]!r}"
                yield change | {"action": "parent", "who": None, "when": None, "why": why}


def _json(classes: tuple[str, ...]) -> str:
    return json.dumps(classes, ensure_ascii=False)


def current_user() -> str:
    """The name of the user of this machine, "someone" where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "someone"
