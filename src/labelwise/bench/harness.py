"""What comparisons share: means with intervals, paired tests, tables, and keeping the result."""

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.runs import RunFolder, read_json, write_json

Table = tuple[str, list[str], list[list[Any]]]
"""Title, names of columns, rows."""
_PACKAGES = ("labelwise", "torch", "lightning", "scikit-learn", "numpy", "scipy", "pandas", "pyarrow")


def interval(values: Sequence[float], overlap: float = 0.0) -> dict[str, Any]:
    """Mean of figures measured with several seeds, and half the width of its 95 % interval by Student's t.

    `{"mean", "half_width", "n"}`; the half width is None for fewer than two figures. `overlap` is for seeds that split
    the same rows anew, so that their figures depend on each other: rows tested on over rows learned from. The variance
    of the mean is then s² (1 / n + overlap) instead of s² / n (Nadeau and Bengio, "Inference for the Generalization
    Error", Machine Learning 2003, corrected resampled t-test). With a fixed split it is 0.
    """
    figures = np.asarray(values, float)
    return {"mean": float(figures.mean()), "half_width": _half_width(figures, overlap), "n": len(figures)}


def paired(ours: Sequence[float], other: Sequence[float], overlap: float = 0.0) -> dict[str, Any]:
    """How much larger `ours` is than `other`, seed by seed: mean difference, its 95 % interval, and two-sided p.

    `{"difference", "half_width", "p"}`, by the paired t-test, with `overlap` as in `interval`. p is None for fewer than
    two seeds, and where all differences are equal (then 1 if they are 0). Raises `ValueError` for unequal lengths.
    """
    from scipy.stats import t

    if len(ours) != len(other):
        raise ValueError(f"a paired test needs as many figures on both sides; got {len(ours)} and {len(other)}")
    differences = np.asarray(ours, float) - np.asarray(other, float)
    n, mean = len(differences), float(differences.mean())
    error = _standard_error(differences, overlap)
    p = 1.0 if n > 1 and mean == 0 else None
    if error > 0:
        p = float(2 * t.sf(abs(mean) / error, n - 1))
    return {"difference": mean, "half_width": _half_width(differences, overlap), "p": p}


def proportion(hits: int, n: int) -> dict[str, Any]:
    """A share with its 95 % interval by Wilson's score: `{"hits", "n", "value", "low", "high"}`, None of nothing."""
    if not n:
        return {"hits": 0, "n": 0, "value": None, "low": None, "high": None}
    z = 1.959963984540054
    share, scale = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / scale
    low, high = (0.0 if hits == 0 else middle - half), (1.0 if hits == n else middle + half)
    return {"hits": hits, "n": n, "value": share, "low": low, "high": high}


def compare(
    figures: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], reference: str, overlap: float = 0.0
) -> list[dict[str, Any]]:
    """Compare methods over seeds.

    `figures[task][method][measure]` are the figures by seed, in the same order of seeds for every method. Gives an
    entry a task and method: `task`, `method`, and by measure an `interval` and, for all but `reference`, how the
    reference does against it (`paired`) under `"versus"`.
    """
    entries = []
    for task, methods in figures.items():
        for method, measures in methods.items():
            entry: dict[str, Any] = {"task": task, "method": method}
            for measure, values in measures.items():
                entry[measure] = interval(values, overlap)
                if method != reference:
                    entry[measure]["versus"] = paired(methods[reference][measure], values, overlap)
            entries.append(entry)
    return entries


def versions() -> dict[str, str]:
    """What ran: Python and the packages that figures may depend on."""
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The tables of a result: what to print for it."""
    return [(table["title"], table["columns"], table["rows"]) for table in result["tables"]]


def result_path(name: str) -> Path:
    """Where the result of a comparison is kept."""
    return Path(__file__).parent / f"{name}.json"


def kept(file: Path | None, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` gives: read from the JSON `file` if it is there, so that stopped work goes on; else written there."""
    if file and file.exists():
        found: dict[str, Any] = read_json(file)
        return found
    found = make()
    if file:
        write_json(file, found)
    return found


def kept_file(folder: RunFolder | None, *names: Any) -> Path | None:
    """The file of a figure in the folder of a comparison, by what it is of; None without a folder. For `kept`."""
    return None if folder is None else folder / ("-".join(map(str, names)).replace(" ", "_") + ".json")


def save(result: Mapping[str, Any]) -> Path:
    """Keep a result beside the file of its comparison, whole or not at all; gives its path."""
    path = result_path(result["name"])
    write_json(path, result)
    return path


def _standard_error(figures: np.ndarray, overlap: float) -> float:
    if len(figures) < 2:
        return 0.0
    return float(figures.std(ddof=1) * math.sqrt(1 / len(figures) + overlap))


def _half_width(figures: np.ndarray, overlap: float) -> float | None:
    from scipy.stats import t

    if len(figures) < 2:
        return None
    return float(t.ppf(0.975, len(figures) - 1) * _standard_error(figures, overlap))
