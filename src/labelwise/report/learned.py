"""How a model learned each label, as facts: what it learned from by epoch, and the labels that it contradicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise.audit.margins import noted_mean
from labelwise.report.plain import read_table
from labelwise.runs import EXAMPLES, PREDICTIONS, free_name

LEAST = 20  # labels that are shown
BINS = 24


def learned_facts(folder: Path, tasks: list[str]) -> dict[str, Any] | None:
    """What the model in `folder` noted of its training labels, by task; None if it noted nothing.

    Each task has `labels` (how many were learned from), `losses` (their mean by epoch), `selected` (the share that each
    epoch learned from, None before anything was chosen; None of methods that do not choose), `areas` (counts of the
    areas under the margin in equal bins between `lowest` and `highest`), `negative` (how many are below 0), and
    `least`, the labels of the smallest areas: `{"example", "given", "predicted", "area", "selected"}`, where `selected`
    is the share of epochs.
    """
    if not (folder / EXAMPLES).is_file():
        return None
    frame = read_table(folder / EXAMPLES, [free_name("example", tasks)])
    noted = {task: _task(frame, folder, task, tasks) for task in tasks if free_name(f"{task}_margin", tasks) in frame}
    return noted or None


def _task(frame: pd.DataFrame, folder: Path, task: str, tasks: list[str]) -> dict[str, Any]:
    rows = frame[free_name("example", tasks)].to_numpy()
    margins = _values(frame, f"{task}_margin", tasks)
    areas = noted_mean(margins, 1)
    known = np.flatnonzero(np.isfinite(areas))
    selected = _values(frame, f"{task}_selected", tasks) if free_name(f"{task}_selected", tasks) in frame else None
    counts, edges = np.histogram(areas[known], BINS)
    least = known[np.argsort(areas[known], kind="stable")[:LEAST]]
    predicted = read_table(folder / PREDICTIONS).set_index(free_name("example", tasks))
    return {
        "labels": len(known),
        "losses": noted_mean(_values(frame, f"{task}_loss", tasks)[known], 0),
        "selected": None if selected is None else _late(np.nanmean(selected[known], axis=0), margins.shape[1]),
        "areas": counts,
        "lowest": edges[0],
        "highest": edges[-1],
        "negative": int((areas[known] < 0).sum()),
        "least": [
            {
                "example": rows[at],
                "given": predicted[task].get(rows[at]),
                "predicted": predicted[free_name(f"{task}_predicted", tasks)].get(rows[at]),
                "area": areas[at],
                "selected": None if selected is None else np.nanmean(selected[at]),
            }
            for at in least
        ],
    }


def _late(shares: np.ndarray, epochs: int) -> list[float | None]:
    """The shares of the last epochs, with None for those in which nothing was chosen yet."""
    return [None] * (epochs - len(shares)) + shares.tolist()


def _values(frame: pd.DataFrame, name: str, tasks: list[str]) -> np.ndarray:
    """Values [rows, epochs], nan where there is none."""
    return np.stack(frame[free_name(name, tasks)].to_list()).astype(np.float64)
