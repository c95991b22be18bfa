"""Which of the models of an audit is best, where the true labels of its rows are known."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise.audit import arrays
from labelwise.audit.destabilised import Destabilisation, destabilise
from labelwise.audit.reopen import finished
from labelwise.audit.truth import true_labels
from labelwise.labels import LabelTable
from labelwise.runs import DESTABILISED, RunFolder, file_stem, read_json, write_json


def compare_models(
    run: str | PathLike[str], truth: LabelTable, task: str | None = None, seed: int = 0
) -> Destabilisation:
    """Find out whether the choice between the models of a finished audit depends on how many labels were wrong.

    A model predicts the class of the highest probability out of sample, in the mean of its repeats. `truth` is a table
    of the true labels, joined by id; a row of it without a label is pruned (as reviewers did not agree), rows that it
    lacks are left out, as are rows that had no label. `task` may be left out if there is one; `seed` is that of the
    bootstrap. The result (`destabilise`) is also written to `destabilised.json` in the run, by task, for the report.

    Raises `ValueError` if the run is not finished, has fewer than two models of the task, or shares no id with the
    truth, and if every label, or none, was right.
    """
    folder, given = finished(run)
    name = given.task(task).name
    models = _models(folder, name)
    if len(models) < 2:
        raise ValueError(
            f"the audit in {run} has {len(models)} model of {name!r}, and to compare takes two; audit without "
            "--probabilities, or give those of several models, [models, n, classes]"
        )
    _, right, known = true_labels(run, given, truth, name)
    labels = given.labels(name)
    rows = known & (labels >= 0)
    predictions = {model: _predicted(each)[rows] for model, each in models.items()}
    found = destabilise(predictions, labels[rows], right[rows], seed=seed)
    path = folder / DESTABILISED
    kept = read_json(path) if path.is_file() else {}
    write_json(path, kept | {name: _facts(found, labels[rows], right[rows])})
    return found


def _models(folder: RunFolder, task: str) -> dict[str, np.ndarray]:
    """Probabilities [repeats, n, classes] by model, mapped; models that the user brought are numbered."""
    path = folder / "probabilities" / f"{file_stem(task)}.npy"
    if not path.is_file():
        return {}
    probabilities = np.load(path, mmap_mode="r", allow_pickle=False)
    record = Path(f"{path}.json")
    names = read_json(record)["models"] if record.is_file() else []
    names = names or [f"model {at + 1}" for at in range(len(probabilities))]
    repeats = len(probabilities) // len(names)
    return {name: probabilities[at * repeats : (at + 1) * repeats] for at, name in enumerate(names)}


def _predicted(probabilities: np.ndarray) -> np.ndarray:
    """The most probable class in the mean of the repeats [repeats, n, classes], int64 [n]."""
    blocks = arrays.row_blocks(probabilities.shape)
    return np.concatenate([probabilities[:, rows].mean(axis=0, dtype=np.float64).argmax(axis=1) for rows in blocks])


def _facts(found: Destabilisation, labels: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    return {
        "rows": len(labels),
        "corrected": int(((right >= 0) & (right != labels)).sum()),
        "pruned": int((right < 0).sum()),
        "share": found.share,
        **{part: _records(getattr(found, part)) for part in ("models", "curves", "crossings")},
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return [dict(zip(frame.columns, row, strict=True)) for row in rows]
