"""How the models did, as facts: scores with intervals, calibration, learning curves, experts that each task chose."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from labelwise.metrics import classification_scores, reliability
from labelwise.report.learned import learned_facts
from labelwise.report.plain import Missing, attempt, existing, read_table
from labelwise.runs import HISTORY, LABELS, METRICS, MODEL, PREDICTIONS, RunFolder, file_stem, free_name, read_json

PROBABILITIES = "probabilities"


def models_facts(run: RunFolder) -> list[dict[str, Any]]:
    """What is known of each trained model of a run; raises `Missing` if it has none.

    Each is `{"name", "method", "options", "epochs", "tasks", "history", "best_epoch", "learned", "experts",
    "not_shown"}` (`learned` as `learned_facts` gives it); the parts whose files are missing or broken are None, and
    `not_shown` says why.
    """
    models = run.models()
    if not models:
        raise Missing(f"this run has no {MODEL}: nothing was trained")
    names = sorted(models, key=lambda name: name != "raw")  # what the others are compared with comes first
    return [_model(name, models[name]) for name in names]


def cross_fit_facts(folder: Path, classes: dict[str, list[str]], seed: int = 0) -> dict[str, Any]:
    """Scores of the audit's out-of-fold probabilities against the given labels, `{"tasks", "not_shown"}` as of a model.

    `classes` are the class names of each task, in the order of the columns of `probabilities/TASK.npy`; `seed` is that
    of the bootstrap. Raises `Missing` if the audit kept no probabilities.
    """
    found = {task: folder / PROBABILITIES / f"{file_stem(task)}.npy" for task in classes}
    found = {task: path for task, path in found.items() if path.is_file()}
    if not found:
        raise Missing(f"this run has no {PROBABILITIES}/")
    labels = read_table(folder / LABELS, list(found))
    not_shown: list[dict[str, Any]] = []
    tasks = {}
    for task, path in found.items():
        codes = _codes(labels[task], classes[task])
        scored = attempt(not_shown, task, partial(_out_of_fold, path, codes, classes[task], seed))
        if scored is not None:
            tasks[task] = scored
    return {"tasks": tasks, "not_shown": not_shown}


def destabilised_facts(path: Path) -> dict[str, Any] | None:
    """What `labelwise compare-models` found, by task, see `audit.compare_models`; None if it was not asked."""
    if not path.is_file():
        return None
    facts = read_json(path)
    parts = {"rows", "corrected", "pruned", "share", "models", "curves", "crossings"}
    if not isinstance(facts, dict) or not all(isinstance(each, dict) and parts <= set(each) for each in facts.values()):
        raise ValueError(f"{path.name} should hold, for each task, {', '.join(sorted(parts))}")
    return facts


def _out_of_fold(path: Path, codes: np.ndarray, classes: list[str], seed: int) -> dict[str, Any]:
    # Memory-mapped: the probabilities of several models and many classes may be larger than memory.
    probabilities = np.load(path, mmap_mode="r", allow_pickle=False)
    scores = classification_scores(codes, probabilities, seed=seed)
    return _scores("given labels, out of fold", scores, classes) | {"reliability": reliability(codes, probabilities)}


def _codes(labels: pd.Series, classes: list[str]) -> np.ndarray:
    """Class indices, int64 [n], -1 where the label is missing or no class."""
    text = pc.cast(pa.array(labels, from_pandas=True), pa.string())
    return np.asarray(pc.index_in(text, value_set=pa.array(classes, pa.string())).fill_null(-1), np.int64)


def _scores(split: str, scores: dict[str, Any], classes: list[str]) -> dict[str, Any]:
    per_class = [
        {**row, "class": classes[row["class"]] if row["class"] < len(classes) else str(row["class"])}
        for row in scores.get("per_class", [])
    ]
    means = {name: value for name, value in scores.items() if name != "per_class"}
    return {"split": split, "scores": means, "per_class": per_class, "temperature": None, "reliability": None}


def _model(name: str, folder: Path) -> dict[str, Any]:
    not_shown: list[dict[str, Any]] = []
    config = attempt(not_shown, "settings", lambda: RunFolder(folder).config) or {}
    metrics = attempt(not_shown, "scores", lambda: read_json(existing(folder / METRICS))) or {}
    classes = _classes(config)
    tasks = attempt(not_shown, "scores", lambda: _tasks(metrics, classes)) or {}
    diagrams = {}
    if config.get("task") != "boxes":  # these are measured in their own way, see `report.boxes`
        diagrams = attempt(not_shown, "calibration", lambda: _reliability(folder, tasks, classes)) or {}
    for task, points in diagrams.items():
        tasks[task]["reliability"] = points
    history = attempt(not_shown, "learning curve", lambda: _history(folder)) or []
    # What the gates did has a part of its own.
    gates = [{"epoch": row["epoch"], **row["gates"]} for row in history if isinstance(row.get("gates"), dict)]
    history = [{key: value for key, value in row.items() if key != "gates"} for row in history]
    return {
        "name": name,
        "method": metrics.get("method") or config.get("method"),
        "options": config.get("options") or {},
        "epochs": metrics.get("epochs"),
        "tasks": tasks,
        "history": history or None,
        "best_epoch": _best_epoch(history),
        "learned": attempt(not_shown, "learned labels", lambda: learned_facts(folder, list(classes))),
        "experts": attempt(not_shown, "experts", lambda: _experts(metrics, gates)),
        "not_shown": not_shown,
    }


def _classes(config: dict[str, Any]) -> dict[str, list[str]]:
    """Class names by task, as the model's settings list them."""
    tasks = config.get("tasks") or []
    return {str(task["name"]): [str(name) for name in task.get("classes", [])] for task in tasks if "name" in task}


def _tasks(metrics: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    """Scores of each task on the test split where there is one, else on the validation split."""
    facts = {}
    for task, parts in metrics.get("tasks", {}).items():
        split = "test" if parts.get("test") else "validation"
        if parts.get(split):
            facts[task] = _scores(split, parts[split], classes.get(task, [])) | {
                "temperature": parts.get("temperature")
            }
    return facts


def _reliability(folder: Path, tasks: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    """Reliability diagrams of the split that the scores are of, by task of one class."""
    split = free_name("split", tasks)
    frame = read_table(folder / PREDICTIONS, [split])
    nameless = [task for task in tasks if task not in classes and tasks[task]["per_class"]]
    if nameless:
        raise ValueError(f"the settings do not name the classes of {', '.join(nameless)}")
    facts = {}
    for task, scored in tasks.items():
        rows = frame[frame[split] == scored["split"]]
        column = free_name(f"{task}_probabilities", tasks)
        if scored["per_class"] and column in rows and len(rows):
            probabilities = np.stack(rows[column].to_list())
            facts[task] = reliability(_codes(rows[task], classes[task]), probabilities)
    return facts


def _history(folder: Path) -> list[dict[str, Any]] | None:
    history = read_json(existing(folder / HISTORY))
    if not isinstance(history, list) or not all(isinstance(row, dict) and "epoch" in row for row in history):
        raise ValueError(f"{HISTORY} should be a list of epochs")
    return history or None


def _best_epoch(history: list[dict[str, Any]]) -> int | None:
    """The epoch whose weights are kept: of the lowest validation loss, among those where the method was settled."""
    measured = [row for row in history if isinstance(row.get("validation_loss"), (int, float))]
    kept = min(measured, key=lambda row: (not row.get("settled", True), row["validation_loss"]), default=None)
    return kept["epoch"] if kept else None


def _experts(metrics: dict[str, Any], gates: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Weights that tasks give to experts, `training` by epoch, and where known, what tasks have in common."""
    experts = metrics.get("experts")
    if not experts:
        return None
    weights = {str(task): np.asarray(row, float) for task, row in experts["tasks"].items()}
    if len({row.shape for row in weights.values()}) != 1 or any(row.ndim != 1 for row in weights.values()):
        raise ValueError("experts: every task should have one weight an expert")
    for row in gates:
        loads = row["load"]
        if set(loads) != set(weights) or any(np.shape(loads[task]) != weights[task].shape for task in weights):
            raise ValueError(f"{HISTORY}: the gates of epoch {row['epoch']} should have one load a task and expert")
    overlap = experts.get("overlap")
    return {
        "tasks": list(weights),
        "weights": [row.tolist() for row in weights.values()],
        "chosen": {task: np.flatnonzero(row > 0).tolist() for task, row in weights.items()},
        "note": experts.get("note"),
        "notes": [str(note) for note in experts.get("notes") or []],
        "training": gates,
        "overlap": None if overlap is None else [overlap[task] for task in weights],
        "tree": None if overlap is None or len(weights) < 3 else _tree([overlap[task] for task in weights]),
    }


def _tree(overlap: list[list[float]]) -> dict[str, Any]:
    """Tasks joined by the experts that they share, those that share most first (average linkage on 1 - overlap).

    `order` are the tasks from top to bottom. Each of `merges` joins two clusters at a distance in [0, 1]; clusters are
    numbered as in scipy, first the tasks, then the merges.
    """
    apart = 1 - np.asarray(overlap, float)
    if apart.shape != (len(overlap),) * 2 or not ((apart >= -1e-9) & (apart <= 1 + 1e-9)).all():
        raise ValueError("experts: overlap should be a share for each two tasks")
    apart = np.clip((apart + apart.T) / 2, 0, 1)
    np.fill_diagonal(apart, 0)
    joined = linkage(squareform(apart), "average")
    return {
        "order": leaves_list(joined).tolist(),
        "merges": [[int(left), int(right), float(at)] for left, right, at, _ in joined],
    }
