"""Pictures and sounds, by the number of their item and never by a path."""

import re
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response

from labelwise.review.content import media_type
from labelwise.review.context import REFUSED, Reader, TheReview, told

Row = Annotated[int, Path(ge=0, le=2**53)]

router = APIRouter(prefix="/items", responses=REFUSED)


@router.get("/{row}/content")
def content(request: Request, review: TheReview, person: Reader, row: Row) -> Response:
    """The picture, sound or text of an item; parts of it if a range of bytes is asked for."""
    with told():
        return _answer(review.contents.content(row), request)


@router.get("/{row}/thumbnail")
def thumbnail(request: Request, review: TheReview, person: Reader, row: Row) -> Response:
    """A small picture of an item."""
    with told():
        return _answer(review.contents.thumbnail(row), request)


@router.get("/{row}/spectrogram")
def spectrogram(request: Request, review: TheReview, person: Reader, row: Row) -> Response:
    """What a sound looks like: time to the right, frequency upwards."""
    with told():
        return _answer(review.contents.spectrogram(row), request)


def _answer(content: bytes, request: Request) -> Response:
    if not content:
        raise HTTPException(404, "this item has none")
    # Others may not keep it (a proxy knows nothing of log-ins), and it never changes under its address.
    headers = {"Cache-Control": "private, max-age=86400", "Accept-Ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", request.headers.get("range", ""))
    if wanted is None:
        return Response(content, media_type=media_type(content), headers=headers)
    first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
    if first > last:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{len(content)}"})
    headers |= {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return Response(content[first : last + 1], 206, media_type=media_type(content), headers=headers)
