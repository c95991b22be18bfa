"""What is wrong, as facts: findings counted, the worst with what they are about, and which labels are confused."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise import runs
from labelwise.report.items import items_of
from labelwise.report.plain import attempt, clip, read_table
from labelwise.wording import TITLES, title_of

COLUMNS = ["example", "task", "kind", "score", "given", "suggested", "why"]

WORST = 10_000  # findings that the page can show
PAIRS = 12
MATRIX = 30  # classes that still make a readable matrix
BINS = 20
NAME = 200
WHY = 400


def findings_facts(folder: Path) -> dict[str, Any]:
    """Findings of a run counted by kind and task, the worst ones with their items, and how their scores spread.

    Raises `Missing` if nothing was audited, and `ValueError` if the file is broken.
    """
    frame = read_issues(folder)
    shown = _worst(frame, WORST)
    not_shown: list[dict[str, Any]] = []
    items = attempt(not_shown, "items", lambda: _items(folder, shown)) or [None] * len(shown)
    by_kind = {kind: frame[frame["kind"] == kind] for kind in _kinds(frame)}
    groups = frame.groupby(["kind", "task"], sort=False, dropna=False)["example"].agg(["size", "nunique"])
    return {
        "total": len(frame),
        "examples": int(frame["example"].nunique()),
        "kinds": {
            kind: {
                "title": title_of(kind),
                "findings": len(rows),
                "examples": int(rows["example"].nunique()),
                "scores": _histogram(rows["score"]),
            }
            for kind, rows in by_kind.items()
        },
        "counts": [
            {"kind": kind, "task": clip(task, NAME), "findings": int(size), "examples": int(unique)}
            for (kind, task), (size, unique) in zip(groups.index, groups.to_numpy(), strict=True)
        ],
        "worst": [_finding(row, item) for row, item in zip(shown.to_dict(orient="records"), items, strict=True)],
        "not_shown": not_shown,
    }


def read_issues(folder: Path) -> pd.DataFrame:
    """The findings of a run with text or None in `task`, `given` and `suggested`, and an `id` in any case."""
    frame = read_table(folder / runs.ISSUES, COLUMNS)
    if "id" not in frame.columns:
        frame["id"] = frame["example"].astype(str)
    for name in ("task", "given", "suggested"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def confusion_facts(folder: Path, classes: dict[str, list[str]]) -> dict[str, Any]:
    """How often which given label is likely to be which other one, by task: the most frequent pairs, and the matrix.

    `classes` are the class names of each task in order; a task of more than `MATRIX` classes, or of unknown ones,
    gets pairs only. Counted are findings that suggest another label.
    """
    frame = read_issues(folder).dropna(subset=["task", "given", "suggested"])
    frame = frame[frame["given"] != frame["suggested"]].drop_duplicates(["example", "task", "given", "suggested"])
    facts = {}
    for task, rows in frame.groupby("task", sort=False):
        swaps = Counter(zip(rows["given"].astype(str), rows["suggested"].astype(str), strict=True))
        ordered = sorted(swaps.items(), key=lambda swap: (-swap[1], swap[0]))
        place = {name: at for at, name in enumerate(classes.get(str(task), []))}
        matrix = None
        if 0 < len(place) <= MATRIX and all(given in place and other in place for given, other in swaps):
            matrix = [[0] * len(place) for _ in place]
            for (given, other), count in ordered:
                matrix[place[given]][place[other]] = count
        facts[str(task)] = {
            "total": swaps.total(),
            "number_of_pairs": len(ordered),
            "pairs": [
                {"given": clip(given, NAME), "suggested": clip(other, NAME), "count": count}
                for (given, other), count in ordered[:PAIRS]
            ],
            "classes": list(place) if matrix is not None else [],
            "matrix": matrix,
        }
    known = [task for task in classes if task in facts]
    return {task: facts[task] for task in [*known, *(task for task in facts if task not in known)]}


def _kinds(frame: pd.DataFrame) -> list[str]:
    """Kinds that occur, the known ones first."""
    present = dict.fromkeys(frame["kind"].astype(str))
    return [kind for kind in TITLES if kind in present] + sorted(kind for kind in present if kind not in TITLES)


def _worst(frame: pd.DataFrame, limit: int) -> pd.DataFrame:
    """At most `limit` findings, kind after kind, worst first in each, taken in turn from each kind and task.

    Scores are comparable within a detector only, so they do not order kinds, and a detector with many findings must not
    crowd out another.
    """
    rank = frame.groupby(["kind", "task"], dropna=False).cumcount()
    kept = frame.loc[rank.sort_values(kind="stable").index[:limit]].sort_index()
    order = {kind: place for place, kind in enumerate(_kinds(frame))}
    return kept.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")


def _items(folder: Path, shown: pd.DataFrame) -> list[dict[str, Any] | None]:
    """The items of the findings; of each kind and task the worst are served first, in turn, while there is room."""
    turn = np.argsort(shown.groupby(["kind", "task"], dropna=False).cumcount().to_numpy(), kind="stable")
    items: list[dict[str, Any] | None] = [None] * len(shown)
    for at, item in zip(turn, items_of(folder, shown["example"].to_numpy()[turn].tolist()), strict=True):
        items[at] = item
    return items


def _histogram(scores: pd.Series) -> list[int]:
    return np.histogram(scores.to_numpy(float).clip(0, 1), bins=BINS, range=(0, 1))[0].tolist()


def _finding(row: Mapping[Any, Any], item: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "example": int(row["example"]),
        "id": clip(row["id"], NAME),
        "task": clip(row["task"], NAME),
        "kind": str(row["kind"]),
        "score": float(row["score"]),
        "given": clip(row["given"], NAME),
        "suggested": clip(row["suggested"], NAME),
        "why": clip(row["why"], WHY),
        "item": item,
    }
