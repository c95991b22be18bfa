"""Embeddings learned with and without mixtures (Metrix): neighbours of classes that were never seen in training."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from labelwise.bench.harness import compare, kept, kept_file, versions
from labelwise.functional import temperature
from labelwise.labels import Task, data_path, read
from labelwise.methods import Plan, train
from labelwise.methods.mixed.metrix import Metrix
from labelwise.methods.training import answers, seeded
from labelwise.metrics import classification_scores, map_at_r, recall_at, utilization
from labelwise.models import PixelEncoder, backbone_for
from labelwise.progress import progress
from labelwise.runs import RunFolder

CLEAN = "clean"
LOSSES = ("contrastive", "multi-similarity", "proxy-anchor")
Ways = Mapping[str, Mapping[str, dict[str, Any]]]
"""Options of `metrix` by loss and by what the tables call them."""
WAYS: Ways = {loss: {CLEAN: {"loss": loss, "strength": 0.0}, "mixed": {"loss": loss}} for loss in LOSSES}
_SITES: Ways = {
    **WAYS,
    "multi-similarity": {
        **WAYS["multi-similarity"],
        **{f"mixed, {site}": {"loss": "multi-similarity", "site": site} for site in ("hidden", "input")},
    },
}
MEASURES = {
    "recall": "recall@1",
    "map": "MAP@R",
    "utilization": "utilization",
    "accuracy": "accuracy",
    "calibration_error": "ECE",
}
_RATES = (5e-4, 1e-3, 3e-3)
_TUNED_ON = 1000  # seeds from here on draw the data that learning rates are chosen by
_DIMENSION = 32


@dataclass(frozen=True)
class Problem:
    """Rows of seen classes to learn from, to calibrate by and to test on, and rows of unseen classes to look up.

    `inputs` float32 [n, ...]; `labels` int64 [n]; the others row numbers. Each of `queries` looks for its class in
    `gallery`, or, where there is none, among the other queries.
    """

    inputs: Tensor
    labels: np.ndarray
    learned: np.ndarray
    calibration: np.ndarray
    tested: np.ndarray
    queries: np.ndarray
    gallery: np.ndarray | None = None


@dataclass(frozen=True)
class Setting:
    """Data drawn by a seed, how networks learn from them, and how many draws their learning rates are chosen by."""

    draw: Callable[[int], Problem]
    plan: Plan
    ways: Ways
    trials: int = 1


def mixing_retrieval(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Digits, MNIST and groceries, 200 to 400 steps, 5 seeds (`full`: 10 seeds, larger pictures).

    Networks learn from some classes and are asked for neighbours of others: of digits 6 to 9 after 0 to 5, and of one
    half of the groceries after the other, each of the official test photos among the training photos. The learning rate
    alone is tuned, for each way, by classes held out of the training classes.
    """
    for name in ("mnist", "grocery"):
        data_path(name)  # now, not after minutes
    plan = Plan(epochs=40, batch_size=64, patience=0, width=128, dropout=0.0)
    photos = replace(plan, epochs=10, width=128 if full else 32)
    settings = {
        "digits": Setting(_digits, plan, _SITES, trials=2),
        "MNIST": Setting(partial(_mnist, 28 if full else 14), replace(plan, epochs=12), WAYS),
        "groceries": Setting(partial(_groceries, 48 if full else 12), photos, WAYS),
    }
    return run(settings, range(seed, seed + (10 if full else 5)), out, quiet)


def run(
    settings: Mapping[str, Setting],
    seeds: Sequence[int],
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every way of every loss in every setting with every seed; figures are kept in the folder `out` on the way.

    Raises `ValueError` if `out` holds a run of other settings.
    """
    about = {"comparison": "mixing-retrieval", "settings": {name: repr(each.plan) for name, each in settings.items()}}
    folder = RunFolder.start(out, about) if out else None
    file = partial(kept_file, folder)

    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    rates: dict[str, dict[str, float]] = {}
    fits = sum(
        sum(map(len, each.ways.values())) * (len(_RATES) * each.trials + len(seeds)) for each in settings.values()
    )
    with progress("mixing-retrieval", fits, quiet) as advance:
        for name, setting in settings.items():
            for loss, options in setting.ways.items():
                task = f"{name}, {loss}"
                figures[task], rates[task] = {}, {}
                for way, own in options.items():
                    best = kept(file(task, way, "tuned"), partial(_tune, setting, own))["learning_rate"]
                    advance(len(_RATES) * setting.trials)
                    found = []
                    for seed in seeds:
                        fit = partial(_fit, setting, {**own, "learning_rate": best}, seed)
                        found.append(kept(file(task, way, seed), fit))
                        advance()
                    rates[task][way] = best
                    figures[task][way] = {measure: [each[measure] for each in found] for measure in MEASURES}
    summary = compare(figures, CLEAN)
    return {
        "name": "mixing-retrieval",
        "about": "Embeddings learned with and without mixtures: neighbours of unseen classes.",
        "data": about,
        "seeds": list(seeds),
        "learning_rates": rates,
        "figures": figures,
        "summary": summary,
        "tables": [_table(name, summary, len(seeds)) for name in settings],
        "versions": versions(),
    }


def _tune(setting: Setting, options: Mapping[str, Any]) -> dict[str, Any]:
    """The learning rate of the highest mean recall of classes that are held out of those to learn from."""
    held_out = replace(setting, draw=lambda seed: _hold_out(setting.draw(seed), seed))
    draws = range(_TUNED_ON, _TUNED_ON + setting.trials)
    scores = {
        rate: np.mean([_fit(held_out, {**options, "learning_rate": rate}, seed)["recall"] for seed in draws])
        for rate in _RATES
    }
    return {"learning_rate": max(scores, key=lambda rate: scores[rate]), "tried": list(scores.items())}


def _hold_out(problem: Problem, seed: int) -> Problem:
    """A third of the classes to learn from become those to look up, among their rows that were to be learned from."""
    seen = np.unique(problem.labels[problem.learned])
    chosen = np.random.default_rng((seed, 1)).choice(seen, len(seen) // 3, replace=False)
    away = {
        part: np.isin(problem.labels[getattr(problem, part)], chosen) for part in ("learned", "calibration", "tested")
    }
    kept_rows = {part: getattr(problem, part)[~rows] for part, rows in away.items()}
    return replace(problem, **kept_rows, queries=problem.learned[away["learned"]], gallery=None)


def _fit(setting: Setting, options: Mapping[str, Any], seed: int) -> dict[str, float]:
    problem, plan = setting.draw(seed), setting.plan
    seen = np.unique(problem.labels[problem.learned])
    task = Task("class", classes=tuple(map(str, seen)))
    place = np.full(problem.labels.max() + 1, -1)
    place[seen] = np.arange(len(seen))
    targets = torch.from_numpy(place[problem.labels])
    with seeded(seed):
        backbone = backbone_for(problem.inputs.shape[1:], plan.width, plan.dropout)
        made = Metrix(backbone, [task], dimension=_DIMENSION, **options)
        train(made, problem.inputs, {task.name: targets}, problem.learned, problem.learned[:0], plan, seed, quiet=True)
    with torch.no_grad():
        embeddings = torch.cat([made.embed(part)[task.name] for part in problem.inputs.split(1024)])
    labels = torch.from_numpy(problem.labels)
    asked, known = embeddings[problem.queries], labels[problem.queries]
    among = None if problem.gallery is None else (embeddings[problem.gallery], labels[problem.gallery])
    calibration, tested = (
        answers(made, problem.inputs, rows)[task.name] for rows in (problem.calibration, problem.tested)
    )
    warmth = temperature(calibration, targets[problem.calibration])
    scores = classification_scores(
        targets[problem.tested].numpy(), (tested / warmth).softmax(-1).numpy(), n_bootstrap=1
    )
    return {
        "recall": recall_at(asked, known, gallery=among),
        "map": map_at_r(asked, known, among) or 0.0,
        "utilization": utilization(asked, embeddings[problem.learned]),
        "accuracy": scores["accuracy"]["value"],
        "calibration_error": scores["calibration_error"],
    }


def _table(name: str, summary: Sequence[Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    rows = []
    for entry in summary:
        setting, loss = entry["task"].split(", ")
        if setting == name:
            cells = [f"{entry[each]['mean']:.3f} ± {entry[each]['half_width'] or 0:.3f}" for each in MEASURES]
            versus = [entry[each].get("versus", {}).get("p") for each in ("recall", "map")]
            rows.append([loss, entry["method"], *cells, *versus])
    title = (
        f"mixing-retrieval: {name}, {seeds} seeds, mean ± half of the 95 % interval; recall@1, MAP@R and utilization "
        "of unseen classes, accuracy and ECE of held-out rows of seen ones; p of paired t-tests against the clean loss"
    )
    return {
        "title": title,
        "columns": ["loss", "trained", *MEASURES.values(), "p of recall@1", "p of MAP@R"],
        "rows": rows,
    }


def _digits(seed: int) -> Problem:
    flat, labels = load_digits(return_X_y=True)
    return _seen_and_unseen(torch.from_numpy(flat).float() / 16, labels, labels < 6, labels >= 6, seed)


def _mnist(side: int, seed: int) -> Problem:
    """Of the first training digits 0 to 5 as many as of `_digits`, and the official test digits 6 to 9."""
    pictures, labels = _load_mnist(side)
    rows = np.arange(len(labels))
    seen = np.random.default_rng((seed, 2)).permutation(np.flatnonzero((rows < 20_000) & (labels < 6)))[:2700]
    return _seen_and_unseen(pictures, labels, np.isin(rows, seen), (rows >= 20_000) & (labels >= 6), seed)


@cache
def _load_mnist(side: int) -> tuple[Tensor, np.ndarray]:
    with np.load(data_path("mnist") / "mnist.npz", allow_pickle=False) as file:
        pictures = torch.from_numpy(np.concatenate([file["x_train"][:20_000], file["x_test"]]))
        labels = np.concatenate([file["y_train"][:20_000], file["y_test"]])
    return F.adaptive_avg_pool2d(pictures[:, None].float() / 255, side).flatten(1), labels


def _seen_and_unseen(inputs: Tensor, labels: np.ndarray, seen: np.ndarray, unseen: np.ndarray, seed: int) -> Problem:
    """Of the seen rows (bool [n]), drawn by the seed, a fifth calibrates and a fifth is tested on."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(seen))
    calibration, tested, learned = np.split(rows, [len(rows) // 5, 2 * (len(rows) // 5)])
    return Problem(
        inputs, labels.astype(np.int64), np.sort(learned), calibration, tested, queries=np.flatnonzero(unseen)
    )


def _groceries(side: int, seed: int) -> Problem:
    """Half of the fine classes are learned; of the others each test photo is looked up among the training photos."""
    pictures, labels, split = _load_groceries(side)
    classes = labels.max() + 1
    seen = np.isin(labels, np.random.default_rng(seed).permutation(classes)[: classes // 2])
    return Problem(
        pictures,
        labels,
        *(np.flatnonzero(seen & (split == part)) for part in ("train", "validation", "test")),
        *(np.flatnonzero(~seen & (split == part)) for part in ("test", "train")),
    )


@cache
def _load_groceries(side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    table = read(data_path("grocery") / "grocery.npz", labels=("fine",), split="split", quiet=True)
    pictures = torch.from_numpy(PixelEncoder(side).fit_transform(table).features)
    split = np.full(len(table), "", object)
    for part in ("train", "validation", "test"):
        split[table.rows(part)] = part
    spread, centre = torch.std_mean(pictures[split == "train"], (0, 2, 3), keepdim=True)
    return (pictures - centre) / spread, table.labels("fine").astype(np.int64), split
