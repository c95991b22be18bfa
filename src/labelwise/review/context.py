"""What every route needs: the review that is served, who asks, and which questions they want."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException, Query, Request

from labelwise.review.content import Contents
from labelwise.review.database import Database
from labelwise.review.live import Live
from labelwise.review.people import Desk, Person
from labelwise.review.queue import Filter
from labelwise.review.security import reviewer, viewer
from labelwise.review.standing import Learned
from labelwise.review.suggestions import Predictions

Text = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True)
class Review:
    """What is served; `title` is what the audit was of."""

    title: str
    database: Database
    contents: Contents
    predictions: Predictions
    live: Live
    learned: Learned
    desk: Desk


def review_of(request: Request) -> Review:
    """The review that this server serves."""
    review: Review = request.app.state.review
    return review


def filter_of(
    review: Annotated[Review, Depends(review_of)],
    task: Text = None,
    kind: Text = None,
    given: Text = None,
    suggested: Text = None,
    annotator: Text = None,
    text: Text = None,
    state: Literal["open", "conflict", "decided", "all"] = "open",
) -> Filter:
    """Which questions are wanted; what is left out or empty takes all."""
    with told():
        if task and task not in review.database.tasks:
            raise LookupError(f"there is no task {task!r}")
        return Filter(
            task or None, kind or None, given or None, suggested or None, annotator or None, text or None, state
        )


@contextmanager
def told() -> Iterator[None]:
    """Turn what the review refuses into an answer: 404 for what is not there, 400 for what does not fit."""
    try:
        yield
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


TheReview = Annotated[Review, Depends(review_of)]
Reader = Annotated[Person, Depends(viewer)]
Writer = Annotated[Person, Depends(reviewer)]
Wanted = Annotated[Filter, Depends(filter_of)]
REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"description": "It does not fit"},
    401: {"description": "Nobody is logged in"},
    403: {"description": "This person may not, or the request lacks the token of the session"},
    404: {"description": "There is no such thing"},
}
