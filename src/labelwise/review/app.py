"""The web server of a review."""

import json
from os import PathLike
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import labelwise
from labelwise.review import api, doors, downloads, items, pages
from labelwise.review.content import CONTENT, Contents
from labelwise.review.context import Review
from labelwise.review.database import Database
from labelwise.review.live import Live
from labelwise.review.people import Desk, Team
from labelwise.review.security import Guard
from labelwise.review.standing import Learned
from labelwise.review.suggestions import Predictions
from labelwise.runs import RunFolder


def create_app(
    run: str | PathLike[str], database: Database, team: Team | None = None, *, reviewer: str = "reviewer"
) -> FastAPI:
    """The application that serves the review of a run: pages at /, the same as JSON at /api (see /openapi.json).

    The database must be filled, and `content.arrow` be written (`preparing.prepare` does both). With a `team` people
    log in; without, who opens the page is `reviewer` until they say another name, and may do everything. Raises
    `ValueError` if a file of the run is damaged.
    """
    folder, desk = RunFolder(run), Desk(database, team, reviewer)
    app = FastAPI(title="labelwise review", version=labelwise.__version__, docs_url=None, redoc_url=None)
    pages.templates()
    app.state.review = Review(
        title=Path(str(folder.config.get("data", folder.config)["source"])).name,  # of boxes that of their pictures
        database=database,
        contents=Contents(folder / CONTENT),
        predictions=Predictions(folder.path, {name: task.classes for name, task in database.tasks.items()}),
        live=Live(database),
        learned=Learned(database),
        desk=desk,
    )
    app.add_middleware(Guard, desk=desk)
    app.include_router(doors.router)
    app.include_router(pages.router)
    app.include_router(items.router)
    app.include_router(downloads.router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(packages=[("labelwise.review", "static")]), name="static")
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if _wants_json(request):
        return await http_exception_handler(request, error)
    if error.status_code == 401 and request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?back={quote(here)}", 303)
    return pages.error_page(request, error.status_code, str(error.detail))


async def _misunderstood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if _wants_json(request):
        # In ASCII: what was sent may hold halves of characters, which cannot be sent back as they are.
        return Response(json.dumps({"detail": jsonable_encoder(error.errors())}), 422, media_type="application/json")
    first = error.errors()[0]
    return pages.error_page(request, 422, f"{first['loc'][-1]}: {first['msg']}")


def _wants_json(request: Request) -> bool:
    """Whether a program asks: also our script, which puts what went wrong into the line for news."""
    return request.url.path.startswith(("/api/", "/items/")) or "hx-request" in request.headers
