"""The review as JSON: everything that the page does."""

import math
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from labelwise.review.agreement import reviewer_statistics
from labelwise.review.context import REFUSED, Reader, Review, TheReview, Wanted, Writer, told
from labelwise.review.deciding import Verdict
from labelwise.review.people import Event, Person, events, note_event
from labelwise.review.queue import Counts, Question, counts, next_question, page, pairs, question_by_id, release
from labelwise.review.security import admin
from labelwise.review.showing import show
from labelwise.review.standing import Standing
from labelwise.review.suggestions import find_classes
from labelwise.review.verdicts import ACTIONS, LONGEST_NAME, LONGEST_NOTE, NewVerdict, record_many, undo

MOST = 500  # questions in one bulk verdict

Name = Annotated[str, Field(max_length=LONGEST_NAME)]
Row = Annotated[int, Path(ge=0, le=2**53)]

router = APIRouter(prefix="/api", responses=REFUSED)


class NewVerdicts(BaseModel):
    """One verdict on one question or on many; what was sent under a token before is not recorded again."""

    questions: Annotated[list[int], Field(min_length=1, max_length=MOST)]
    action: Annotated[Name, Field(json_schema_extra={"enum": [*ACTIONS]})]
    classes: Annotated[list[Name], Field(max_length=1000)] = []
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    token: Annotated[str, Field(max_length=100)] | None = None
    final: bool = False


class Undo(BaseModel):
    """Take the newest verdict back; under the same token once only."""

    token: Annotated[str, Field(max_length=100)] | None = None


class Pair(BaseModel):
    """How many questions have this given and this suggested class."""

    task: str
    given: str | None
    suggested: str | None
    number: int


def give(review: Review, person: Person, said: NewVerdicts) -> list[Verdict]:
    """Record what a person said: all of it or nothing; on several questions, to be undone together."""
    if said.final and not person.may("admin"):
        raise HTTPException(403, f"{person.name} may not decide for others; that is for an admin.")
    token = said.token or uuid.uuid4().hex
    asked = list(dict.fromkeys(said.questions))
    verdicts = [
        NewVerdict(person.name, each, said.action, said.classes, said.note, f"{token}:{each}", said.final)
        for each in asked
    ]
    with told():
        given = record_many(review.database, verdicts, token if len(asked) > 1 else None)
    if said.final:
        note_event(review.database, person.name, "final verdict", questions=asked)
    return given


@router.get("/next")
def next_to_decide(review: TheReview, person: Writer, wanted: Wanted) -> dict[str, Any] | None:
    """The next question for the person who asks, whose item is then held for them; null at the end."""
    with told():
        found = next_question(review.database, person.name, wanted, time.time())
        return None if found is None else show(review, found.id, person)


@router.get("/questions")
def list_questions(
    review: TheReview,
    person: Reader,
    wanted: Wanted,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> list[Question]:
    """Questions in their order, whoever holds them."""
    return page(review.database, wanted, offset, limit)


@router.get("/questions/{question_id}")
def one_question(review: TheReview, person: Reader, question_id: Row) -> dict[str, Any]:
    """All that is known of a question."""
    with told():
        return show(review, question_id, person)


@router.get("/counts")
def count_questions(review: TheReview, person: Reader, wanted: Wanted) -> Counts:
    """How many questions there are by state, and by kind and task within the state."""
    return counts(review.database, wanted)


@router.get("/pairs")
def list_pairs(
    review: TheReview, person: Reader, wanted: Wanted, limit: Annotated[int, Query(ge=1, le=MOST)] = 50
) -> list[Pair]:
    """Which class is taken for which how often, the most frequent first."""
    found = pairs(review.database, wanted, limit)
    return [Pair(task=task, given=given, suggested=other, number=number) for task, given, other, number in found]


@router.post("/verdicts")
def give_verdicts(review: TheReview, person: Writer, said: NewVerdicts) -> list[Verdict]:
    """Record a verdict, on one question or on several at once: all or nothing."""
    return give(review, person, said)


@router.post("/undo")
def take_back(review: TheReview, person: Writer, how: Undo) -> list[Verdict]:
    """Take back the newest verdict of the person who asks, or all of a bulk verdict; empty if nothing is left."""
    with told():
        return undo(review.database, person.name, token=how.token)


@router.post("/release", status_code=204)
def let_go(review: TheReview, person: Writer) -> None:
    """Let go of the item that is held for the person who asks."""
    release(review.database, person.name)


@router.get("/classes")
def search_classes(
    review: TheReview,
    person: Reader,
    task: Annotated[str, Query(max_length=LONGEST_NAME)],
    typed: Annotated[str, Query(max_length=LONGEST_NAME)] = "",
    under: Annotated[str, Query(max_length=LONGEST_NAME)] = "",
    question: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> list[str]:
    """The classes of a task that hold every word typed, the best first; `under` a class of the parent task.

    Equally good ones come as the models find them likely for the item of `question`.
    """
    with told():
        names = review.database.classes(task)
        row = None if question is None else question_by_id(review.database, question).item_id
    chances = None if row is None else review.predictions.of(row, task)
    above = review.contents.tree.get(task)
    return find_classes(names, typed, under=under, above=above, probabilities=chances)


@router.get("/standing")
def how_it_stands(review: TheReview, person: Reader) -> Standing:
    """How many errors are left, with intervals, whether going on pays, and what each kind of finding was worth."""
    return review.learned.standing()


@router.get("/people")
def what_people_did(review: TheReview, person: Reader) -> dict[str, Any]:
    """What each reviewer did, and how far they agree; null where there is nothing to compare."""
    found = reviewer_statistics(review.database)
    return {name: [_finite(each._asdict()) for each in getattr(found, name)] for name in found._fields}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(each, float) and math.isnan(each) else each for name, each in values.items()}


@router.get("/events")
def audit_log(
    review: TheReview,
    person: Annotated[Person, Depends(admin)],
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> list[Event]:
    """Who logged in or was refused, exported, imported or decided for others; the newest first, for admins."""
    return events(review.database, limit, before)


@router.get("/items/{row}")
def one_item(review: TheReview, person: Reader, row: Row) -> dict[str, Any]:
    """What an item looks like, but for its picture or sound: these are under /items."""
    with told():
        return review.contents.item(row)


@router.get("/live", response_class=EventSourceResponse)
async def live_counts(review: TheReview, person: Reader, wanted: Wanted) -> AsyncIterator[ServerSentEvent]:
    """The counts at once and whenever they change, as events named "counts"."""
    async for event in review.live.events(wanted):
        yield event
