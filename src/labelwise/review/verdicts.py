"""What people said, kept for ever.

Verdicts are only ever added. The state of a question follows from them and is written in the same transaction.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from labelwise.labels.nearest import nearest
from labelwise.review.database import Database, in_parts, new_classes
from labelwise.review.deciding import Verdict, as_verdict, questions_of, settle
from labelwise.review.schema import item, question, stands, verdict

ACTIONS = ("keep", "take", "choose", "several", "move", "unsure", "spoiled", "new_class", "skip")
LONGEST_NOTE = 2000
LONGEST_NAME = 200
MOST_ID = 2**31 - 1


@dataclass(frozen=True)
class NewVerdict:
    """A verdict to be recorded.

    `action` is one of `ACTIONS`; `move` puts a box where the audit found it. `classes` is one class for `choose` and
    `new_class`, two or more for `several`, and else empty. `token` is any text that is its own: what was recorded under
    a token is not recorded again. `final` decides the question whatever others said. `at` is in seconds since 1970,
    default now.
    """

    reviewer: str
    question_id: int
    action: str
    classes: Sequence[str] = ()
    note: str = ""
    token: str | None = None
    final: bool = False
    at: float | None = None


def record(
    database: Database,
    reviewer: str,
    question_id: int,
    action: str,
    classes: Sequence[str] = (),
    note: str = "",
    *,
    token: str | None = None,
    final: bool = False,
    at: float | None = None,
) -> Verdict:
    """Record one verdict; see `NewVerdict`. It is durable when this returns.

    Raises `LookupError` for an unknown question, `ValueError` for what does not fit it.
    """
    return record_many(database, [NewVerdict(reviewer, question_id, action, classes, note, token, final, at)])[0]


def record_many(database: Database, verdicts: Sequence[NewVerdict], batch: str | None = None) -> list[Verdict]:
    """Record all of these verdicts or none, in their order; those of one `batch` are undone together.

    Raises as `record` does.
    """
    named = [replace(each, token=each.token or uuid.uuid4().hex) for each in verdicts]
    return database.write(lambda connection: record_within(connection, database, named, batch))


def record_within(
    connection: sa.Connection, database: Database, verdicts: Sequence[NewVerdict], batch: str | None = None
) -> list[Verdict]:
    """`record_many` within a transaction that writes more than verdicts, each of which has a token."""
    named = []
    for each in verdicts:
        assert each.token is not None
        _check(each, each.token)
        named.append((each, each.token))
    _check_text("batch", batch or "", LONGEST_NAME)
    return _record(connection, database, named, batch)


def undo(database: Database, reviewer: str, *, token: str | None = None, at: float | None = None) -> list[Verdict]:
    """Take back the newest verdict (or skip) of a person that is not yet taken back, with the whole of its batch.

    Gives what was taken back, nothing if nothing was left; the same again, and no more is taken back, if this was done
    under this `token` before.
    """
    token = token or uuid.uuid4().hex
    _check_text("token", token, LONGEST_NAME)

    def work(connection: sa.Connection) -> tuple[list[Verdict], int]:
        if f"{token}:0" in _by_token(connection, [f"{token}:0"]):
            undone = verdict.alias()
            wanted = sa.select(undone).join(verdict, verdict.c.undoes == undone.c.id).order_by(undone.c.id)
            wanted = wanted.where(verdict.c.batch == token, verdict.c.reviewer == reviewer)
            return [as_verdict(row) for row in connection.execute(wanted)], 0
        mine = sa.select(verdict).where(verdict.c.reviewer == reviewer, verdict.c.action != "undo", stands())
        newest = connection.execute(mine.order_by(verdict.c.id.desc()).limit(1)).first()
        if newest is None:
            return [], MOST_ID
        rows = [newest]
        if newest.batch is not None:
            rows = list(connection.execute(mine.where(verdict.c.batch == newest.batch).order_by(verdict.c.id)))
        items = _lock(connection, [row.question_id for row in rows])
        same = {"reviewer": reviewer, "action": "undo", "classes": [], "note": "", "final": False, "batch": token}
        same["created_at"] = time.time() if at is None else at
        new = [
            {"question_id": row.question_id, "undoes": row.id, "token": f"{token}:{number}"} | same
            for number, row in enumerate(rows)
        ]
        connection.execute(verdict.insert(), new)
        questions = settle(connection, items, database.settings["opinions"])
        return [as_verdict(row) for row in rows], min(each.position for each in questions)

    undone, position = database.write(work)
    for key, passed in list(database.passed.items()):
        database.passed[key] = min(passed, position)
    return undone


def history(database: Database, question_id: int) -> list[Verdict]:
    """All that was ever said to a question, oldest first, undos and skips among it."""
    return database.read(lambda connection: history_within(connection, question_id))


def history_within(connection: sa.Connection, question_id: int) -> list[Verdict]:
    """`history` on a connection that reads more than this."""
    wanted = sa.select(verdict).where(verdict.c.question_id == question_id).order_by(verdict.c.id)
    return [as_verdict(row) for row in connection.execute(wanted)]


def _check(each: NewVerdict, token: str) -> None:
    _check_text("reviewer", each.reviewer, LONGEST_NAME)
    if not each.reviewer.strip():
        raise ValueError("a verdict needs the name of its reviewer")
    if each.action not in ACTIONS:
        raise ValueError(f"a verdict is one of {', '.join(ACTIONS)}; got {each.action!r}")
    _check_text("note", each.note, LONGEST_NOTE)
    _check_text("token", token, LONGEST_NAME)
    for name in each.classes:
        _check_text("class", name, LONGEST_NAME)
        if not name.strip():
            raise ValueError("a class needs a name")
    few, many = {"choose": (1, 1), "new_class": (1, 1), "several": (2, 1000)}.get(each.action, (0, 0))
    if not few <= len(set(each.classes)) <= many:
        wanted = {0: "no class", 1: "one class"}.get(many, "two or more classes")
        raise ValueError(f"{each.action!r} takes {wanted}; got {list(each.classes)[:20]}")


def _check_text(what: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise ValueError(f"a {what} has at most {longest} characters; got {len(text)}")
    if "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        raise ValueError(f"a {what} must be text that can be stored; got {text[:40]!r}")


def _record(
    connection: sa.Connection, database: Database, named: Sequence[tuple[NewVerdict, str]], batch: str | None
) -> list[Verdict]:
    items = _lock(connection, [each.question_id for each, _ in named])
    known = _by_token(connection, [token for _, token in named])
    questions = {row.id: row for row in questions_of(connection, items)}
    fresh: dict[str, dict[str, Any]] = {}
    made: dict[str, set[str]] = {}
    for each, token in named:
        if each.question_id not in questions:
            raise LookupError(f"there is no question {each.question_id}")
        asked = questions[each.question_id]
        if token in known:
            if (known[token].reviewer, known[token].question_id) != (each.reviewer, each.question_id):
                raise ValueError(f"the token {token!r} was used for another verdict; give each verdict its own")
            continue
        classes = _fitting(connection, database, each, asked, made)
        fresh[token] = {
            "question_id": each.question_id,
            "reviewer": each.reviewer,
            "action": each.action,
            "classes": classes,
            "note": each.note,
            "final": each.final,
            "undoes": None,
            "batch": batch,
            "token": token,
            "created_at": time.time() if each.at is None else each.at,
        }
    if fresh:
        connection.execute(verdict.insert(), list(fresh.values()))
        settle(connection, items, database.settings["opinions"])
        known |= _by_token(connection, list(fresh))
    return [known[token] for _, token in named]


def _fitting(
    connection: sa.Connection, database: Database, each: NewVerdict, asked: Any, made: dict[str, set[str]]
) -> list[str]:
    """The classes that a verdict means, checked against what may be answered to its question."""
    if each.action == "keep":
        return [] if asked.given is None else [asked.given]
    if each.action == "take":
        if asked.suggested is None:
            raise ValueError(f"nothing is suggested for question {asked.id}; choose a class")
        return [asked.suggested]
    if each.action == "move" and "misplaced_box" not in asked.kinds.split():
        raise ValueError(f"no other place is suggested for question {asked.id}; keep it, or say spoiled")
    if not each.classes:
        return []
    if asked.task not in database.tasks:
        raise ValueError(f"question {asked.id} is about the item itself and has no classes; keep it, or say spoiled")
    known = database.tasks[asked.task].classes
    if each.action == "new_class":
        made.setdefault(asked.task, set()).add(each.classes[0])
        return list(each.classes)
    unknown = [name for name in each.classes if name not in database.class_sets[asked.task]]
    if unknown and not set(unknown) <= (made.get(asked.task, set()) | set(new_classes(connection, asked.task))):
        raise ValueError(
            f"{unknown[0]!r} is no class of {asked.task!r}{nearest(unknown[0], known)}; name it as a new class"
        )
    return sorted(set(each.classes))


def _lock(connection: sa.Connection, question_ids: Sequence[int]) -> list[int]:
    """The items of these questions, kept from other writers until the transaction ends."""
    ids = {each for each in question_ids if 0 < each <= MOST_ID}
    items: set[int] = set()
    for some in in_parts(sorted(ids)):
        items |= set(connection.scalars(sa.select(question.c.item_id).where(question.c.id.in_(some))))
    for some in in_parts(sorted(items)):
        connection.execute(sa.select(item.c.id).where(item.c.id.in_(some)).order_by(item.c.id).with_for_update())
    return sorted(items)


def _by_token(connection: sa.Connection, tokens: Sequence[str]) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    for some in in_parts(tokens):
        found |= {
            row.token: as_verdict(row)
            for row in connection.execute(sa.select(verdict).where(verdict.c.token.in_(some)))
        }
    return found
