"""Values that JSON can hold, and files that may be missing or broken."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

Fact = TypeVar("Fact")

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Missing(Exception):
    """A part of the report whose file the run does not have; the message says which."""


def attempt(not_shown: list[dict[str, Any]], part: str, make: Callable[[], Fact]) -> Fact | None:
    """What `make` gives; if it cannot, None, and `not_shown` gets the part, the reason, and whether a file is broken.

    One part that fails, in whatever way, must not take the others from the reader.
    """
    try:
        return make()
    except Missing as error:
        not_shown.append({"part": part, "why": str(error), "broken": False})
    except Exception as error:
        not_shown.append({"part": part, "why": clip(first_line(error), 300), "broken": True})
    return None


def existing(path: Path) -> Path:
    """The path itself; raises `Missing` if there is no such file."""
    if not path.is_file():
        raise Missing(f"this run has no {path.name}")
    return path


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file of the run; raises `Missing` without it and `ValueError` if it is broken or lacks columns."""
    existing(path)
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise ValueError(f"{path.name} cannot be read ({first_line(error)})") from None
    lacking = [name for name in columns or [] if name not in frame.columns]
    if lacking:
        raise ValueError(f"{path.name} has no column {', '.join(lacking)}")
    return frame


def plain(value: Any) -> Any:
    """The same value in JSON's types, fit to be written as UTF-8: what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {text(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return text(value)


def text(value: Any) -> str:
    """The value as text without what neither HTML nor UTF-8 can carry (control characters, lone surrogates)."""
    return _UNFIT.sub("\ufffd", str(value))


def clip(value: Any, length: int) -> str | None:
    """The text, cut to `length` characters with an ellipsis; None stays None."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    whole = text(value)
    return whole if len(whole) <= length else whole[: length - 1] + "…"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
