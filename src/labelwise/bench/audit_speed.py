"""How fast confident learning is, what memory it takes, and whether it says the same as cleanlab.

cleanlab is measured where it is installed (extra `peers`), with one process and with as many as there are processors,
of which the faster counts. Ours and theirs take turns in one process on the same array in memory. Memory is what a call
allocates at most beside the array (theirs with one process).
"""

import os
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import Any, get_args

import joblib
import numpy as np

from labelwise.audit.confident import Columns, confident_joint, read_columns
from labelwise.audit.filters import Filter, find_label_issues
from labelwise.audit.quality import Score, label_quality
from labelwise.bench.harness import versions
from labelwise.labels import data_path
from labelwise.progress import progress

OURS, THEIRS = "labelwise", "cleanlab"
FIND, RANK, JOINT = "find and rank", "rank", "joint"
Pass = Callable[[np.ndarray, np.ndarray], Columns]
_SETS = ("mnist", "imdb", "20news")
_LONG = 10_000  # ms
_NOISE, _SIGNAL, _SPREAD = 0.15, 6.0, 1.5


@dataclass(frozen=True)
class Case:
    """An array of `rows` × `classes` float32 probabilities."""

    rows: int
    classes: int


PART = [Case(10_000, 10), Case(10_000, 100), Case(100_000, 10), Case(100_000, 100), Case(200_000, 100)]
FULL = [
    *PART,
    Case(10_000, 1000),
    Case(100_000, 1000),
    Case(1_000_000, 10),
    Case(1_000_000, 100),
    Case(1_000_000, 1000),
]


def audit_speed(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Time both on labels with 15 % noise: medians of 3 turns, or one where it takes over 10 s.

    `full` goes up to a thousand million numbers, for which cleanlab needs 9 GB beside them.

    Takes the arguments of every comparison; `out` changes nothing here.
    """
    return run(FULL if full else PART, 3, seed, quiet)


def run(cases: Sequence[Case], turns: int, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Time every case, and ways to pass over the largest; compare what is found on published probabilities."""
    theirs = peer()
    figures = []
    with progress("audit-speed", len(cases) + 2, quiet) as advance:
        for case in cases:
            figures.append(_measure(case, turns, seed, theirs))
            advance()
        passes = _measure_passes(max(cases, key=lambda case: (case.rows * case.classes, case.rows)), turns, seed)
        advance()
        same = None if theirs is None else [_agreement(name, theirs) for name in _SETS]
        advance()
    found = versions() | ({} if theirs is None else {THEIRS: version(THEIRS)})
    return {
        "name": "audit-speed",
        "about": "Confident learning: time and memory, as ratios to ours, and agreement with cleanlab.",
        "data": {"random": f"softmax of normal logits, {_NOISE:.0%} of labels drawn anew"},
        "seeds": [seed],
        "threads": joblib.cpu_count(),
        "figures": {"cases": figures, "passes": passes, "agreement": same},
        "tables": [_table(figures, turns), _passes_table(passes), *([] if same is None else [_agreement_table(same)])],
        "versions": found,
    }


def peer() -> dict[str, Callable[..., Any]] | None:
    """What cleanlab offers, by our names, or None if it is not installed."""
    try:
        from cleanlab import count, filter, rank
    except ImportError:
        return None
    return {
        FIND: lambda labels, probs, score, jobs: filter.find_label_issues(
            labels, probs, return_indices_ranked_by=score, n_jobs=jobs
        ),
        "flags": lambda labels, probs, method: filter.find_label_issues(labels, probs, filter_by=method, n_jobs=1),
        RANK: lambda labels, probs, score: rank.get_label_quality_scores(labels, probs, method=score),
        JOINT: lambda labels, probs: count.compute_confident_joint(labels, probs),
    }


def sample(case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, some of which are drawn anew, and probabilities that are mostly sure of the true class."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(case.classes, size=case.rows)
    anew = generator.random(case.rows) < _NOISE
    labels = np.where(anew, generator.integers(case.classes, size=case.rows), truth)
    probs = np.empty((case.rows, case.classes), np.float32)
    step = max(1, 2**22 // case.classes)
    for start in range(0, case.rows, step):
        part = probs[start : start + step]
        generator.standard_normal(dtype=np.float32, out=part)
        part *= _SPREAD
        part[np.arange(len(part)), truth[start : start + step]] += _SIGNAL
        np.exp(part, out=part)
        part /= part.sum(axis=1, keepdims=True)
    return labels, probs


def _measure(case: Case, turns: int, seed: int, theirs: dict[str, Callable[..., Any]] | None) -> dict[str, Any]:
    labels, probs = sample(case, seed)
    score: Score = "normalized_margin"
    calls: dict[str, dict[str, Callable[[], Any]]] = {
        FIND: {OURS: partial(find_label_issues, labels, probs, rank_by=score)},
        RANK: {OURS: partial(label_quality, labels, probs, score)},
        JOINT: {OURS: partial(confident_joint, labels, probs)},
    }
    if theirs is not None:
        for jobs in {1, joblib.cpu_count()}:
            name = THEIRS if jobs == 1 else f"{THEIRS}, {jobs} processes"
            calls[FIND][name] = partial(theirs[FIND], labels, probs, score, jobs)
        calls[RANK][THEIRS] = partial(theirs[RANK], labels, probs, score)
        calls[JOINT][THEIRS] = partial(theirs[JOINT], labels, probs)
    found: dict[str, Any] = asdict(case)
    for job, ways in calls.items():
        found[job] = {"ms": _take_turns(ways, turns)}
        found[job]["mib"] = {name: _peak(ways[name]) / 2**20 for name in (OURS, THEIRS) if name in ways}
    if theirs is not None:
        only = set(calls[FIND][OURS]().tolist()) ^ set(calls[FIND][THEIRS]().tolist())
        found["rows that only one finds"] = len(only)
    return found


def _take_turns(calls: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    """Milliseconds of every turn of every call; one that takes long has one turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            if max(times[name], default=0) > _LONG:
                continue
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return times


def _peak(call: Callable[[], Any]) -> int:
    """The most bytes that a call holds at a time, of those that it allocates."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def passes() -> dict[str, Pass]:
    """Ways to compute the same first pass: our blocks of NumPy, torch, and compiled by numba where it is installed."""
    ways: dict[str, Pass] = {
        "NumPy in blocks": lambda labels, probs: read_columns(labels, probs)[0],
        "torch": _torch_pass,
    }
    try:
        import numba
    except ImportError:
        return ways
    compiled = numba.njit(parallel=True)(_plain_pass(numba.prange))

    def numba_pass(labels: np.ndarray, probs: np.ndarray) -> Columns:
        n = len(labels)
        columns = Columns(labels, np.empty(n, probs.dtype), np.empty(n, np.int32), np.empty(n, probs.dtype))
        fit = np.empty(n, np.bool_)
        compiled(labels, probs, *columns[1:], fit)
        assert fit.all()
        return columns

    return ways | {"numba": numba_pass}


def _torch_pass(labels: np.ndarray, probs: np.ndarray) -> Columns:
    import torch

    tensor = torch.from_numpy(probs)
    top, best = tensor.max(dim=1)
    assert bool((tensor.amin(dim=1) >= 0).all())
    assert bool(((tensor.sum(dim=1) - 1).abs() <= 1e-3).all())
    own = tensor.gather(1, torch.from_numpy(labels)[:, None])[:, 0]
    return Columns(labels, own.numpy(), best.int().numpy(), top.numpy())


def _plain_pass(prange: Any) -> Callable[..., None]:
    def one_pass(labels, probs, own, best, top, fit):  # type: ignore[no-untyped-def]
        for row in prange(len(labels)):
            total, least, most, at = 0.0, probs[row, 0], probs[row, 0], 0
            for k in range(probs.shape[1]):
                value = probs[row, k]
                total += value
                least = min(least, value)
                if value > most:
                    most, at = value, k
            own[row], best[row], top[row] = probs[row, labels[row]], at, most
            fit[row] = least >= 0 and abs(total - 1) <= 1e-3

    return one_pass


def _measure_passes(case: Case, turns: int, seed: int) -> dict[str, Any]:
    labels, probs = sample(case, seed)
    calls = {name: partial(way, labels, probs) for name, way in passes().items()}
    first = {name: times[0] for name, times in _take_turns(calls, 1).items()}  # imports and compiles
    return asdict(case) | {"first ms": first, "ms": _take_turns(calls, max(turns, 5))}


def _agreement(name: str, theirs: dict[str, Callable[..., Any]]) -> dict[str, Any]:
    """How far both differ on a published test set: joint, scores, and the rows of each filter."""
    with np.load(data_path("label-errors") / f"{name}_test.npz", allow_pickle=False) as file:
        labels, probs = file["labels"].astype(np.int64), file["pred_probs"]
    probs = probs / probs.sum(axis=1, keepdims=True)
    scores = {score: label_quality(labels, probs, score) for score in get_args(Score)}
    rows = {}
    for method in get_args(Filter):
        ours, other = find_label_issues(labels, probs, method), theirs["flags"](labels, probs, method)
        rows[method] = {"rows": int(ours.sum()), "differ": int((ours != other).sum())}
    return {
        "set": name,
        "joint": float(np.abs(confident_joint(labels, probs) - theirs[JOINT](labels, probs)).max()),
        "score": float(max(np.abs(ours - theirs[RANK](labels, probs, key)).max() for key, ours in scores.items())),
        "filters": rows,
    }


def _table(figures: Sequence[dict[str, Any]], turns: int) -> dict[str, Any]:
    rows = []
    for found in figures:
        for job in (FIND, RANK, JOINT):
            times = {name: median(each) for name, each in found[job]["ms"].items()}
            memory, ours = found[job]["mib"], times.pop(OURS)
            row = [found["rows"], found["classes"], job, ours, min(times.values()) / ours if times else None]
            row += [memory[OURS], memory[THEIRS] / memory[OURS] if THEIRS in memory else None]
            rows.append([*row, found.get("rows that only one finds") if job == FIND else None])
    return {
        "title": f"audit-speed: float32 in memory, medians of {turns} turns (one where it takes over 10 s), "
        f"processors: {joblib.cpu_count()}; how many times the time and the memory beside the array cleanlab takes",
        "columns": ["rows", "classes", "job", "ms", "time ×", "MiB", "memory ×", "rows that only one finds"],
        "rows": rows,
    }


def _passes_table(found: dict[str, Any]) -> dict[str, Any]:
    ours = median(found["ms"]["NumPy in blocks"])
    return {
        "title": f"audit-speed: the first pass, {found['rows']} rows × {found['classes']} classes; the first call "
        "loads and compiles",
        "columns": ["with", "ms", "×", "first call, ms"],
        "rows": [
            [name, median(times), median(times) / ours, found["first ms"][name]] for name, times in found["ms"].items()
        ],
    }


def _agreement_table(same: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rows = []
    for found in same:
        for method, each in found["filters"].items():
            rows.append([found["set"], method, each["rows"], each["differ"], found["joint"], found["score"]])
    return {
        "title": "audit-speed: the same as cleanlab? rows that one flags and the other does not, and the largest "
        "difference of joints and of scores; rows differ only where a cut goes through equal scores",
        "columns": ["test set", "filter", "rows", "differ", "joint", "scores"],
        "rows": rows,
    }
