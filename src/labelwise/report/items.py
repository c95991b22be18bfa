"""What a flagged example looks like, small enough to stand in a page: a picture, a text, a sound or a row."""

import base64
import io
import json
import math
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.signal import resample_poly

from labelwise.report.plain import clip, existing, plain, read_table

ITEMS = "items.parquet"
COLUMNS = ["example", "kind", "content"]

BUDGET = 3_000_000  # characters of all items in one page
SIDE = 144  # pixels of the longer side of a picture
KEEP = 1_500  # a PNG of so few bytes is shown as it is
LOUD = 25_000  # a sound of so few bytes is kept as it is
SECONDS, RATE = 3, 8_000  # of a longer one
TEXT = 700
CELLS = 40
MARKUP = 30  # characters of markup around a cell

_SOUNDS = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg"}


def items_of(folder: Path, examples: Iterable[int]) -> list[dict[str, Any] | None]:
    """What is to be shown of each of these examples, in this order; None for those of which the run kept nothing.

    Examples are served until their items fill `BUDGET`, each counted once; an item that no longer fits, or cannot be
    read, is `{"kind": "none", "why": ...}`. Raises `Missing` if the run kept no items, and `ValueError` if their file
    is broken.
    """
    frame = read_table(existing(folder / ITEMS), COLUMNS)
    kept = dict(zip(frame["example"].tolist(), zip(frame["kind"], frame["content"], strict=True), strict=True))
    known: dict[int, dict[str, Any]] = {}
    left = BUDGET
    shown: list[dict[str, Any] | None] = []
    for example in examples:
        if example not in kept:
            shown.append(None)
            continue
        if example not in known:
            item = _item(*kept[example])
            if _size(item) > left:
                item = {"kind": "none", "why": f"left out to keep this page small; {ITEMS} has it"}
            left -= _size(item)
            known[example] = item
        shown.append(known[example])
    return shown


def _size(item: dict[str, Any]) -> int:
    cells = sum(MARKUP + len(str(name)) + len(str(value)) for name, value in item.get("cells", ()))
    return cells + len(item.get("data", "")) + len(item.get("text", ""))


def _item(kind: str, content: bytes) -> dict[str, Any]:
    try:
        if kind == "image":
            return _picture(content)
        if kind == "audio":
            return {"kind": "audio", "data": _sound(content)}
        if kind == "text":
            return {"kind": "text", "text": clip(content.decode("utf-8", "replace"), TEXT)}
        row = plain(json.loads(content))
        cells = [[clip(name, 60), clip(value, 160)] for name, value in row.items()]
        return {"kind": "row", "cells": cells[:CELLS], "more": max(0, len(cells) - CELLS)}
    except (OSError, ValueError, TypeError, AttributeError, SyntaxError, Image.DecompressionBombError):
        return {"kind": "none", "why": f"this {kind} could not be shown"}


def _picture(content: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
        width, height = picture.size
        if len(content) <= KEEP:
            picture.load()  # a truncated picture is found out here
            return {"kind": "image", "data": _data_uri("image/png", content), "width": width, "height": height}
        small = picture.convert("RGB")
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=72, method=4)
    return {
        "kind": "image",
        "data": _data_uri("image/webp", buffer.getvalue()),
        "width": small.width,
        "height": small.height,
    }


def _sound(content: bytes) -> str:
    """A short file as it is; of a long one in WAV format the first seconds, coarser."""
    if len(content) <= LOUD or not content.startswith(b"RIFF"):
        kind = next((kind for start, kind in _SOUNDS.items() if content.startswith(start)), "audio/mpeg")
        return _data_uri(kind, content)
    with wave.open(io.BytesIO(content)) as file:
        rate, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
        if width != 2:
            return _data_uri("audio/wav", content)
        samples = np.frombuffer(file.readframes(SECONDS * rate), "<i2").reshape(-1, channels).mean(axis=1)
    common = math.gcd(rate, RATE)
    coarse = resample_poly(samples, RATE // common, rate // common) if rate > RATE else samples
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(min(rate, RATE))
        file.writeframes(np.clip(coarse / 256 + 128, 0, 255).round().astype(np.uint8).tobytes())
    return _data_uri("audio/wav", buffer.getvalue())


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
