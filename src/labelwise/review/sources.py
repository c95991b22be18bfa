"""Verdicts as they come from elsewhere: a CSV file, an export of Label Studio, another review database."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from labelwise.review.database import open_other
from labelwise.review.deciding import meaning
from labelwise.review.people import fits_name
from labelwise.review.schema import current_verdict, item, question
from labelwise.review.verdicts import ACTIONS, LONGEST_NAME, LONGEST_NOTE
from labelwise.runs import read_json

COLUMNS = ("id", "task", "given", "corrected", "action", "who", "when", "why")
"""Columns of a CSV file of verdicts, as `labelwise export --diff` writes it."""


class Said(NamedTuple):
    """What somebody said elsewhere. `where` is its place, for messages.

    `action` is one of `verdicts.ACTIONS` but `skip`, or "label": the one class is right. `task` is None where the
    source does not say; `token` None where it keeps none; `at` is in seconds since 1970.
    """

    where: str
    key: str
    task: str | None
    action: str
    classes: tuple[str, ...]
    who: str
    at: float | None = None
    note: str = ""
    final: bool = False
    token: str | None = None


def from_csv(path: str | PathLike[str], who: str) -> Iterator[Said]:
    """Read verdicts from a CSV file in UTF-8, whose first line names its columns.

    `id` names the example. `task` may be left out if there is one, and of what is about the example itself. `action` is
    keep, take, choose, several, unsure, spoiled, new_class, or label (the default: a class of the task or a new one).
    `corrected` is the class; for several a JSON list of names. `given` is what `keep` means (default: the label that
    was audited), `who` the reviewer (default: the argument), `when` ISO 8601 (default: now; UTC where it names no
    zone), `why` a note. Lines of `labelwise export --diff` that no person decided are passed over. Raises `ValueError`
    that names file, line, column and value.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        unknown = [name for name in names if name not in COLUMNS]
        if unknown or "id" not in names or not {"action", "corrected"} & {*names}:
            raise ValueError(
                f"{path} should have the columns id, corrected or action, and may have {', '.join(COLUMNS)}; got "
                f"{', '.join(names) or 'no columns'}"
            )
        reader.fieldnames = names
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise ValueError(f"{where}: should have {len(names)} values, as the first line names columns")
            cells = {name: value.strip() for name, value in row.items()}
            if any(cells.values()) and not _by_no_person(cells):
                yield from _from_cells(where, cells, who)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: is not valid CSV ({error})") from None


def _by_no_person(cells: dict[str, str]) -> bool:
    return cells.get("who") == "audit" or cells.get("action") == "parent"


def _from_cells(where: str, cells: dict[str, str], who: str) -> Iterator[Said]:
    key, action, corrected = cells["id"], cells.get("action") or "label", cells.get("corrected", "")
    if not key:
        raise ValueError(f"{where}, column id: is empty")
    if action != "label" and (action not in ACTIONS or action == "skip"):
        allowed = [each for each in ACTIONS if each != "skip"]
        raise ValueError(f"{where}, column action: should be one of label, {', '.join(allowed)}; got {action!r}")
    classes: tuple[str, ...] = ()
    if action == "several":
        classes = _names(f"{where}, column corrected", corrected)
    elif action in ("label", "choose", "new_class"):
        if not corrected:
            raise ValueError(f"{where}, column corrected: needs a class, as the action is {action}; it is empty")
        classes = (corrected,)
    elif action == "keep" and cells.get("given"):
        action, classes = "label", (cells["given"],)
    note = cells.get("why", "")
    _check_lengths(where, classes, note)
    for name in (cells.get("who") or who).split("; "):
        if not fits_name(name):
            raise ValueError(f"{where}, column who: should be a printable name; got {name[:40]!r}")
        yield Said(where, key, cells.get("task") or None, action, classes, name, _time(where, cells.get("when")), note)


def _names(where: str, text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f'{where}: several classes are a JSON list such as ["cat", "dog"]; got {text[:60]!r}')
    return tuple(names)


def _check_lengths(where: str, classes: Sequence[str], note: str) -> None:
    for name in classes:
        if len(name) > LONGEST_NAME or "\0" in name:
            raise ValueError(
                f"{where}, column corrected: a class has at most {LONGEST_NAME} characters; got {name[:40]!r}"
            )
    if len(note) > LONGEST_NOTE or "\0" in note:
        raise ValueError(f"{where}, column why: a note has at most {LONGEST_NOTE} characters; got {len(note)}")


def _time(where: str, text: Any) -> float | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where}, column when: should be a time such as 2026-01-31T12:00:00Z; got {text!r}") from None


def from_label_studio(path: str | PathLike[str], tasks: Sequence[str], id_column: str | None) -> Iterator[Said]:
    """Read verdicts from what Label Studio exports as "JSON".

    An entry's `data` must hold the id of the example, as `id` or under the name of the audit's `id_column`. Of each
    annotation that was not cancelled, the answers of the controls (`from_name`) that are called as a task count: those
    of Choices, and of Taxonomy the last of each path; one answer is a label, more are several. If there is one task and
    one such control, its name does not matter. Who answered is their e-mail address if the file has it, else their
    number. Predictions and drafts are no verdicts. Raises `ValueError` that names file, entry, field and value.
    """
    path = Path(path)
    entries = read_json(path)
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and "annotations" in entry for entry in entries
    ):
        raise ValueError(
            f"{path} should be a list of entries with `annotations`, as Label Studio exports as JSON (not as JSON-MIN)"
        )
    try:
        found = [_answers(f"{path}, entry {at}", entry, id_column) for at, entry in enumerate(entries, 1)]
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} is not as Label Studio exports JSON ({type(error).__name__}: {error})") from None
    said = [each for answers in found for each in answers]
    controls = sorted({each.task or "" for each in said})
    if len(tasks) == 1 and len(controls) == 1:
        said = [each._replace(task=tasks[0]) for each in said]
    elif said and not set(controls) & set(tasks):
        raise ValueError(
            f"{path} has the controls {', '.join(controls)}, of which none is called as a task ({', '.join(tasks)}); "
            "rename `from_name` in the file"
        )
    yield from (each for each in said if each.task in tasks)


def _answers(where: str, entry: dict[str, Any], id_column: str | None) -> list[Said]:
    said = []
    for annotation in entry["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        names: dict[str, list[str]] = {}
        for each in annotation["result"]:
            value = each.get("value", {})
            chosen = value.get("choices") or [path[-1] for path in value.get("taxonomy", []) if path]
            if chosen:
                names.setdefault(each["from_name"], []).extend(str(name) for name in chosen)
        for task, classes in names.items():
            _check_lengths(where, classes, "")
            key = _key(where, entry["data"], id_column)
            at = _time(where, annotation.get("updated_at") or annotation.get("created_at"))
            unique = tuple(dict.fromkeys(classes))
            action = "label" if len(unique) == 1 else "several"
            said.append(Said(where, key, task, action, unique, _annotator(annotation.get("completed_by")), at))
    return said


def _key(where: str, data: dict[str, Any], id_column: str | None) -> str:
    for name in filter(None, (id_column, "id")):
        if data.get(name) is not None:
            return str(data[name])
    wanted = " or ".join(dict.fromkeys(f"`{name}`" for name in (id_column, "id") if name))
    raise ValueError(f"{where}: data should hold the id of the example as {wanted}; it holds {', '.join(data)}")


def _annotator(who: Any) -> str:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return who if isinstance(who, str) and fits_name(who) else f"Label Studio user {who}"


def from_database(source: str | PathLike[str]) -> Iterator[Said]:
    """Read the verdicts that count from another review database, by its URL or as an SQLite file, of any audit.

    Raises as `open_database` does.
    """
    columns = [current_verdict.c[name] for name in ("action", "classes", "reviewer", "created_at", "note", "final")]
    wanted = (
        sa.select(item.c.key, question.c.task, current_verdict.c.token, *columns)
        .join_from(current_verdict, question, question.c.id == current_verdict.c.question_id)
        .join(item, item.c.id == question.c.item_id)
        .order_by(current_verdict.c.id)
    )
    with open_other(source) as other:
        rows = other.rows(wanted)
    for row in rows:
        answer = meaning(row.action, row.classes)
        where = f"{source}, {row.key}"
        yield Said(where, row.key, row.task, *answer, row.reviewer, row.created_at, row.note, row.final, row.token)
