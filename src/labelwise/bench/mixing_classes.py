"""Methods that learn from mixtures of few pictures: accuracy, and how far confidence can be trusted."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from labelwise.bench.harness import compare, kept, versions
from labelwise.labels import Task, data_path
from labelwise.methods import Plan, get, train
from labelwise.methods.training import answers, seeded
from labelwise.metrics import classification_scores
from labelwise.models import backbone_for
from labelwise.progress import progress
from labelwise.runs import RunFolder

Draw = Callable[[int], tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]]
"""Draws pictures, labels, and the rows to learn from and to test on, by a seed."""
_REFERENCE = "cross-entropy"
WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    _REFERENCE: ("cross-entropy", {}),
    "mixup": ("mixup", {}),
    "mixup, alpha 1": ("mixup", {"alpha": 1.0}),
    "cutmix": ("cutmix", {}),
    "decoupled-mixup": ("decoupled-mixup", {}),
    "decoupled-mixup, cutmix": ("decoupled-mixup", {"mixer": "cutmix", "alpha": 1.0}),
    "rank-mixup": ("rank-mixup", {}),
    "rank-mixup, ranking": ("rank-mixup", {"rank": "ranking", "copies": 1}),
}
"""A method and its options, by what the tables call it: defaults, and one or two published variants."""
MEASURES = {"accuracy": "accuracy", "calibration_error": "ECE", "log_loss": "log loss"}
_PLAN = Plan(epochs=40, batch_size=32, patience=0, width=64)
_TASK = Task("digit", classes=tuple("0123456789"))


def mixing_classes(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """200 digits of 8 × 8 and 500 of MNIST at 14 × 14 pixels, 5 seeds, 40 epochs (`full`: 10 seeds, 28 × 28 pixels).

    Options are the published defaults and nothing is tuned; test rows are the same for all seeds. Probabilities are
    those of the network itself, before the calibration that `labelwise fit` ends with.
    """
    data_path("mnist")
    problems: dict[str, Draw] = {"digits, 200 rows": _digits, "MNIST, 500 rows": partial(_mnist, 28 if full else 14)}
    return run(problems, WAYS, range(seed, seed + (10 if full else 5)), _PLAN, out, quiet)


def run(
    problems: Mapping[str, Draw],
    ways: Mapping[str, tuple[str, dict[str, Any]]],
    seeds: Sequence[int],
    plan: Plan,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every way on every problem with every seed; figures are kept in the folder `out` on the way.

    Raises `ValueError` if `out` holds a run of other settings.
    """
    about = {"comparison": "mixing-classes", "problems": list(problems), "plan": repr(plan)}
    folder = RunFolder.start(out, about) if out else None
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    with progress("mixing-classes", len(problems) * len(ways) * len(seeds), quiet) as advance:
        for problem, draw in problems.items():
            figures[problem] = {}
            for number, (way, (method, options)) in enumerate(ways.items()):
                fits = []
                for seed in seeds:
                    file = None if folder is None else folder / f"{problem}-{number}-{seed}.json".replace(" ", "_")
                    fits.append(kept(file, partial(_fit, draw, method, options, plan, seed)))
                    advance()
                figures[problem][way] = {measure: [fit[measure] for fit in fits] for measure in MEASURES}
    summary = compare(figures, _REFERENCE)
    return {
        "name": "mixing-classes",
        "about": "Methods that learn from mixtures of few pictures: accuracy and calibration.",
        "data": about,
        "seeds": list(seeds),
        "budget": {"epochs": plan.epochs, "rows_a_step": plan.batch_size},
        "figures": figures,
        "summary": summary,
        "tables": [_table(problem, summary, len(seeds)) for problem in problems],
        "versions": versions(),
    }


def _fit(
    draw: Draw,
    method: str,
    options: Mapping[str, Any],
    plan: Plan,
    seed: int,
) -> dict[str, float]:
    pictures, labels, learned, tested = draw(seed)
    with seeded(seed):
        made = get(method)(backbone_for(pictures.shape[1:], plan.width, plan.dropout), [_TASK], **options)
        targets = {_TASK.name: torch.from_numpy(labels)}
        train(made, pictures, targets, learned, learned[:0], plan, seed, quiet=True)
    probabilities = answers(made, pictures, tested)[_TASK.name].softmax(-1).numpy()
    scores = classification_scores(labels[tested], probabilities, n_bootstrap=1)
    return {"accuracy": scores["accuracy"]["value"], **{each: scores[each] for each in list(MEASURES)[1:]}}


def _table(problem: str, summary: Sequence[Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    rows = []
    for entry in summary:
        if entry["task"] == problem:
            cells = [f"{entry[each]['mean']:.3f} ± {entry[each]['half_width'] or 0:.3f}" for each in MEASURES]
            versus = [entry[each].get("versus", {}).get("p") for each in ("accuracy", "calibration_error")]
            rows.append([entry["method"], *cells, *versus])
    title = f"mixing-classes: {problem}, {seeds} seeds, mean ± half of the 95 % interval, p of paired t-tests"
    against = [f"p of {MEASURES[each]} against {_REFERENCE}" for each in ("accuracy", "calibration_error")]
    return {"title": title, "columns": ["method", *MEASURES.values(), *against], "rows": rows}


def _digits(seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    flat, labels = load_digits(return_X_y=True)
    pictures = torch.from_numpy(flat).float().reshape(-1, 1, 8, 8) / 16
    return _split(pictures, labels, len(labels) - 797, 200, seed)


def _mnist(side: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    with np.load(data_path("mnist") / "mnist.npz", allow_pickle=False) as file:
        pictures = torch.from_numpy(np.concatenate([file["x_train"][:20_000], file["x_test"][:2000]]))
        labels = np.concatenate([file["y_train"][:20_000], file["y_test"][:2000]])
    small = F.adaptive_avg_pool2d(pictures[:, None].float() / 255, side)
    return _split(small, labels, 20_000, 500, seed)


def _split(
    pictures: Tensor, labels: np.ndarray, first_tested: int, rows: int, seed: int
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Rows from `first_tested` on are tested on; so many of the others, drawn by the seed, are learned from."""
    learned = np.random.default_rng(seed).choice(first_tested, rows, replace=False)
    return pictures, labels.astype(np.int64), np.sort(learned), np.arange(first_tested, len(labels))
