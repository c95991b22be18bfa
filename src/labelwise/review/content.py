"""What the items look like: pictures, sounds, texts and rows by item, from a file that stays on disk."""

import io
import json
import math
import wave
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from labelwise.runs import RunFolder, short_hash

CONTENT = "content.arrow"

SCHEMA = pa.schema(
    [
        ("example", pa.int64()),  # ascending
        ("key", pa.string()),
        ("kind", pa.string()),  # "image", "audio", "text", "row", or "none" where nothing can be shown
        ("content", pa.binary()),
        ("thumbnail", pa.binary()),  # of a picture that is larger
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("cells", pa.string()),  # JSON of the columns that hold one value
        ("labels", pa.string()),  # JSON of the given label by task
        ("neighbours", pa.list_(pa.int64())),
        ("distances", pa.list_(pa.float32())),
    ]
)

_TYPES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "audio/wav"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
)
_COLUMNS, _ROWS = 900, 192  # pixels of a spectrogram
_DECIBELS = 80.0
_SHADES = ("#0c1a1f", "#10434a", "#1f7f7a", "#8cc084", "#fbf3b0")  # silent to loud


class Contents:
    """The items of a review, by row number; a file made by `preparing.write_contents`, memory-mapped.

    `note` says in words if only part can be shown, `tree` which parent class stands above each class, and
    `words` which words speak for each class of texts, both by task. Raises
    `ValueError` if the file is damaged.
    """

    def __init__(self, path: Path):
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path} cannot be read ({error}); delete it and start the review again") from None
        facts = facts_of(path)
        self.note: str = facts["note"]
        self.words: dict[str, dict[str, list[str]]] = facts["words"]
        self.tree: dict[str, dict[str, str]] = facts["tree"]
        self.fingerprint: str = facts["fingerprint"]
        self._examples = self._table["example"].to_numpy()
        self.spectrogram = lru_cache(maxsize=256)(self._spectrogram)

    def __contains__(self, row: int) -> bool:
        return self._place(row) is not None

    def item(self, row: int) -> dict[str, Any]:
        """All of an item but its bytes: `example`, `key`, `kind`, `type`, `width`, `height`, `text`, `cells`, `labels`.

        Raises `LookupError` for a row of which nothing is kept.
        """
        held = self._held(row, ("example", "key", "kind", "width", "height", "cells", "labels"))
        held["cells"] = json.loads(held["cells"] or "{}")
        held["labels"] = json.loads(held["labels"])
        content = self.content(row) if held["kind"] in ("text", "audio", "image") else b""
        held["type"] = media_type(content)
        held["text"] = content.decode("utf-8", "replace") if held["kind"] == "text" else None
        return held

    def content(self, row: int) -> bytes:
        """The picture, sound or text of an item; empty if it has none."""
        return self._held(row, ("content",))["content"] or b""

    def thumbnail(self, row: int) -> bytes:
        """A small picture of an item; empty if it is no picture."""
        held = self._held(row, ("kind", "thumbnail"))
        return (held["thumbnail"] or self.content(row)) if held["kind"] == "image" else b""

    def neighbours(self, row: int) -> list[tuple[int, float]]:
        """The nearest others of an item with their distances, nearest first; none if they are not known."""
        held = self._held(row, ("neighbours", "distances"))
        return list(zip(held["neighbours"] or (), held["distances"] or (), strict=True))

    def _spectrogram(self, row: int) -> bytes:
        return draw_spectrogram(self.content(row))

    def _held(self, row: int, names: tuple[str, ...]) -> dict[str, Any]:
        place = self._place(row)
        if place is None:
            raise LookupError(f"nothing is kept of item {row}")
        return {name: self._table[name][place].as_py() for name in names}

    def _place(self, row: int) -> int | None:
        at = int(np.searchsorted(self._examples, row))
        return at if at < len(self._examples) and self._examples[at] == row else None


def facts_of(path: Path) -> dict[str, Any]:
    """What a file of contents says of itself: `fingerprint`, `note`, `tree`; empty if it is missing or damaged."""
    try:
        with pa.memory_map(str(path)) as file:
            return json.loads((pa.ipc.open_file(file).schema.metadata or {}).get(b"review", b"{}"))
    except (OSError, ValueError):
        return {}


def fingerprint(run: RunFolder, rows: Iterable[int]) -> str:
    """What tells the contents of these examples of a run from others."""
    return short_hash(run.config, sorted(rows))


def is_kept(run: RunFolder, rows: Iterable[int]) -> bool:
    """Whether the contents of just these examples were kept, all of them from their source."""
    facts = facts_of(run / CONTENT)
    return facts.get("fingerprint") == fingerprint(run, rows) and not facts["note"]


def media_type(content: bytes) -> str:
    """The media type that the bytes begin like; plain text if they begin like none that is served."""
    return next((kind for start, kind in _TYPES if content.startswith(start)), "text/plain; charset=utf-8")


def draw_spectrogram(content: bytes) -> bytes:
    """A WAV file of 16 or 8 bit as a picture (PNG): time to the right, frequency up to half the rate, 80 dB of power.

    Empty for what is no such file, or has hardly any samples.
    """
    from PIL import Image
    from scipy.signal import ShortTimeFFT

    samples, rate = _samples(content)
    window = 2 ** round(math.log2(max(32, rate * 0.032)))  # 32 ms tell pitch and time apart in speech and song
    if len(samples) < window:
        return b""
    hop = max(window // 8, len(samples) // _COLUMNS)
    power = ShortTimeFFT.from_window("hann", rate, window, window - min(hop, window)).spectrogram(samples)
    if hop > window:
        power = power[:, :: -(-hop // window)]
    level = 10 * np.log10(power / max(power.max(), 1e-20) + 1e-12)
    shade = np.clip(1 + level / _DECIBELS, 0, 1)[::-1]
    anchors = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in _SHADES])
    steps = np.linspace(0, 1, len(anchors))
    colours = np.stack([np.interp(shade, steps, channel) for channel in anchors.T], axis=-1)
    picture = Image.fromarray(colours.astype(np.uint8)).resize((_COLUMNS, _ROWS), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _samples(content: bytes) -> tuple[np.ndarray, int]:
    """Samples of a WAV file, its channels averaged, and their rate; none if it cannot be decoded."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError):
        return np.zeros(0), 1
    if width not in (1, 2) or not channels:
        return np.zeros(0), 1
    raw = np.frombuffer(frames[: len(frames) // (width * channels) * width * channels], "<i2" if width == 2 else "u1")
    return raw.reshape(-1, channels).mean(axis=1) - (128 if width == 1 else 0), rate
