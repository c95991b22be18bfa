"""What people's verdicts mean: which of them count, whether people agree, and what is decided."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from labelwise.review.database import Database, in_parts
from labelwise.review.schema import current_verdict, item, question, verdict


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


def answered(database: Database) -> list[dict[str, Any]]:
    """What people's current verdicts mean, one row for each question that has any, by item and task.

    Keys: `question_id`, `item_id`, `key`, `task`, `given`, `suggested`, `sampled`, `state` ("open" while opinions
    are missing, "decided", "conflict"); `action` ("label", "several", "move", "unsure", "spoiled", or "keep" where
    there is no label to keep) and `classes` (a tuple; None, None unless decided); `reviewers` and `notes` (tuples),
    `at` (seconds since 1970, of the newest verdict).
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
        settle(connection, list(connection.scalars(spoken)), database.settings["opinions"])

    database.write(work)


def settle(connection: sa.Connection, items: Sequence[int], opinions: int) -> list[Any]:
    """Write the state of all questions of these items as the verdicts want it; gives the questions as they were."""
    questions = questions_of(connection, items)
    said = _counting(connection, questions, items)
    changed: dict[tuple[str, int], list[int]] = {}
    for each in questions:
        voices = said.get(each.id, {})
        now = decide(voices.values(), opinions)[0], len(voices)
        if now != (each.state, each.opinions):
            changed.setdefault(now, []).append(each.id)
    for (state, people), ids in changed.items():
        for some in in_parts(ids):
            connection.execute(question.update().where(question.c.id.in_(some)).values(state=state, opinions=people))
    return questions


def questions_of(connection: sa.Connection, items: Sequence[int]) -> list[Any]:
    """The questions about these items, as rows."""
    columns = [
        question.c[name]
        for name in ("id", "item_id", "task", "given", "suggested", "kinds", "state", "opinions", "position")
    ]
    rows: list[Any] = []
    for some in in_parts(items):
        rows.extend(connection.execute(sa.select(*columns).where(question.c.item_id.in_(some))))
    return rows


def _counting(
    connection: sa.Connection, questions: Sequence[Any], items: Sequence[int] | None
) -> Mapping[int, dict[str, Verdict]]:
    """The verdict of each person that counts, by question: the newest of those to it, and of "spoiled" for its item."""
    current: list[Any] = []
    wanted = sa.select(current_verdict)
    if items is None:
        current.extend(connection.execute(wanted))
    for some in in_parts(items or []):
        of = sa.select(question.c.id).where(question.c.item_id.in_(some))
        current.extend(connection.execute(wanted.where(current_verdict.c.question_id.in_(of))))
    item_of = {each.id: each.item_id for each in questions}
    siblings: dict[int, list[int]] = {}
    for each in questions:
        siblings.setdefault(each.item_id, []).append(each.id)
    counting: dict[int, dict[str, Verdict]] = {}
    for row in sorted(current, key=lambda each: each.id):
        said = as_verdict(row)
        about = siblings[item_of[said.question_id]] if said.action == "spoiled" else [said.question_id]
        for each in about:
            counting.setdefault(each, {}).pop(said.reviewer, None)
            counting[each][said.reviewer] = said
    return counting


def as_verdict(row: Any) -> Verdict:
    """A row of the table as a `Verdict`."""
    values: dict[str, Any] = row._asdict()
    return Verdict(**(values | {"classes": tuple(values["classes"])}))
