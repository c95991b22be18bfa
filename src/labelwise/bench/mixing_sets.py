"""Networks for set operations (LaSO): what they make of two examples, and whether that helps where labels are few."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.bench.harness import compare, kept, kept_file, versions
from labelwise.bench.sets_data import Sets, mulan, threes
from labelwise.functional import difference, intersection, union
from labelwise.labels import Task
from labelwise.methods import Method, Plan, get, train
from labelwise.methods.mixed.laso import Laso
from labelwise.methods.training import seeded
from labelwise.metrics import mean_average_precision, neighbour_overlap
from labelwise.mixing import Mixup, random_partners
from labelwise.models import MLP
from labelwise.progress import progress
from labelwise.runs import RunFolder

LASO = "laso"
OPERATIONS = {"union": union, "intersection": intersection, "difference": difference}
SHOTS = (1, 5)
FEW = ("examples alone", "mixup", LASO)
"""What a classifier of new classes learns from, beside the few examples."""
FITS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cross-entropy": ("cross-entropy", {}),
    "mixup": ("mixup", {}),
    "mixup, alpha 1": ("mixup", {"alpha": 1.0}),
    LASO: ("laso", {}),
}
MEASURES = {"map": "mAP", "overlap": "overlap"}
_RATES = (1e-3, 3e-3)  # of networks that are fitted
_FEW_RATES = (3e-3, 1e-2, 3e-2)  # of classifiers of new classes
_TUNED_ON = 1000  # the seed that draws the data that learning rates are chosen by
_DRAWS, _STEPS, _ROWS, _WIDTH = 3, 100, 100, 64


@dataclass(frozen=True)
class Setting:
    """Data drawn by a seed, and how many passes networks learn them for: all rows, and a hundred."""

    draw: Callable[[int], Sets]
    epochs: int
    few_epochs: int = 30


def mixing_sets(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Digits in threes, scene, emotions and yeast, 5 seeds (`full`: 20 seeds).

    A third of the classes, drawn by the seed, are new: a network and its operations learn the others. Then a classifier
    of the new ones learns from 1 or 5 examples of each, alone, mixed, or united. Last, methods are fitted to 100 rows
    with all classes. Learning rates are chosen by rows held out of the training rows, for each way.
    """
    settings = {
        "digits": Setting(threes, 15),
        **{
            name: Setting(partial(_fixed, name), epochs)
            for name, epochs in (("scene", 15), ("emotions", 30), ("yeast", 10))
        },
    }
    return run(settings, range(seed, seed + (20 if full else 5)), out, quiet)


def run(
    settings: Mapping[str, Setting],
    seeds: Sequence[int],
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure all of it in every setting with every seed; figures are kept in the folder `out` on the way.

    Raises `ValueError` if `out` holds a run of other settings.
    """
    about = {
        "comparison": "mixing-sets",
        "settings": {name: [each.epochs, each.few_epochs] for name, each in settings.items()},
    }
    folder = RunFolder.start(out, about) if out else None
    file = partial(kept_file, folder)

    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    rates: dict[str, dict[str, float]] = {}
    with progress("mixing-sets", len(settings) * (1 + len(seeds)), quiet) as advance:
        for name, setting in settings.items():
            rates[name] = kept(file(name, "tuned"), partial(_tune, setting))
            advance()
            for seed in seeds:
                found = kept(file(name, seed), partial(_measure, setting, rates[name], seed))
                for task, ways in found.items():
                    for way, measures in ways.items():
                        for measure, value in measures.items():
                            by = figures.setdefault(f"{name}, {task}", {}).setdefault(way, {})
                            by.setdefault(measure, []).append(value)
                advance()
    summary = compare(figures, LASO)
    return {
        "name": "mixing-sets",
        "about": "Networks for set operations: what they make of two examples, and whether that helps few labels.",
        "data": about,
        "seeds": list(seeds),
        "learning_rates": rates,
        "figures": figures,
        "summary": summary,
        "tables": [
            _operations_table(summary, len(seeds)),
            *(_few_table(summary, len(seeds), fits) for fits in (False, True)),
        ],
        "versions": versions(),
    }


def _measure(setting: Setting, rates: Mapping[str, float], seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by task, way and measure."""
    data = setting.draw(seed)
    made, new = _base(data, setting.epochs, rates["base"], seed)
    known = np.setdiff1d(np.arange(data.sets.shape[1]), new)
    found = _operations(made, data.test_inputs, data.test_sets[:, known], seed)
    for shots in SHOTS:
        found[f"{shots} of each"] = {
            way: {"map": _few(made, data, new, shots, way, rates[f"{way}, {shots}"], seed)} for way in FEW
        }
    found[f"{_ROWS} rows"] = {
        way: {"map": _fit_few(data, way, setting.few_epochs, rates[f"fit {way}"], seed)} for way in FITS
    }
    return found


def _tune(setting: Setting) -> dict[str, float]:
    """Learning rates by what they are for: the best by rows that are held out of the training rows."""
    data = setting.draw(_TUNED_ON)
    order = np.random.default_rng(_TUNED_ON).permutation(len(data.inputs))
    held, rest = np.split(order, [len(order) // 5])
    data = Sets(data.inputs[rest], data.sets[rest], data.inputs[held], data.sets[held])

    def best(score: Callable[[float], float], tried: Sequence[float]) -> float:
        return max(tried, key=score)

    bases = {rate: _base(data, setting.epochs, rate, _TUNED_ON) for rate in _RATES}

    def told(rate: float) -> float:
        made, new = bases[rate]
        known = np.setdiff1d(np.arange(data.sets.shape[1]), new)
        ways = _operations(made, data.test_inputs, data.test_sets[:, known], _TUNED_ON)
        return float(np.mean([ways[each][LASO]["map"] for each in OPERATIONS]))

    found = {"base": best(told, _RATES)}
    made, new = bases[found["base"]]
    for shots in SHOTS:
        for way in FEW:
            score = partial(_few, made, data, new, shots, way, seed=_TUNED_ON)
            found[f"{way}, {shots}"] = best(score, _FEW_RATES)
    for way in FITS:
        found[f"fit {way}"] = best(partial(_fit_few, data, way, setting.few_epochs, seed=_TUNED_ON), _RATES)
    return found


def _base(data: Sets, epochs: int, rate: float, seed: int) -> tuple[Laso, np.ndarray]:
    """A network and operations that learned the known classes, by the rows that have one; and the new classes."""
    classes = data.sets.shape[1]
    new = np.random.default_rng(seed).permutation(classes)[: max(2, classes // 3)]
    known = np.setdiff1d(np.arange(classes), new)
    rows = data.sets[:, known].any(1)
    method: Any = _fit(
        "laso", data.inputs[rows], data.sets[rows][:, known], Plan(epochs, 64, 0), rate, seed, strength=0.0
    )
    return method, new


def _fit(method: str, inputs: Tensor, sets: Tensor, plan: Plan, rate: float, seed: int, **options: Any) -> Method:
    task = Task("set", "multi", tuple(map(str, range(sets.shape[1]))))
    rows = np.arange(len(inputs))
    with seeded(seed):
        backbone = MLP(inputs.shape[1], (2 * _WIDTH,), _WIDTH, plan.dropout)
        made = get(method)(backbone, [task], learning_rate=rate, **options)
        train(made, inputs, {task.name: sets}, rows, rows[:0], plan, seed, quiet=True)
    return made


@torch.no_grad()
def _operations(made: Laso, inputs: Tensor, sets: Tensor, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """What is told of operations on pairs of rows: by the networks, on features as they are, and on probabilities."""
    features, head, operations = made.represent(inputs), made.heads[0], made.operations[0]
    chances = torch.sigmoid(head(features))
    other = random_partners(len(features), torch.Generator().manual_seed(seed))
    plain = {
        "union": features + features[other],
        "intersection": torch.minimum(features, features[other]),
        "difference": F.relu(features - features[other]),
    }
    found = {}
    for name, operation in OPERATIONS.items():
        expected = operation(sets, sets[other]).bool()

        def scores(vectors: Tensor, expected: Tensor = expected) -> dict[str, float]:
            return {
                "map": _map(head(vectors), expected),
                "overlap": neighbour_overlap(vectors, expected, features, sets.bool()),
            }

        found[name] = {
            LASO: scores(getattr(operations, name)(features, features[other])),
            "on features": scores(plain[name]),
            "on probabilities": {"map": _map(operation(chances, chances[other]), expected)},
        }
    return found


def _few(made: Laso, data: Sets, new: np.ndarray, shots: int, way: str, rate: float, seed: int) -> float:
    """Mean over draws of the mAP of new classes, by a linear classifier of features that saw so many rows of each."""
    with torch.no_grad():
        features, tested = made.represent(data.inputs), made.represent(data.test_inputs)
    sets, asked = data.sets[:, new], data.test_sets[:, new].bool()
    scores = []
    for draw in range(_DRAWS):
        generator = np.random.default_rng((seed, draw))
        held = [np.flatnonzero(column) for column in sets.numpy().T]
        rows = np.unique(
            np.concatenate([generator.choice(each, min(shots, len(each)), replace=False) for each in held])
        )
        with seeded(seed * _DRAWS + draw):
            classifier = _classifier(features[rows], sets[rows], way, rate, made.operations[0])
            with torch.no_grad():
                scores.append(_map(classifier(tested), asked))
    return float(np.mean(scores))


def _classifier(features: Tensor, sets: Tensor, way: str, rate: float, operations: Any) -> nn.Module:
    """A linear classifier that learned from all of the few rows in every step, and as many made of them."""
    classifier = nn.Linear(features.shape[1], sets.shape[1])
    optimiser = torch.optim.AdamW(classifier.parameters(), rate, weight_decay=1e-2)
    mixer = Mixup(1.0)
    for _ in range(_STEPS):
        inputs, targets = features, sets
        if way == "mixup":
            mixed = mixer(features)
            inputs, targets = torch.cat([features, mixed.inputs]), torch.cat([sets, mixed.targets(sets)])
        elif way == LASO:
            other = random_partners(len(features))
            with torch.no_grad():
                united = operations.union(features, features[other])
            inputs, targets = torch.cat([features, united]), torch.cat([sets, union(sets, sets[other])])
        loss = F.binary_cross_entropy_with_logits(classifier(inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return classifier


def _fit_few(data: Sets, way: str, epochs: int, rate: float, seed: int) -> float:
    """The mAP of all classes, of a method that saw a hundred rows."""
    rows = np.random.default_rng(seed).permutation(len(data.inputs))[:_ROWS]
    method, options = FITS[way]
    made = _fit(method, data.inputs[rows], data.sets[rows], Plan(epochs, 16, 0), rate, seed, **options)
    with torch.no_grad():
        return _map(made(data.test_inputs)["set"], data.test_sets.bool())


def _map(scores: Tensor, sets: Tensor) -> float:
    """Mean average precision of `scores` of bool `sets`, both [n, classes]; 0 if no example has any class."""
    return mean_average_precision(sets.numpy(), scores.detach().numpy()) or 0.0


def _fixed(name: str, seed: int) -> Sets:
    """Data that are the same for every seed."""
    return mulan(name)


def _operations_table(summary: Sequence[Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    rows = []
    for entry in summary:
        data, task = entry["task"].split(", ")
        if task in OPERATIONS:
            cells = [_mean(entry[each]) if each in entry else None for each in MEASURES]
            versus = [entry.get(each, {}).get("versus", {}).get("p") for each in MEASURES]
            rows.append([data, task, entry["method"], *cells, *versus])
    return {
        "title": f"mixing-sets: what is told of two test rows, {seeds} seeds, mean ± half of the 95 % interval; mAP "
        "over known classes, overlap of the set with that of the nearest row; p of paired t-tests against laso",
        "columns": ["data", "operation", "made", *MEASURES.values(), "p of mAP", "p of overlap"],
        "rows": rows,
    }


def _few_table(summary: Sequence[Mapping[str, Any]], seeds: int, fits: bool) -> dict[str, Any]:
    rows = []
    for entry in summary:
        data, task = entry["task"].split(", ")
        if task not in OPERATIONS and fits == (task == f"{_ROWS} rows"):
            versus = entry["map"].get("versus", {})
            rows.append([data, task, entry["method"], _mean(entry["map"]), versus.get("difference"), versus.get("p")])
    what = "all classes, fitted to a hundred rows" if fits else f"new classes, mean of {_DRAWS} draws of their few rows"
    return {
        "title": f"mixing-sets: {what}, {seeds} seeds, mean ± half of the 95 % interval; paired t-tests",
        "columns": ["data", "rows", "learned from" if not fits else "method", "mAP", "laso above it by", "p"],
        "rows": rows,
    }


def _mean(measured: Mapping[str, Any]) -> str:
    return f"{measured['mean']:.3f} ± {measured['half_width'] or 0:.3f}"
