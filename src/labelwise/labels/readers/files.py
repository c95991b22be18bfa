"""Encoded images and sounds: what they are, and whether they can be decoded."""

import io
import os
import warnings
import wave
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from labelwise.progress import progress

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")
AUDIO_SUFFIXES = (".wav",)
Medium = Literal["image", "audio"]
Item = TypeVar("Item")
Result = TypeVar("Result")

_IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8", b"II*\x00", b"MM\x00*")
_AUDIO_STARTS = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb")
_PLURALS = {"image": "images", "audio": "sounds"}
_SHOWN_FROM = 2000  # files; fewer are read in no time


def sniff(content: bytes) -> Medium | None:
    """Whether the bytes begin as an image or a sound does."""
    if content.startswith(_IMAGE_STARTS) or (content.startswith(b"RIFF") and content[8:12] == b"WEBP"):
        return "image"
    if content.startswith(_AUDIO_STARTS) or (content.startswith(b"RIFF") and content[8:12] == b"WAVE"):
        return "audio"
    return None


def image_fault(content: bytes) -> str | None:
    """Why an encoded image cannot be decoded to the last pixel; None if it can."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata beside sound pixels
            with Image.open(io.BytesIO(content)) as image:
                image.load()
    except Exception as error:  # Pillow's decoders raise nearly every kind of exception on broken files
        reason = "no known image format" if "cannot identify" in str(error) else str(error) or type(error).__name__
        return f"not an image that can be decoded: {reason}" if content else "the file is empty"
    return None


def sound_fault(content: bytes) -> str | None:
    """Why an encoded sound cannot be decoded as WAV; None if it can."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chunks that are not sound
            _, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # struct.error, ValueError, EOFError, ... on broken files
        return f"not a WAV file that can be decoded: {error}" if content else "the file is empty"
    return None if samples.size else "the recording holds no samples"


def read_files(paths: Sequence[Path | None], medium: Medium, quiet: bool) -> tuple[list[bytes | None], dict[int, str]]:
    """Content of every file (None if it cannot be read), and the rows that cannot be read or decoded, with reasons."""

    def one(path: Path | None) -> tuple[bytes | None, str | None]:
        if path is None:
            return None, f"no {medium} file is named"
        try:
            content = path.read_bytes()
        except OSError as error:
            return None, f"{path}: {error.strerror or error}"
        return content, _fault(medium)(content)

    results = _in_threads(one, paths, f"Reading {_PLURALS[medium]}", quiet)
    return [content for content, _ in results], _faults(fault for _, fault in results)


def check_contents(contents: Sequence[bytes | None], medium: Medium, quiet: bool) -> dict[int, str]:
    """The rows whose content is missing or cannot be decoded, with reasons."""

    def one(content: bytes | None) -> str | None:
        return f"the {medium} is missing" if content is None else _fault(medium)(content)

    return _faults(_in_threads(one, contents, f"Checking {_PLURALS[medium]}", quiet))


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Mono WAV file, 16 bit, of int16 samples or of floats in [-1, 1] (beyond is clipped)."""
    if samples.dtype.kind == "f":
        samples = np.round(np.clip(np.nan_to_num(samples), -1, 1) * 32767)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def _fault(medium: Medium) -> Callable[[bytes], str | None]:
    return image_fault if medium == "image" else sound_fault


def _faults(reasons: Iterable[str | None]) -> dict[int, str]:
    return {row: reason for row, reason in enumerate(reasons) if reason is not None}


def _in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str, quiet: bool) -> list[Result]:
    """Map in order over threads: decoders let go of the interpreter's lock."""
    with (
        progress(title, len(items), quiet or len(items) < _SHOWN_FROM) as advance,
        ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool,
    ):
        results = []
        for result in pool.map(work, items, chunksize=64):
            results.append(result)
            advance()
        return results
