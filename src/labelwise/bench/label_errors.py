"""Label errors in famous test sets: what every filter and score finds, and what people said of it.

Probabilities and verdicts are those of Northcutt, Athalye and Mueller, "Pervasive Label Errors in Test Sets Destabilize
Machine Learning Benchmarks" (2021). A label is a verified error if fewer than three of the five people who looked at
it chose the given class. Nothing is random here, so that there are no seeds; intervals are Wilson's.
"""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from labelwise.audit.filters import Filter, find_label_issues
from labelwise.audit.quality import Score, label_quality
from labelwise.bench.harness import proportion, versions
from labelwise.labels import data_path
from labelwise.progress import progress

_SETS = ("mnist", "imdb", "20news")
_MAJORITY = 3


class _Verdicts(NamedTuple):
    """What people said, all [n]: whether they looked at the row, found its label wrong, and which class they chose
    instead (-1 where they agreed on none)."""

    reviewed: np.ndarray
    wrong: np.ndarray
    right_class: np.ndarray


def label_errors(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Find label errors in three test sets by every filter and score, and count how many people confirmed.

    As many rows are judged as the paper reviewed: of a filter the worst of its flags by normalised margin (or all, if
    they are fewer), of a score the lowest. Only rows that people looked at count in a precision. A suggestion, the most
    probable other class, is right if three people or more chose it. Takes the arguments of every comparison; none of
    them changes anything here.
    """
    folder = data_path("label-errors")
    figures = {}
    with progress("label-errors", len(_SETS), quiet) as advance:
        for name in _SETS:
            figures[name] = _judge(folder, name)
            advance()
    return {
        "name": "label-errors",
        "about": "Label errors found in test sets by every filter and score, judged by five people each.",
        "data": {name: facts["rows"] for name, facts in figures.items()},
        "seeds": [],
        "figures": figures,
        "tables": [_table(name, facts) for name, facts in figures.items()],
        "versions": versions(),
    }


def _judge(folder: Path, name: str) -> dict[str, Any]:
    with np.load(folder / f"{name}_test.npz", allow_pickle=False) as file:
        labels, probabilities = file["labels"].astype(np.int64), file["pred_probs"]
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # some rows of IMDB sum to 1.00002
    verdicts = _read(folder / f"{name}_verdicts.json.gz", len(labels))
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1
    suggested = others.argmax(axis=1)
    number = int(verdicts.reviewed.sum())
    return {
        "rows": len(labels),
        "reviewed": number,
        "errors": int(verdicts.wrong.sum()),
        "methods": {
            method: {"found": len(rows), **_confirmed(rows[:number], suggested, verdicts)}
            for method, rows in _ranked(labels, probabilities)
        },
    }


def _read(path: Path, rows: int) -> _Verdicts:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        items = json.load(file)
    at = np.array([item["id"] for item in items])
    votes = [item["mturk"] for item in items]
    guesses = [item["our_guessed_label"] for item in items]
    codes = np.array([{"Negative": 0, "Positive": 1}.get(guess, guess) for guess in guesses], np.int64)
    verdicts = _Verdicts(np.zeros(rows, bool), np.zeros(rows, bool), np.full(rows, -1))
    verdicts.reviewed[at] = True
    verdicts.wrong[at] = [vote["given"] < _MAJORITY for vote in votes]
    verdicts.right_class[at] = np.where([vote["guessed"] >= _MAJORITY for vote in votes], codes, -1)
    return verdicts


def _ranked(labels: np.ndarray, probabilities: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Rows by method, worst first: those that a filter flags, and all by a score."""
    for method in get_args(Filter):
        yield method, find_label_issues(labels, probabilities, method, rank_by="normalized_margin")
    for score in get_args(Score):
        yield f"score: {score}", np.argsort(label_quality(labels, probabilities, score), kind="stable")


def _confirmed(rows: np.ndarray, suggested: np.ndarray, verdicts: _Verdicts) -> dict[str, Any]:
    """How many of these rows people looked at, and the shares of those that they found wrong, of rightly suggested."""
    reviewed = rows[verdicts.reviewed[rows]]
    errors = reviewed[verdicts.wrong[reviewed]]
    right = int((suggested[errors] == verdicts.right_class[errors]).sum())
    return {
        "judged": len(rows),
        "precision": proportion(len(errors), len(reviewed)),
        "suggestions": proportion(right, len(errors)),
    }


def _table(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for method, each in facts["methods"].items():
        found, right = each["precision"], each["suggestions"]
        rows.append(
            [
                method,
                None if method.startswith("score") else each["found"],
                each["judged"],
                found["n"],
                found["hits"],
                *_shown(found),
                *_shown(right),
            ]
        )
    return {
        "title": f"label-errors: {name}, {facts['rows']:,} rows, of which people looked at {facts['reviewed']:,} and "
        f"found {facts['errors']:,} wrong",
        "columns": [
            *("method", "flagged", "judged", "of these reviewed", "errors"),
            *("precision", "its 95 %", "suggestions right", "their 95 %"),
        ],
        "rows": rows,
    }


def _shown(share: dict[str, Any]) -> list[Any]:
    return [share["value"], f"{share['low']:.3f} to {share['high']:.3f}" if share["n"] else None]
