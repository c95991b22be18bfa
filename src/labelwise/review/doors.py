"""Coming and going: the login page, and the same as JSON."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from labelwise.review.context import REFUSED, Reader, TheReview
from labelwise.review.pages import login_page
from labelwise.review.people import LONGEST_PASSWORD
from labelwise.review.security import NAME_COOKIE, log_in, log_out
from labelwise.review.verdicts import LONGEST_NAME

Name = Annotated[str, Form(max_length=LONGEST_NAME)]
Password = Annotated[str, Form(max_length=LONGEST_PASSWORD)]

router = APIRouter(responses=REFUSED)


class Credentials(BaseModel):
    """Name and password of one of the team."""

    name: Annotated[str, Field(max_length=LONGEST_NAME)]
    password: Annotated[str, Field(max_length=LONGEST_PASSWORD)]


class Session(BaseModel):
    """Who is logged in; `csrf` goes into the header X-CSRF-Token of every write."""

    name: str
    role: str
    csrf: str


@router.get("/login", include_in_schema=False)
def show_login(request: Request, back: str = "/") -> Response:
    """The page where one logs in."""
    return login_page(request, back)


@router.post("/login", include_in_schema=False)
def enter(request: Request, name: Name, password: Password, back: Annotated[str, Form()] = "/") -> Response:
    """Log in and go where one wanted to."""
    inside = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isprintable()
    answer = RedirectResponse(back if inside else "/", 303)
    try:
        log_in(request, answer, name.strip(), password)
    except ValueError as error:
        return login_page(request, back, name, str(error))
    return answer


@router.post("/logout", include_in_schema=False)
def leave(request: Request) -> Response:
    """Log out."""
    answer = RedirectResponse("/login", 303)
    log_out(request, answer)
    return answer


@router.post("/reviewer", include_in_schema=False)
def be(name: Name) -> Response:
    """Say who one is, where there is no team."""
    answer = RedirectResponse("/", 303)
    answer.set_cookie(NAME_COOKIE, quote(name.strip()), max_age=31_536_000, httponly=True, samesite="strict")
    return answer


@router.post("/api/login")
def enter_as(request: Request, response: Response, review: TheReview, who: Credentials) -> Session:
    """Log in; the answer sets the cookie of the session."""
    try:
        csrf = log_in(request, response, who.name, who.password)
    except ValueError as error:
        raise HTTPException(401, str(error)) from None
    assert review.desk.team is not None
    return Session(name=who.name, role=review.desk.team.members[who.name].role, csrf=csrf)


@router.get("/api/session")
def who_am_i(person: Reader) -> Session:
    """Who is logged in."""
    return Session(name=person.name, role=person.role, csrf=person.csrf)


@router.post("/api/logout", status_code=204)
def leave_as(request: Request, response: Response, person: Reader) -> None:
    """Log out."""
    log_out(request, response)
