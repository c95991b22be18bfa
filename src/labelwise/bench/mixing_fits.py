"""What comparisons of methods that learn from mixtures share: fits of each by several seeds, and the table of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.bench.harness import compare, kept, kept_file, versions
from labelwise.labels import Task
from labelwise.methods import Plan, get, train
from labelwise.methods.training import answers, seeded
from labelwise.metrics import classification_scores
from labelwise.models import backbone_for
from labelwise.progress import progress
from labelwise.runs import RunFolder

Draw = Callable[[int], tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]]
"""Draws inputs, labels, and the rows to learn from and to test on, by a seed."""
Ways = Mapping[str, tuple[str, Mapping[str, Any]]]
"""A method and its options, by what the tables call it."""
Fit = Callable[[Draw, str, Mapping[str, Any], Plan, int], dict[str, float]]
"""Fits a method with options and a plan to what is drawn by a seed, and measures it on the rows to test on."""
REFERENCE = "cross-entropy"
MEASURES = {"accuracy": "accuracy", "calibration_error": "ECE", "log_loss": "log loss"}
TASK = Task("digit", classes=tuple("0123456789"))
_TUNING_SEEDS = 2
_FAR = 1_000_000  # added to the first seed, so that no reported seed is tuned on
_HELD_OUT = 0.25  # of the rows to learn from, in tuning


def run(
    name: str,
    about: str,
    problems: Mapping[str, Draw],
    ways: Ways,
    seeds: Sequence[int],
    plan: Plan,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    *,
    fit: Fit | None = None,
    rates: Sequence[float] = (),
    measures: Mapping[str, str] = MEASURES,
    reference: str = REFERENCE,
) -> dict[str, Any]:
    """Fit every way on every problem with every seed; figures are kept in the folder `out` on the way.

    `fit` gives the `measures`, by default `fit_labels`. With `rates`, the learning rate of each way on each problem is
    the one of the highest mean of the first measure on held-out rows, a quarter of those to learn from, with two seeds
    that are not reported. Raises `ValueError` if `out` holds a run of other settings.
    """
    fit = fit or fit_labels
    first = next(iter(measures))
    settings: dict[str, Any] = {"comparison": name, "problems": list(problems), "plan": repr(plan)}
    settings |= {"rates": list(rates)} if rates else {}
    folder = RunFolder.start(out, settings) if out else None
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    chosen: dict[str, dict[str, float]] = {}
    work = len(problems) * len(ways) * (len(seeds) + _TUNING_SEEDS * len(rates))
    with progress(name, work, quiet) as advance:

        def measure(draw: Draw, way: str, options: Mapping[str, Any], seed: int, key: str) -> dict[str, float]:
            found = kept(kept_file(folder, key, seed), partial(fit, draw, ways[way][0], options, plan, seed))
            advance()
            return found

        for problem, draw in problems.items():
            figures[problem], chosen[problem] = {}, {}
            for number, way in enumerate(ways):
                options, key = dict(ways[way][1]), f"{problem}-{number}"
                if rates:
                    tuned = {}
                    for rate in rates:
                        tried = {**options, "learning_rate": rate}
                        apart = range(seeds[0] + _FAR, seeds[0] + _FAR + _TUNING_SEEDS)
                        found = [measure(_held_out(draw), way, tried, seed, f"{key}-{rate}")[first] for seed in apart]
                        tuned[rate] = float(np.mean(found))
                    chosen[problem][way] = options["learning_rate"] = max(tuned, key=lambda rate: tuned[rate])
                fits = [measure(draw, way, options, seed, key) for seed in seeds]
                figures[problem][way] = {each: [one[each] for one in fits] for each in measures}
    summary = compare(figures, reference)
    return {
        "name": name,
        "about": about,
        "data": settings,
        "seeds": list(seeds),
        "budget": {"epochs": plan.epochs, "rows_a_step": plan.batch_size},
        **({"learning_rates": chosen} if rates else {}),
        "figures": figures,
        "summary": summary,
        "tables": [_table(name, problem, summary, len(seeds), measures, reference) for problem in problems],
        "versions": versions(),
    }


def split(
    inputs: Tensor, labels: np.ndarray, first_tested: int, rows: int, seed: int
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Rows from `first_tested` on are tested on; so many of the others, drawn by the seed, are learned from."""
    learned = np.random.default_rng(seed).choice(first_tested, rows, replace=False)
    return inputs, labels.astype(np.int64), np.sort(learned), np.arange(first_tested, len(labels))


def _held_out(draw: Draw) -> Draw:
    """Tests on some of the rows to learn from instead."""

    def drawn(seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
        inputs, labels, learned, _ = draw(seed)
        order = np.random.default_rng(seed).permutation(learned)
        tested = round(_HELD_OUT * len(order))
        return inputs, labels, order[tested:], order[:tested]

    return drawn


def fit_labels(
    draw: Draw,
    method: str,
    options: Mapping[str, Any],
    plan: Plan,
    seed: int,
    *,
    backbone: Callable[[Sequence[Any], int, float], nn.Module] = backbone_for,
    shape: Sequence[Any] | None = None,
) -> dict[str, float]:
    """Train a method on the rows to learn from; accuracy, ECE and log loss of the network itself on the others.

    `backbone` is made for the shape of an input, or for `shape`.
    """
    inputs, labels, learned, tested = draw(seed)
    with seeded(seed):
        made = get(method)(backbone(shape or inputs.shape[1:], plan.width, plan.dropout), [TASK], **options)
        targets = {TASK.name: torch.from_numpy(labels)}
        train(made, inputs, targets, learned, learned[:0], plan, seed, quiet=True)
    probabilities = answers(made, inputs, tested)[TASK.name].softmax(-1).numpy()
    scores = classification_scores(labels[tested], probabilities, n_bootstrap=1)
    return {"accuracy": scores["accuracy"]["value"], **{each: scores[each] for each in list(MEASURES)[1:]}}


def _table(
    name: str,
    problem: str,
    summary: Sequence[Mapping[str, Any]],
    seeds: int,
    measures: Mapping[str, str],
    reference: str,
) -> dict[str, Any]:
    rows = []
    tested = list(measures)[:2]
    for entry in summary:
        if entry["task"] == problem:
            cells = [f"{entry[each]['mean']:.3f} ± {entry[each]['half_width'] or 0:.3f}" for each in measures]
            rows.append([entry["method"], *cells, *(entry[each].get("versus", {}).get("p") for each in tested)])
    title = f"{name}: {problem}, {seeds} seeds, mean ± half of the 95 % interval, p of paired t-tests"
    against = [f"p of {measures[each]} against {reference}" for each in tested]
    return {"title": title, "columns": ["method", *measures.values(), *against], "rows": rows}
