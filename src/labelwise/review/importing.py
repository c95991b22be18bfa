"""Bringing verdicts into a review from elsewhere."""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import sqlalchemy as sa

from labelwise import runs
from labelwise.labels.nearest import nearest
from labelwise.review.database import Database, in_parts, open_database
from labelwise.review.exporting import current_user
from labelwise.review.filling import fill
from labelwise.review.people import note_event
from labelwise.review.schema import current_verdict, item, question, verdict
from labelwise.review.sources import Said, from_csv, from_database, from_label_studio
from labelwise.review.verdicts import NewVerdict, record_within
from labelwise.runs import RunFolder, free_name

_ABOUT_ITEMS = ("keep", "unsure", "spoiled")
_WITH_CLASS = ("choose", "several", "new_class")


class Imported(NamedTuple):
    """What came of an import: how many verdicts are new, were known already, are older than what the same person says
    now, and are about an example or task that this run has not.
    """

    new: int
    known: int
    older: int
    foreign: int


def import_verdicts(
    run: str | PathLike[str],
    source: str | PathLike[str],
    url: str | None = None,
    *,
    new_classes: bool = False,
    who: str | None = None,
) -> Imported:
    """Bring verdicts from `source` into the review of a run; all or none, and what is known already not again.

    `source` is a CSV file (see `sources.from_csv` for its columns), a .json file of Label Studio
    (`sources.from_label_studio`), or another review database: an SQLite file or a URL; one of another audit of the same
    examples will do. `url` is that of the review's own database. Classes that the task has not are an error, as they
    may be slips; with `new_classes` they are new ones (those that were made in another review always are). `who` is who
    imports, and said what the source gives no name for (default: the user of this machine).

    A label that nobody was asked about becomes a question. Of two verdicts of one person on one label the newer one
    counts. Raises `ValueError` that names the place in the source and the remedy; as `open_database` does.
    """
    who = who or current_user()
    with open_database(run, url) as database:
        fill(database)
        examples = _Examples(database)
        said, strict = _read(database, str(source), who)
        resolved = [examples.resolve(each, strict, new_classes or not strict) for each in said]
        verdicts = [each for each in resolved if each is not None]
        verdicts.sort(key=lambda each: each.at if each.at is not None else float("inf"))

        def work(connection: sa.Connection) -> tuple[int, int, int]:
            ids = examples.ask(connection, [(each.row, each.task) for each in verdicts])
            tokens = _among(connection, verdict.c.token, [each.token for each in verdicts])
            fresh = [each for each in {each.token: each for each in verdicts}.values() if each.token not in tokens]
            newest = _newest(connection, [ids[each.row, each.task] for each in fresh])
            now = time.time()
            new = [
                each.verdict(ids[each.row, each.task])
                for each in fresh
                if newest.get((ids[each.row, each.task], each.who), 0.0) <= (now if each.at is None else each.at)
            ]
            record_within(connection, database, new)
            return len(new), len(verdicts) - len(fresh), len(fresh) - len(new)

        found = Imported(*database.write(work), foreign=len(resolved) - len(verdicts))
        name = Path(source).name if "://" not in str(source) else "another database"
        note_event(database, who, "import", source=name, **found._asdict())
        return found


def _read(database: Database, source: str, who: str) -> tuple[Iterable[Said], bool]:
    """What the source says, and whether it must fit this run."""
    suffix = Path(source).suffix.lower()
    if "://" in source or suffix in (".sqlite", ".sqlite3", ".db"):
        return from_database(source), False
    if suffix == ".csv":
        return from_csv(source, who), True
    if suffix == ".json":
        return from_label_studio(source, list(database.tasks), RunFolder(database.run).config["id"]), True
    raise ValueError(f"verdicts come from a .csv, .json or .sqlite file or a database's URL; got {source!r}")


class _Fitting(NamedTuple):
    """A verdict as this review takes it, on the label of a row."""

    row: int
    task: str
    action: str
    classes: tuple[str, ...]
    who: str
    at: float | None
    note: str
    final: bool
    token: str

    def verdict(self, question_id: int) -> NewVerdict:
        return NewVerdict(self.who, question_id, self.action, self.classes, self.note, self.token, self.final, self.at)


class _Examples:
    """The audited examples and what is asked about them."""

    def __init__(self, database: Database):
        self._tasks = database.tasks
        self._classes = {name: set(database.classes(name)) for name in database.tasks}
        self._id = free_name("id", list(RunFolder(database.run).config["labels"]))
        self._labels = pq.read_table(database.run / runs.LABELS, columns=[self._id, *self._tasks])
        self._rows: dict[str, int | None] = {}
        for row, key in enumerate(self._labels[self._id].to_pylist()):
            self._rows[key] = None if key in self._rows else row
        columns = [question.c[name] for name in ("item_id", "task", "suggested", "kinds")]
        asked = database.rows(sa.select(*columns))
        self._suggested = {(row.item_id, row.task): row.suggested for row in asked}
        self._movable = {(row.item_id, row.task) for row in asked if "misplaced_box" in row.kinds.split()}

    def resolve(self, said: Said, strict: bool, new_classes: bool) -> _Fitting | None:
        """The verdict as it fits this run; None if the run has not what it is about, an error if that is `strict`."""
        task = self._task(said, strict)
        row = self._rows.get(said.key)
        if task is None or row is None:
            if not strict:
                return None
            why = "stands for several examples" if said.key in self._rows else "is no example of this run"
            raise ValueError(f"{said.where}, column id: {said.key!r} {why}{nearest(said.key, self._rows)}")
        if said.action == "move" and (row, task) not in self._movable:
            if not strict:
                return None
            raise ValueError(f"{said.where}, column action: the audit found no other place for {said.key!r}; keep it")
        action = self._action(said, row, task, new_classes)
        token = said.token
        if token is None:
            # The same again is the same verdict, wherever it stands in the file.
            facts = [said.key, task, said.action, sorted(said.classes), said.who, said.at, said.note]
            token = f"import-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]}"
        return _Fitting(
            row,
            task,
            action,
            said.classes if action in _WITH_CLASS else (),
            said.who,
            said.at,
            said.note,
            said.final,
            token,
        )

    def _task(self, said: Said, strict: bool) -> str | None:
        if said.task is not None and (said.task in self._tasks or said.task == ""):
            return said.task
        if said.task is None and len(self._tasks) == 1:
            return next(iter(self._tasks))
        if said.task is None and said.action in _ABOUT_ITEMS:
            return ""
        if not strict:
            return None
        got = "it is empty" if said.task is None else f"got {said.task!r}{nearest(said.task, self._tasks)}"
        raise ValueError(f"{said.where}, column task: should be one of {', '.join(self._tasks)}; {got}")

    def _action(self, said: Said, row: int, task: str, new_classes: bool) -> str:
        """The action that says the same here."""
        if task == "" and said.action not in _ABOUT_ITEMS:
            raise ValueError(f"{said.where}, column task: {said.action!r} needs a task; it is empty")
        if said.action == "take" and self._suggested.get((row, task)) is None:
            raise ValueError(f"{said.where}, column action: nothing is suggested here; name the class")
        if said.action == "new_class" or (new_classes and said.classes):
            self._classes[task] |= set(said.classes)
        for name in said.classes:
            if name not in self._classes[task]:
                raise ValueError(
                    f"{said.where}, column corrected: {name!r} is no class of {task!r}"
                    f"{nearest(name, self._classes[task])}; if it is a new class, the action is new_class"
                )
        if said.action == "label" and said.classes[0] == self._labels[task][row].as_py():
            return "keep"
        if len(said.classes) == 1:
            return "choose" if said.classes[0] in self._tasks[task].classes else "new_class"
        return said.action

    def ask(self, connection: sa.Connection, wanted: Sequence[tuple[int, str]]) -> dict[tuple[int, str], int]:
        """The question about each label, by row and task; those that nobody was asked are added, last in the queue."""
        ids = {(row.item_id, row.task): row.id for row in connection.execute(sa.select(question))}
        missing = list(dict.fromkeys(each for each in wanted if each not in ids))
        if not missing:
            return ids
        rows = list(dict.fromkeys(row for row, _ in missing))
        known = _among(connection, item.c.id, rows)
        labels = {row: {name: self._labels[name][row].as_py() for name in self._tasks} for row in rows}
        keys = {row: self._labels[self._id][row].as_py() for row in rows}
        items: list[dict[str, Any]] = [
            {
                "id": row,
                "key": keys[row],
                "search": "\n".join([keys[row], *filter(None, labels[row].values())]).lower(),
                "labels": labels[row],
            }
            for row in rows
            if row not in known
        ]
        newest = connection.execute(sa.select(sa.func.max(question.c.id), sa.func.max(question.c.position))).one()
        last, end = (value if value is not None else -1 for value in newest)
        ids |= {each: max(last, 0) + number for number, each in enumerate(missing, 1)}
        questions: list[dict[str, Any]] = [
            {
                "id": ids[row, task],
                "item_id": row,
                "task": task,
                "given": labels[row].get(task),
                "suggested": None,
                "kinds": "",
                "sampled": False,
                "severity": 0.0,
                "gain": 0.0,
                "position": end + number,
                "state": "open",
                "opinions": 0,
            }
            for number, (row, task) in enumerate(missing, 1)
        ]
        if items:
            connection.execute(item.insert(), items)
        connection.execute(question.insert(), questions)
        return ids


def _among(connection: sa.Connection, column: sa.Column, values: Sequence[Any]) -> set[Any]:
    found: set[Any] = set()
    for some in in_parts(values):
        found |= set(connection.scalars(sa.select(column).where(column.in_(some))))
    return found


def _newest(connection: sa.Connection, question_ids: Sequence[int]) -> dict[tuple[int, str], float]:
    """When each person last said something that counts to each of these questions."""
    columns = current_verdict.c.question_id, current_verdict.c.reviewer, current_verdict.c.created_at
    found = {}
    for some in in_parts(question_ids):
        for row in connection.execute(sa.select(*columns).where(current_verdict.c.question_id.in_(some))):
            found[row.question_id, row.reviewer] = row.created_at
    return found
