"""Labels out of the page, as `labelwise export` writes them."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from labelwise.review.context import TheReview, told
from labelwise.review.people import Person
from labelwise.review.processes import alone
from labelwise.review.security import admin

router = APIRouter(include_in_schema=False)


@router.get("/export/{name}")
def download(
    review: TheReview,
    person: Annotated[Person, Depends(admin)],
    name: Literal["corrected.csv", "corrected.parquet", "annotations.json", "changes.csv"],
    only_verdicts: bool = False,
) -> FileResponse:
    """The labels, or boxes, with what people decided, or each label that changed; see `exporting.export`."""
    folder = Path(tempfile.mkdtemp(prefix="labelwise-export-"))
    labels = folder / (name if name != "changes.csv" else "corrected.csv")
    url = review.database.engine.url.render_as_string(hide_password=False)
    try:
        with told():
            # Apart, as it loads what the server does without.
            alone(
                "labelwise.review.exporting",
                "export",
                review.database.run,
                labels,
                diff=folder / "changes.csv",
                url=url,
                only_verdicts=only_verdicts,
                who=person.name,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(folder / name, filename=name, background=BackgroundTask(shutil.rmtree, folder, True))
