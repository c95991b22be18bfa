"""What people said, kept for ever, and what it means for each question.

Verdicts are only ever added. The state of a question follows from them and is written in the same transaction.
"""

import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from labelwise.labels.nearest import nearest
from labelwise.review.database import Database, new_classes
from labelwise.review.schema import current_verdict, item, question, stands, verdict

if TYPE_CHECKING:
    import pandas as pd

ACTIONS = ("keep", "take", "choose", "several", "unsure", "spoiled", "new_class", "skip")
LONGEST_NOTE = 2000
LONGEST_NAME = 200
MOST_ID = 2**31 - 1

_LABEL = ("keep", "take", "choose", "new_class")
_CHUNK = 500


@dataclass(frozen=True)
class NewVerdict:
    """A verdict to be recorded.

    `action` is one of `ACTIONS`; `classes` is one class for `choose` and `new_class`, two or more for `several`, and
    else empty. `token` is any text that is its own: what was recorded under a token is not recorded again. `final`
    decides the question whatever others said. `at` is in seconds since 1970, default now.
    """

    reviewer: str
    question_id: int
    action: str
    classes: Sequence[str] = ()
    note: str = ""
    token: str | None = None
    final: bool = False
    at: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A verdict as it was recorded: `classes` names what `keep` and `take` mean, `undoes` what an undo takes back."""

    id: int
    question_id: int
    reviewer: str
    action: str
    classes: tuple[str, ...]
    note: str
    final: bool
    undoes: int | None
    batch: str | None
    token: str
    created_at: float


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
            return [_verdict(row) for row in connection.execute(wanted)], 0
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
        questions = _settle(connection, items, database.settings["opinions"])
        return [_verdict(row) for row in rows], min(each.position for each in questions)

    undone, position = database.write(work)
    for key, passed in list(database.passed.items()):
        database.passed[key] = min(passed, position)
    return undone


def history(database: Database, question_id: int) -> list[Verdict]:
    """All that was ever said to a question, oldest first, undos and skips among it."""
    wanted = sa.select(verdict).where(verdict.c.question_id == question_id).order_by(verdict.c.id)
    return [_verdict(row) for row in database.rows(wanted)]


def decisions(database: Database) -> "pd.DataFrame":
    """What people's current verdicts mean, as a table; see `answered`."""
    import pandas as pd  # here, as it takes half a second, which a server that is asked for a question has not

    names = ["question_id", "item_id", "key", "task", "given", "suggested", "sampled", "state", "action", "classes"]
    return pd.DataFrame(answered(database), columns=[*names, "reviewers", "notes", "at"])


def answered(database: Database) -> list[dict[str, Any]]:
    """What people's current verdicts mean, one row for each question that has any, by item and task.

    Keys: `question_id`, `item_id`, `key`, `task`, `given`, `suggested`, `sampled`, `state` ("open" while opinions
    are missing, "decided", "conflict"); `action` ("label", "several", "unsure", "spoiled", or "keep" where there is no
    label to keep) and `classes` (a tuple; None, None unless decided); `reviewers` and `notes` (tuples), `at` (seconds
    since 1970, of the newest verdict).
    """
    columns = [question.c[name] for name in ("id", "item_id", "task", "given", "suggested", "sampled")]

    def work(connection: sa.Connection) -> list[dict[str, Any]]:
        spoken = sa.select(question.c.item_id).join(verdict, verdict.c.question_id == question.c.id)
        asked = sa.select(*columns, item.c.key).join(item).where(question.c.item_id.in_(spoken))
        questions = connection.execute(asked.order_by(question.c.item_id, question.c.task)).all()
        said = _counting(connection, questions, None)
        rows = []
        for each in questions:
            voices = said.get(each.id, {})
            if not voices:
                continue
            state, answer = decide(voices.values(), database.settings["opinions"])
            rows.append(
                {
                    "question_id": each.id,
                    "item_id": each.item_id,
                    "key": each.key,
                    "task": each.task,
                    "given": each.given,
                    "suggested": each.suggested,
                    "sampled": each.sampled,
                    "state": state,
                    "action": answer and answer.action,
                    "classes": answer and answer.classes,
                    "reviewers": tuple(voices),
                    "notes": tuple(voice.note for voice in voices.values() if voice.note),
                    "at": max(voice.created_at for voice in voices.values()),
                }
            )
        return rows

    return database.read(work)


class Answer(NamedTuple):
    """What a verdict means, so that two verdicts agree if they mean the same."""

    action: str
    classes: tuple[str, ...]


def meaning(action: str, classes: Collection[str]) -> Answer:
    """`keep`, `take`, `choose`, `new_class` and `several` of one class all mean a label; the rest means itself."""
    classes = tuple(sorted(classes))
    return Answer("label", classes) if len(classes) == 1 else Answer(action, classes)


def decide(verdicts: Iterable[Verdict], opinions: int) -> tuple[str, Answer | None]:
    """The state of a question whose current verdicts, one a person, are these, and the answer if it is decided.

    The newest final verdict decides; else all must agree, and be `opinions` or more.
    """
    verdicts = sorted(verdicts, key=lambda each: each.id)
    final = [each for each in verdicts if each.final]
    answers = [meaning(each.action, each.classes) for each in verdicts]
    if final:
        return "decided", meaning(final[-1].action, final[-1].classes)
    if len(set(answers)) > 1:
        return "conflict", None
    if len(answers) >= opinions:
        return "decided", answers[0]
    return "open", None


def require(database: Database, opinions: int) -> None:
    """Ask for this many people's opinions of each question, 1 or more, from now on and of what was said so far."""
    if opinions < 1:
        raise ValueError(f"a question needs the opinion of 1 person or more; got {opinions}")
    if opinions != database.settings["opinions"]:
        database.set(opinions=opinions)
        rebuild(database)


def rebuild(database: Database) -> None:
    """Write the state of all questions anew from the verdicts, for instance under another number of opinions."""

    def work(connection: sa.Connection) -> None:
        spoken = sa.select(question.c.item_id).join(verdict, verdict.c.question_id == question.c.id).distinct()
        _settle(connection, list(connection.scalars(spoken)), database.settings["opinions"])

    database.write(work)


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
    questions = {row.id: row for row in _questions(connection, items)}
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
        _settle(connection, items, database.settings["opinions"])
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
    for some in _chunks(sorted(ids)):
        items |= set(connection.scalars(sa.select(question.c.item_id).where(question.c.id.in_(some))))
    for some in _chunks(sorted(items)):
        connection.execute(sa.select(item.c.id).where(item.c.id.in_(some)).order_by(item.c.id).with_for_update())
    return sorted(items)


def _questions(connection: sa.Connection, items: Sequence[int]) -> list[Any]:
    columns = [
        question.c[name] for name in ("id", "item_id", "task", "given", "suggested", "state", "opinions", "position")
    ]
    rows: list[Any] = []
    for some in _chunks(items):
        rows.extend(connection.execute(sa.select(*columns).where(question.c.item_id.in_(some))))
    return rows


def _settle(connection: sa.Connection, items: Sequence[int], opinions: int) -> list[Any]:
    """Write the state of all questions of these items as the verdicts want it; gives the questions as they were."""
    questions = _questions(connection, items)
    said = _counting(connection, questions, items)
    changed: dict[tuple[str, int], list[int]] = {}
    for each in questions:
        voices = said.get(each.id, {})
        now = decide(voices.values(), opinions)[0], len(voices)
        if now != (each.state, each.opinions):
            changed.setdefault(now, []).append(each.id)
    for (state, people), ids in changed.items():
        for some in _chunks(ids):
            connection.execute(question.update().where(question.c.id.in_(some)).values(state=state, opinions=people))
    return questions


def _counting(
    connection: sa.Connection, questions: Sequence[Any], items: Sequence[int] | None
) -> Mapping[int, dict[str, Verdict]]:
    """The verdict of each person that counts, by question: the newest of those to it, and of "spoiled" for its item."""
    current: list[Any] = []
    wanted = sa.select(current_verdict)
    if items is None:
        current.extend(connection.execute(wanted))
    for some in _chunks(items or []):
        of = sa.select(question.c.id).where(question.c.item_id.in_(some))
        current.extend(connection.execute(wanted.where(current_verdict.c.question_id.in_(of))))
    item_of = {each.id: each.item_id for each in questions}
    siblings: dict[int, list[int]] = {}
    for each in questions:
        siblings.setdefault(each.item_id, []).append(each.id)
    counting: dict[int, dict[str, Verdict]] = {}
    for row in sorted(current, key=lambda each: each.id):
        said = _verdict(row)
        about = siblings[item_of[said.question_id]] if said.action == "spoiled" else [said.question_id]
        for each in about:
            counting.setdefault(each, {}).pop(said.reviewer, None)
            counting[each][said.reviewer] = said
    return counting


def _by_token(connection: sa.Connection, tokens: Sequence[str]) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}
    for some in _chunks(tokens):
        found |= {
            row.token: _verdict(row) for row in connection.execute(sa.select(verdict).where(verdict.c.token.in_(some)))
        }
    return found


def _verdict(row: Any) -> Verdict:
    values: dict[str, Any] = row._asdict()
    return Verdict(**(values | {"classes": tuple(values["classes"])}))


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
