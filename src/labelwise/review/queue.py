"""Which question comes next, and for whom."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from labelwise.review.database import Database
from labelwise.review.schema import finding, item, question, stands, verdict
from labelwise.review.verdicts import MOST_ID, history_within

STATES = ("open", "conflict", "decided", "all")
_MARKS = 10_000  # places in the queue that are kept in mind
_FEW = 500  # items that a query may list
_AHEAD = 64  # candidates looked at together where others hold the first


@dataclass(frozen=True)
class Filter:
    """Which questions are wanted; None takes all.

    `task` is a label column, "" for questions about the item itself. `kind` is a kind of finding. `given` and
    `suggested` are classes, `annotator` the person whose label it is (a task that the audit was told is one person's
    answers). `text` is to be found in the item's id, labels or text, whatever the case. `state` is one of `STATES`.
    Raises `ValueError` for another state, and for text that no database takes.
    """

    task: str | None = None
    kind: str | None = None
    given: str | None = None
    suggested: str | None = None
    annotator: str | None = None
    text: str | None = None
    state: str = "open"

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"the state of a question is one of {', '.join(STATES)}; got {self.state!r}")
        for name, value in asdict(self).items():
            if value is not None and any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value):
                raise ValueError(f"{name} must be text that can be stored; got {value[:40]!r}")


@dataclass(frozen=True)
class Question:
    """A question: what is asked of whom.

    `item_id` is the row in the audited table, `key` its id. `kinds` are those of its findings in alphabetical order;
    none where the question was `sampled` at random. `opinions` counts the people whose verdict counts.
    """

    id: int
    item_id: int
    key: str
    task: str
    given: str | None
    suggested: str | None
    kinds: tuple[str, ...]
    sampled: bool
    severity: float
    gain: float
    position: int
    state: str
    opinions: int


@dataclass(frozen=True)
class Counts:
    """How many questions there are, by state, and by kind and task those of the state that was asked for."""

    states: dict[str, int]
    kinds: dict[str, int]
    tasks: dict[str, int]


def next_question(database: Database, reviewer: str, filter: Filter, now: float) -> Question | None:
    """The first question for a person, None at the end; its item is leased to them until `now` + `lease_seconds`.

    What others hold is passed over, and what this person has answered or skipped. In the state "conflict" only what
    they skipped since somebody else last said something. A person holds one item at a time.
    """
    key = (reviewer, filter)
    if len(database.passed) > _MARKS:
        database.passed.clear()
    start = database.passed.get(key, 0)
    after, ahead = start - 1, 1
    while True:
        rows = database.rows(_candidates(database, reviewer, filter, after).limit(ahead))
        if after < start and rows and filter.state == "open":
            database.passed[key] = rows[0].position
        for row in rows:
            free = row.leased_by in (None, reviewer) or row.leased_until <= now
            if free and hold(database, reviewer, row, now):
                return _question(row)
        if len(rows) == ahead:
            after, ahead = rows[-1].position, _AHEAD
        elif start > 0:
            start, after, ahead = 0, -1, 1
        else:
            return None


def hold(database: Database, reviewer: str, wanted: Any, now: float) -> bool:
    """Lease the item of a question (`Question`, or a row like it) to a person, and let go of what they held.

    Gives whether that could be: not if another person holds it, or if the question has changed its state since.
    """
    free = item.c.leased_by.is_(None) | (item.c.leased_by == reviewer) | (item.c.leased_until <= now)
    state = sa.select(question.c.state).where(question.c.id == wanted.id).scalar_subquery()

    def work(connection: sa.Connection) -> bool:
        lease = item.update().where(item.c.id == wanted.item_id, free, state == wanted.state)
        until = now + database.settings["lease_seconds"]
        if not connection.execute(lease.values(leased_by=reviewer, leased_until=until)).rowcount:
            return False
        others = (item.c.leased_by == reviewer) & (item.c.id != wanted.item_id)
        connection.execute(item.update().where(others).values(leased_by=None, leased_until=None))
        return True

    return database.write(work)


def release(database: Database, reviewer: str) -> None:
    """Let go of what a person holds."""

    def work(connection: sa.Connection) -> None:
        held = item.c.leased_by == reviewer
        connection.execute(item.update().where(held).values(leased_by=None, leased_until=None))

    database.write(work)


def question_by_id(database: Database, question_id: int) -> Question:
    """One question. Raises `LookupError` if there is none of this id."""
    return database.read(lambda connection: _question(_row(connection, question_id)))


def _row(connection: sa.Connection, question_id: int) -> Any:
    wanted = _select().where(question.c.id == question_id)
    row = connection.execute(wanted).first() if 0 < question_id <= MOST_ID else None
    if row is None:
        raise LookupError(f"there is no question {question_id}")
    return row


def details(database: Database, question_id: int) -> dict[str, Any]:
    """All that is known of a question, in one dictionary: the fields of `Question`, and more.

    `findings` (each with `kind`, `score`, `suggested`, `why`; worst first), `history` (verdicts, oldest first),
    `others` (the other questions of its item, in their order), `labels` (the given label of each task of the item,
    None where missing), `leased_by` and `leased_until`. Raises `LookupError` if there is no such question.
    """
    columns = [finding.c[name] for name in ("kind", "score", "suggested", "why")]

    def work(connection: sa.Connection) -> dict[str, Any]:
        asked = _question(_row(connection, question_id))
        found = sa.select(*columns).where(finding.c.question_id == question_id).order_by(finding.c.score.desc())
        others = _select().where(question.c.item_id == asked.item_id, question.c.id != question_id)
        of = connection.execute(sa.select(item).where(item.c.id == asked.item_id)).one()
        return asdict(asked) | {
            "history": history_within(connection, question_id),
            "findings": [dict(row._mapping) for row in connection.execute(found)],
            "others": [_question(row) for row in connection.execute(others.order_by(question.c.position))],
            "labels": of.labels,
            "leased_by": of.leased_by,
            "leased_until": of.leased_until,
        }

    return database.read(work)


def page(database: Database, filter: Filter, offset: int = 0, limit: int = 50) -> list[Question]:
    """Questions `offset` to `offset` + `limit`, in their order, whoever holds them."""
    ids = sa.select(question.c.id).where(*_conditions(database, filter)).order_by(question.c.position)
    ids = ids.offset(min(max(offset, 0), MOST_ID)).limit(min(max(limit, 0), 1000))
    wanted = _select().where(question.c.id.in_(ids)).order_by(question.c.position)
    return [_question(row) for row in database.rows(wanted)]


def pairs(database: Database, filter: Filter, limit: int = 50) -> list[tuple[str, str | None, str | None, int]]:
    """(task, given, suggested) and how many questions have them, the most frequent first."""
    columns = (question.c.task, question.c.given, question.c.suggested)
    number = sa.func.count()
    wanted = sa.select(*columns, number).where(*_conditions(database, filter)).group_by(*columns)
    wanted = wanted.order_by(number.desc(), *columns).limit(limit)
    return [tuple(row) for row in database.rows(wanted)]


def counts(database: Database, filter: Filter) -> Counts:
    """How many questions there are: by state whatever the filter's, by kind and task within it."""
    columns = (question.c.state, question.c.task, question.c.kinds)
    wanted = sa.select(*columns, sa.func.count()).where(*_conditions(database, filter, any_state=True))
    states, kinds, tasks = Counter(dict.fromkeys(STATES[:-1], 0)), Counter[str](), Counter[str]()
    for state, task, of, number in database.rows(wanted.group_by(*columns)):
        states[state] += number
        if filter.state in (state, "all"):
            tasks[task] += number
            kinds.update(dict.fromkeys(of.split(), number))
    return Counts(dict(states), dict(sorted(kinds.items())), dict(sorted(tasks.items())))


def _select() -> sa.Select:
    names = [name for name in Question.__dataclass_fields__ if name != "key"]
    return sa.select(*(question.c[name] for name in names), item.c.key, item.c.leased_by, item.c.leased_until).join(
        item
    )


def _question(row: Any) -> Question:
    values = {name: getattr(row, name) for name in Question.__dataclass_fields__}
    return Question(**(values | {"kinds": tuple(row.kinds.split())}))


def _conditions(database: Database, filter: Filter, any_state: bool = False) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if filter.state != "all" and not any_state:
        conditions.append(question.c.state == filter.state)
    for name in ("task", "given", "suggested"):
        if (value := getattr(filter, name)) is not None:
            conditions.append(question.c[name] == value)
    if filter.annotator is not None:
        of_people = database.settings.get("annotators", [])
        conditions.append(question.c.task == filter.annotator if filter.annotator in of_people else sa.false())
    if filter.kind is not None:
        with_it = [kinds for kinds in database.settings.get("kinds", []) if filter.kind in kinds.split()]
        conditions.append(question.c.kinds.in_(with_it))
    if filter.text:
        conditions.append(_holds(database, filter.text))
    return conditions


def _holds(database: Database, text: str) -> sa.ColumnElement[bool]:
    """Whether the item of a question holds this text."""
    held = item.alias()  # apart from the items that a query joins
    holds = held.c.search.contains(text.lower(), autoescape=True)
    few = database.rows(sa.select(held.c.id).where(holds).limit(_FEW + 1))
    if len(few) <= _FEW:  # found in one go through the items; through the questions each is looked up by its number
        return question.c.item_id.in_([row.id for row in few])
    return sa.exists().where(held.c.id == question.c.item_id, holds)


def _candidates(database: Database, reviewer: str, filter: Filter, after: int) -> sa.Select:
    said, since = verdict.alias(), verdict.alias()
    mine = sa.select(sa.func.max(said.c.id)).where(said.c.question_id == question.c.id, said.c.reviewer == reviewer)
    mine = mine.where(said.c.action != "undo", stands(said))
    if filter.state == "conflict":
        others = sa.select(sa.func.max(since.c.id)).where(since.c.question_id == question.c.id)
        others = others.where(since.c.reviewer != reviewer)
        mine = mine.where(said.c.action == "skip", said.c.id > others.scalar_subquery())
    passed = question.c.position > after
    wanted = _select().where(*_conditions(database, filter), passed, mine.scalar_subquery().is_(None))
    return wanted.order_by(question.c.position)
