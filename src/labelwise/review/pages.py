"""The pages, and the parts of them that are fetched while one works."""

import time
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

import labelwise
from labelwise.review import api
from labelwise.review.context import Reader, Review, TheReview, Wanted, Writer, told
from labelwise.review.deciding import Verdict
from labelwise.review.people import Person, events
from labelwise.review.queue import Filter, counts, hold, next_question, page, pairs, question_by_id
from labelwise.review.showing import SAID, item_of, show
from labelwise.review.verdicts import LONGEST_NOTE, undo
from labelwise.review.words import marked
from labelwise.runs import ANNOTATIONS
from labelwise.wording import SIGNS, title_of

GRID = 60  # thumbnails on one page
PAIRS = 40
LOGGED = 10  # lines of the audit log
LISTED = 2000  # classes that the filter offers

router = APIRouter(include_in_schema=False)


@router.get("/")
def queue(request: Request, review: TheReview, person: Reader, wanted: Wanted) -> Response:
    """The next question."""
    shown = _next(review, person, wanted)
    return _page(request, "queue.html.j2", review, person, wanted, **_stage(review, person, wanted, shown))


@router.get("/questions/{question_id}")
def one(request: Request, review: TheReview, person: Reader, question_id: int) -> Response:
    """One question, by its number."""
    shown = _this(review, person, question_id)
    wanted = Filter()
    return _page(request, "queue.html.j2", review, person, wanted, **_stage(review, person, wanted, shown))


@router.get("/stage")
def stage(request: Request, review: TheReview, person: Reader, wanted: Wanted) -> Response:
    """The next question, under another filter."""
    return _fragment(request, review, person, wanted, _next(review, person, wanted))


@router.post("/verdict")
def verdict(
    request: Request,
    review: TheReview,
    person: Writer,
    wanted: Wanted,
    question: Annotated[int, Form()],
    action: Annotated[str, Form()],
    token: Annotated[str, Form(max_length=100)],
    classes: Annotated[list[str] | None, Form()] = None,
    note: Annotated[str, Form(max_length=LONGEST_NOTE)] = "",
    final: Annotated[bool, Form()] = False,
) -> Response:
    """Record a verdict and show the next question."""
    action, _, chosen = action.partition(":")  # a suggestion is one button: "choose:CLASS"
    with told():
        said = api.NewVerdicts(
            questions=[question],
            action=action,
            classes=[chosen] if chosen else classes or [],
            note=note,
            token=token,
            final=final,
        )
    given = api.give(review, person, said)
    return _fragment(request, review, person, wanted, _next(review, person, wanted), _told(given))


@router.post("/undo")
def take_back(
    request: Request,
    review: TheReview,
    person: Writer,
    wanted: Wanted,
    view: Annotated[Literal["queue", "grid"], Form()] = "queue",
) -> Response:
    """Take back the newest verdict and show its question again."""
    with told():
        undone = undo(review.database, person.name)
    notice = f"Taken back: {_told(undone)}" if undone else "There is nothing left to take back."
    if view == "grid":
        return _grid(request, review, person, wanted, 0, notice)
    shown = _this(review, person, undone[0].question_id) if undone else _next(review, person, wanted)
    return _fragment(request, review, person, wanted, shown, notice)


@router.get("/classes")
def classes(
    request: Request,
    review: TheReview,
    person: Reader,
    task: str,
    typed: str = "",
    under: str = "",
    question: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """The list under the field in which one types a class."""
    found = api.search_classes(review, person, task, typed, under, question)
    return _render(request, "classes.html.j2", found=found, above=review.contents.tree.get(task, {}), typed=typed)


@router.get("/grid")
def grid(
    request: Request,
    review: TheReview,
    person: Reader,
    wanted: Wanted,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Response:
    """Many thumbnails at once, best of one pair of classes."""
    if request.headers.get("hx-request"):
        return _grid(request, review, person, wanted, offset)
    return _page(request, "grid.html.j2", review, person, wanted, **_thumbnails(review, wanted, offset))


@router.get("/progress")
def progress(request: Request, review: TheReview, person: Reader) -> Response:
    """Where the review stands: errors left, what findings were worth, who did what, who agrees with whom."""
    people = api.what_people_did(review, person)
    log = events(review.database, LOGGED) if person.may("admin") else []
    stands = review.learned.standing()
    of_boxes = (review.database.run / ANNOTATIONS).is_file()
    return _page(
        request, "progress.html.j2", review, person, Filter(), stands=stands, people=people, log=log, of_boxes=of_boxes
    )


@router.get("/advice")
def advice(request: Request, review: TheReview, person: Reader) -> Response:
    """Whether going on pays, and how many errors are left, in one line."""
    return _render(request, "advice.html.j2", stands=review.learned.standing(patience=60))


@router.post("/bulk")
def bulk(
    request: Request,
    review: TheReview,
    person: Writer,
    wanted: Wanted,
    action: Annotated[str, Form()],
    token: Annotated[str, Form(max_length=100)],
    questions: Annotated[list[int] | None, Form(max_length=api.MOST)] = None,
    classes: Annotated[list[str] | None, Form()] = None,
    note: Annotated[str, Form(max_length=LONGEST_NOTE)] = "",
) -> Response:
    """Record one verdict on all that are selected."""
    if not questions:
        raise HTTPException(400, "Nothing is selected.")
    with told():
        said = api.NewVerdicts(questions=questions, action=action, classes=classes or [], note=note, token=token)
    return _grid(request, review, person, wanted, 0, _told(api.give(review, person, said)))


def login_page(request: Request, back: str, name: str = "", why: str = "") -> Response:
    """Where one logs in; `why` says what was wrong."""
    return _render(request, "login.html.j2", 401 if why else 200, back=back, name=name, why=why)


def error_page(request: Request, status: int, why: str) -> Response:
    """What went wrong."""
    return _render(request, "error.html.j2", status, why=why, code=status)


def _this(review: Review, person: Person, question_id: int) -> dict[str, Any]:
    """This question, whose item is then held for who asks if nobody else holds it."""
    with told():
        if person.may("reviewer"):
            hold(review.database, person.name, question_by_id(review.database, question_id), time.time())
        return show(review, question_id, person)


def _next(review: Review, person: Person, wanted: Filter) -> dict[str, Any] | None:
    """The next question; who may give no verdict sees the first, and holds nothing."""
    with told():
        if person.may("reviewer"):
            found = next_question(review.database, person.name, wanted, time.time())
        else:
            found = next(iter(page(review.database, wanted, 0, 1)), None)
        return None if found is None else show(review, found.id, person)


def _stage(review: Review, person: Person, wanted: Filter, shown: dict[str, Any] | None) -> dict[str, Any]:
    ahead = [each.item_id for each in page(review.database, wanted, 0, 4)] if shown else []
    return {
        "asked": shown,
        "token": uuid.uuid4().hex,
        "ahead": [row for row in ahead if row != shown["item_id"] and row in review.contents] if shown else [],
        "final": wanted.state == "conflict" and person.may("admin"),
    }


def _fragment(
    request: Request, review: Review, person: Person, wanted: Filter, shown: dict[str, Any] | None, notice: str = ""
) -> Response:
    more = _stage(review, person, wanted, shown) | {"review": review, "person": person, "wanted": wanted}
    return _render(request, "stage.html.j2", notice=notice, fragment=True, **more)


def _thumbnails(review: Review, wanted: Filter, offset: int) -> dict[str, Any]:
    found = page(review.database, wanted, offset, GRID)
    states = counts(review.database, wanted).states
    return {
        "cells": [{"question": each, "item": item_of(review, each.item_id, each.key)} for each in found],
        "offset": offset,
        "size": GRID,
        "pairs": pairs(review.database, wanted, PAIRS),
        "total": states.get(wanted.state, sum(states.values())),
        "token": uuid.uuid4().hex,
    }


def _grid(
    request: Request, review: Review, person: Person, wanted: Filter, offset: int, notice: str = ""
) -> HTMLResponse:
    more = _thumbnails(review, wanted, offset)
    more |= {"review": review, "person": person, "wanted": wanted}
    return _render(request, "thumbnails.html.j2", notice=notice, fragment=True, **more)


def _told(given: list[Verdict]) -> str:
    """What was recorded, in words."""
    first = given[0]
    what = SAID[first.action] + (f": {', '.join(first.classes)}" if first.classes else "")
    return what if len(given) == 1 else f"{what} ({len(given)} items)"


def _page(request: Request, template: str, review: Review, person: Person, wanted: Filter, **more: Any) -> HTMLResponse:
    settings, tasks = review.database.settings, review.database.tasks.values()
    classes = dict.fromkeys(name for task in tasks for name in task.classes)
    more |= {
        "review": review,
        "person": person,
        "wanted": wanted,
        "counts": counts(review.database, wanted),
        "kinds": sorted({kind for kinds in settings["kinds"] for kind in kinds.split()}),
        "annotators": settings["annotators"],
        "listed_classes": list(classes)[:LISTED],
    }
    return _render(request, template, notice="", fragment=False, **more)


def _render(request: Request, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    person = getattr(request.state, "person", None)
    shown = templates().get_template(template).render(csrf=person.csrf if person else "", **facts)
    return HTMLResponse(shown, status)


@cache
def templates() -> Environment:
    """How pages are drawn."""
    environment = Environment(
        loader=PackageLoader("labelwise.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=lambda value: f"{value:,}",
        figure=lambda value: "–" if value is None else f"{value:,.2f}",
        percent=lambda value: f"{100 * value:.0f}\u202f%",
        when=lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC",
        query=_query,
    )
    environment.globals.update(
        marked=marked, signs=SIGNS, title_of=title_of, said=SAID, version=labelwise.__version__, longest=LONGEST_NOTE
    )
    for name in environment.list_templates(["j2"]):
        environment.get_template(name)  # compiled before the first person waits for it
    return environment


def _query(wanted: Filter, **changed: Any) -> str:
    """The filter as the query of an address, with some of it changed."""
    values = {name: value for name, value in (asdict(wanted) | changed).items() if value}
    if values.get("state") == "open":
        del values["state"]
    return urlencode(values)
