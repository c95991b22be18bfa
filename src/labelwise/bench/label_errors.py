"""Label errors in famous test sets: what confident learning flags, and what people said of it.

Probabilities and verdicts are those of Northcutt, Athalye and Mueller, "Pervasive Label Errors in Test Sets Destabilize
Machine Learning Benchmarks" (2021). A label is a verified error if fewer than three of the five people who looked at
it chose the given class. Nothing is random here, so that there are no seeds; intervals are Wilson's.
"""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.audit.filters import find_label_issues
from labelwise.audit.quality import label_quality
from labelwise.bench.harness import proportion, versions
from labelwise.labels import data_path
from labelwise.progress import progress

_SETS = ("mnist", "imdb", "20news")
_MAJORITY = 3


def label_errors(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Flag the labels of three test sets by confident learning, and count how many people confirmed.

    All flagged rows by the default filter, and, as the paper did, as many rows of the lowest normalised margin as were
    reviewed. Takes the arguments of every comparison; none of them changes anything here.
    """
    folder = data_path("label-errors")
    figures = {}
    with progress("label-errors", len(_SETS), quiet) as advance:
        for name in _SETS:
            figures[name] = _judge(folder, name)
            advance()
    return {
        "name": "label-errors",
        "about": "Label errors found by confident learning in test sets, judged by five people each.",
        "data": {name: facts["rows"] for name, facts in figures.items()},
        "seeds": [],
        "figures": figures,
        "tables": [_table(figures)],
        "versions": versions(),
    }


def _judge(folder: Path, name: str) -> dict[str, Any]:
    with np.load(folder / f"{name}_test.npz", allow_pickle=False) as file:
        labels, probabilities = file["labels"].astype(np.int64), file["pred_probs"]
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # some rows of IMDB sum to 1.00002
    with gzip.open(folder / f"{name}_verdicts.json.gz", "rt", encoding="utf-8") as file:
        verdicts = {int(item["id"]): item["mturk"]["given"] < _MAJORITY for item in json.load(file)}
    by_margin = np.argsort(label_quality(labels, probabilities, "normalized_margin"), kind="stable")
    flagged = np.flatnonzero(find_label_issues(labels, probabilities))
    return {
        "rows": len(labels),
        "reviewed": len(verdicts),
        "errors": sum(verdicts.values()),
        "flagged": _confirmed(flagged, verdicts),
        "lowest_margin": _confirmed(by_margin[: len(verdicts)], verdicts),
    }


def _confirmed(rows: np.ndarray, verdicts: dict[int, bool]) -> dict[str, Any]:
    """How many of these rows people reviewed, and what share of those they found wrong."""
    reviewed = [int(row) for row in rows if int(row) in verdicts]
    return {"rows": len(rows), "precision": proportion(sum(verdicts[row] for row in reviewed), len(reviewed))}


def _table(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = []
    for name, facts in figures.items():
        for how, key in (("flagged by default", "flagged"), ("lowest margin, as many as reviewed", "lowest_margin")):
            found = facts[key]["precision"]
            interval = f"{found['low']:.3f} to {found['high']:.3f}" if found["n"] else None
            rows.append(
                [name, facts["rows"], how, facts[key]["rows"], found["n"], found["hits"], found["value"], interval]
            )
    return {
        "title": "label-errors: what people confirmed",
        "columns": ["test set", "rows", "how", "found", "reviewed", "errors", "precision", "95 %"],
        "rows": rows,
    }
