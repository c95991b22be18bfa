"""The web server of a review."""

from os import PathLike
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import labelwise
from labelwise.review import api, items, pages
from labelwise.review.content import CONTENT, Contents
from labelwise.review.context import Review
from labelwise.review.database import Database
from labelwise.review.live import Live
from labelwise.review.suggestions import Predictions
from labelwise.runs import RunFolder


def create_app(run: str | PathLike[str], database: Database, *, reviewer: str = "reviewer") -> FastAPI:
    """The application that serves the review of a run: pages at /, the same as JSON under /api (described in /openapi.json).

    The database must be filled, and `content.arrow` be written (`preparing.prepare` does both). `reviewer` is who gives
    verdicts before they say another name. Raises `ValueError` if a file of the run is damaged.
    """
    folder = RunFolder(run)
    app = FastAPI(title="labelwise review", version=labelwise.__version__, docs_url=None, redoc_url=None)
    app.state.review = Review(
        title=Path(str(folder.config["source"])).name,
        database=database,
        contents=Contents(folder / CONTENT),
        predictions=Predictions(folder.path, {name: task.classes for name, task in database.tasks.items()}),
        live=Live(database),
        reviewer=reviewer,
    )
    app.include_router(pages.router)
    app.include_router(items.router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(packages=[("labelwise.review", "static")]), name="static")
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if _wants_json(request):
        return await http_exception_handler(request, error)
    return pages.error_page(request, error.status_code, str(error.detail))


async def _misunderstood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if _wants_json(request):
        return await request_validation_exception_handler(request, error)
    first = error.errors()[0]
    return pages.error_page(request, 422, f"{first['loc'][-1]}: {first['msg']}")


def _wants_json(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/items/"))
