"""Numbers learned from mixtures: plain training, mixup, C-Mixup, and embeddings ordered by contrast."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from sklearn.datasets import load_diabetes
from torch import Tensor

from labelwise.bench.harness import compare, kept, kept_file, versions
from labelwise.labels import Task, data_path
from labelwise.methods import Method, Plan, get, train
from labelwise.methods.training import answers, seeded
from labelwise.metrics import regression_scores
from labelwise.models import MLP
from labelwise.progress import progress
from labelwise.runs import RunFolder


class Rows(NamedTuple):
    """Inputs [n, d], numbers [n], and which rows are learned from, held out and tested on."""

    inputs: Tensor
    labels: Tensor
    learned: np.ndarray
    held_out: np.ndarray
    tested: np.ndarray


class Problem(NamedTuple):
    """How rows are drawn by a seed, and what is learned on them.

    `overlap` is that of `harness.interval`: rows tested on over rows learned from, where seeds split the same rows.
    """

    draw: Callable[[int], Rows]
    plan: Plan
    overlap: float


WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "squared error": ("cross-entropy", {}),
    "mixup": ("mixup", {"alpha": 2.0}),
    "mixup, alpha 0.2": ("mixup", {"alpha": 0.2}),
    "manifold mixup": ("mixup", {"alpha": 2.0, "layers": True}),
    "c-mixup": ("c-mixup", {}),
    "supervised contrast": ("supremix", {"mixtures": False, "weighted": False}),
    "supremix": ("supremix", {}),
}
"""A method and its options, by what the tables call it. Those of C-Mixup have its alpha, 2, for mixing too."""
RATES = (2e-3, 8e-3)
MEASURES = {"rmse": "RMSE", "mae": "MAE", "spearman": "Spearman", "order": "order of embeddings"}
PAIRS = (
    ("c-mixup", "squared error"),
    ("c-mixup", "mixup"),
    ("c-mixup", "manifold mixup"),
    ("supremix", "supervised contrast"),
)
"""What is tested against what."""
_TASK = Task("number", "real")


def mixing_regression(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """A spiral of 100 points, diabetes (300 patients) and airfoil noise (1003 rows), 6 seeds (`full`: 12).

    Each way has the same epochs and batches on a problem. The learning rate, one of two, and the epoch are those of the
    lowest squared error on held-out rows, seed by seed; other options are defaults. Networks have two hidden layers.
    """
    data_path("c-mixup")
    problems = {
        "spiral": Problem(spiral, Plan(epochs=200, batch_size=32, patience=0, width=64, dropout=0.0), 0.0),
        "diabetes": Problem(_diabetes, Plan(epochs=40, batch_size=32, patience=0, width=128, dropout=0.0), 71 / 300),
        "airfoil": Problem(_airfoil, Plan(epochs=20, batch_size=32, patience=0, width=128, dropout=0.0), 200 / 1003),
    }
    return run(problems, WAYS, range(seed, seed + (12 if full else 6)), out, quiet)


def run(
    problems: Mapping[str, Problem],
    ways: Mapping[str, tuple[str, dict[str, Any]]],
    seeds: Sequence[int],
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every way on every problem with every seed; figures are kept in the folder `out` on the way.

    Raises `ValueError` if `out` holds a run of other settings.
    """
    about = {
        "comparison": "mixing-regression",
        "plans": {name: repr(problem.plan) for name, problem in problems.items()},
        "learning_rates": list(RATES),
    }
    folder = RunFolder.start(out, about) if out else None
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    chosen: dict[str, dict[str, list[float]]] = {}
    with progress("mixing-regression", len(problems) * len(ways) * len(seeds), quiet) as advance:
        for name, problem in problems.items():
            figures[name], chosen[name] = {}, {}
            for number, (way, (method, options)) in enumerate(ways.items()):
                fits = []
                for seed in seeds:
                    file = kept_file(folder, name, number, seed)
                    fits.append(kept(file, partial(_fit, problem, method, options, seed)))
                    advance()
                figures[name][way] = {measure: [fit[measure] for fit in fits] for measure in MEASURES}
                chosen[name][way] = [fit["learning_rate"] for fit in fits]
    summary = [
        entry
        for name, problem in problems.items()
        for pair in PAIRS
        if set(pair) <= set(ways)
        for entry in _against(name, figures[name], pair, problem.overlap)
    ]
    return {
        "name": "mixing-regression",
        "about": "Numbers learned from mixtures: plain training, mixup, C-Mixup, and embeddings ordered by contrast.",
        "data": about,
        "seeds": list(seeds),
        "figures": figures,
        "learning_rates": chosen,
        "summary": summary,
        "tables": [
            *(_table(name, figures[name], problem.overlap, len(seeds)) for name, problem in problems.items()),
            _versus(summary, len(seeds)),
        ],
        "versions": versions(),
    }


def spiral(seed: int) -> Rows:
    """Points near theta (cos theta, sin theta) / 9 for theta in [1, 3 pi], which is the number to learn."""
    generator = np.random.default_rng(seed)
    theta = generator.uniform(1, 3 * np.pi, 1200)
    points = (theta / 9)[:, None] * np.stack([np.cos(theta), np.sin(theta)], 1)
    points += 0.03 * generator.normal(size=points.shape)
    return _rows(points, theta, np.arange(1200), 100, 100)


def _diabetes(seed: int) -> Rows:
    inputs, labels = load_diabetes(return_X_y=True)
    return _rows(inputs, labels, np.random.default_rng(seed).permutation(len(labels)), 300, 71)


def _airfoil(seed: int) -> Rows:
    table = np.loadtxt(data_path("c-mixup") / "airfoil_self_noise.dat", skiprows=1)
    return _rows(table[:, :5], table[:, 5], np.random.default_rng(seed).permutation(len(table)), 1003, 300)


def _rows(inputs: np.ndarray, labels: np.ndarray, order: np.ndarray, learned: int, held_out: int) -> Rows:
    """The first rows in this order are learned from, the next held out, the rest tested on; inputs standardised."""
    parts = np.split(order, [learned, learned + held_out])
    known = inputs[parts[0]]
    scaled = torch.from_numpy(((inputs - known.mean(0)) / known.std(0)).astype(np.float32))
    return Rows(scaled, torch.from_numpy(labels), *parts)


def _fit(problem: Problem, method: str, options: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Figures on the tested rows of the learning rate that is best on the held-out ones."""
    rows = problem.draw(seed)
    fits = [_train(problem, rows, method, {**options, "learning_rate": rate}, seed) for rate in RATES]
    best, made = min(fits, key=lambda fit: fit[0])
    predicted = made.probabilities(answers(made, rows.inputs, rows.tested))[_TASK.name].numpy()
    scores = regression_scores(rows.labels[rows.tested].numpy(), predicted, n_bootstrap=0)
    return {
        **{name: scores[name]["value"] for name in ("rmse", "mae", "spearman")},
        "order": _order(made, rows),
        "held_out": best,
        "learning_rate": made.learning_rate,
    }


def _train(problem: Problem, rows: Rows, method: str, options: dict[str, Any], seed: int) -> tuple[float, Method]:
    """The lowest squared error on held-out rows, of standardised numbers, and the method with those weights."""
    plan = problem.plan
    with seeded(seed):
        backbone = MLP(rows.inputs.shape[1], (plan.width,), plan.width, plan.dropout)
        if options.get("layers"):
            options["layers"] = [backbone.layers[2]]  # the first activation
        made = get(method)(backbone, [_TASK], **options)
        targets = {_TASK.name: rows.labels}
        history = train(made, rows.inputs, targets, rows.learned, rows.held_out, plan, seed, quiet=True)
    return min(epoch["validation_loss"] for epoch in history), made


@torch.no_grad()
def _order(made: Method, rows: Rows) -> float:
    """Spearman's correlation of the distances of numbers and of embeddings, over pairs of at most 200 tested rows."""
    at = rows.tested[:200]
    embed: Callable[[Tensor], Tensor] = getattr(made, "embed", made.backbone)
    apart = torch.pdist(F.normalize(embed(rows.inputs[at]), dim=-1))
    return float(spearmanr(torch.pdist(rows.labels[at][:, None]), apart).statistic)


def _against(
    problem: str, figures: Mapping[str, Mapping[str, Sequence[float]]], pair: tuple[str, str], overlap: float
) -> list[dict[str, Any]]:
    ours, other = pair
    return [
        {**entry, "against": other}
        for entry in compare({problem: {each: figures[each] for each in pair}}, other, overlap)
        if entry["method"] == ours
    ]


def _table(
    problem: str, figures: Mapping[str, Mapping[str, Sequence[float]]], overlap: float, seeds: int
) -> dict[str, Any]:
    rows = []
    for entry in compare({problem: figures}, next(iter(figures)), overlap):
        cells = [f"{entry[each]['mean']:.3f} ± {entry[each]['half_width'] or 0:.3f}" for each in MEASURES]
        rows.append([entry["method"], *cells])
    title = f"mixing-regression: {problem}, {seeds} seeds, mean ± half of the 95 % interval"
    return {"title": title, "columns": ["method", *MEASURES.values()], "rows": rows}


def _versus(summary: Sequence[Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    rows = []
    for entry in summary:
        versus = {each: entry[each]["versus"] for each in MEASURES}
        # `paired` says how much larger the reference is.
        reference = {each: entry[each]["mean"] + versus[each]["difference"] for each in MEASURES}
        cells = [entry["rmse"]["mean"] / reference["rmse"]]
        rows.append(
            [entry["task"], f"{entry['method']} against {entry['against']}", *cells, *(v["p"] for v in versus.values())]
        )
    columns = ["problem", "compared", "ratio of RMSE", *(f"p of {name}" for name in MEASURES.values())]
    title = f"mixing-regression: who is better, {seeds} seeds, p of paired t-tests"
    return {"title": title, "columns": columns, "rows": rows}
