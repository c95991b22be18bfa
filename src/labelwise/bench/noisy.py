"""All methods for wrong labels side by side: many kinds of noise, clean test labels, tuned by noisy ones.

Methods and measures: Hu et al., "Noisy Ostracods", NeurIPS 2024 Datasets and Benchmarks (arXiv 2412.02313), which found
none that clearly beats cross-entropy on its data.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from labelwise.audit import cross_fit, default_models
from labelwise.bench.harness import compare, kept, kept_file, versions
from labelwise.bench.noisy_data import Problem, Setting, settings
from labelwise.bench.ranks import compare_ranks
from labelwise.bench.recommending import EARLY, REFERENCE, leave_one_out, looks_of_arrays
from labelwise.bench.tuning import SPACES, tune
from labelwise.labels import LabelTable, Task
from labelwise.methods import Method, Plan, get, train
from labelwise.methods.training import answers, seeded
from labelwise.metrics import classification_scores
from labelwise.models import backbone_for
from labelwise.progress import progress
from labelwise.runs import RunFolder

MEASURES = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error (ECE)",
}
_TASK = "label"
_TUNED_ON = 1000  # seeds from here on draw the data that options are chosen by
_CHEAPER = {"confident-learning": {"folds": 3}, "sdn": {"most_rows": 400}}  # where nothing is `full`


def noisy(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Sixteen methods on fifteen data sets with wrong labels, 5 seeds; each seed draws rows and noise anew.

    All train for a number of epochs and keep the last weights, as published comparisons do; "stopped early" is
    cross-entropy that keeps the weights of the lowest loss on noisy validation labels, as `labelwise fit` does. Options
    are chosen for each method and data set by the accuracy on noisy validation labels, in 3 trials (`full`: 12, and
    large data and networks; it wants a GPU).
    """
    fixed = {} if full else _CHEAPER
    return run(settings(full), [*SPACES, EARLY], range(seed, seed + 5), 12 if full else 3, fixed, out, quiet)


def run(
    chosen: Sequence[Setting],
    methods: Sequence[str],
    seeds: range,
    trials: int,
    fixed: Mapping[str, Mapping[str, Any]],
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every method in every setting with every seed; figures are kept in the folder `out` on the way.

    `fixed` are options by method that are not tuned. Raises `ValueError` if `out` holds a run of other settings.
    """
    about = {
        "comparison": "noisy",
        "settings": {each.name: repr(each.plan) for each in chosen},
        "trials": trials,
        "fixed": {name: dict(options) for name, options in fixed.items()},
    }
    folder = RunFolder.start(out, about) if out else None
    file = partial(kept_file, folder)

    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    options: dict[str, dict[str, Any]] = {}
    facts: dict[str, Any] = {}
    looks: dict[str, dict[str, float]] = {}
    with progress("noisy", len(chosen) * len(methods) * (trials + len(seeds)), quiet) as advance:
        for setting in chosen:
            facts[setting.name] = kept(file(setting.name, "data"), partial(_facts, setting, seeds))
            looks[setting.name] = kept(file(setting.name, "looks"), partial(_looks, setting, seeds[0]))
            options[setting.name], found[setting.name] = {}, {}
            for name in methods:
                usual = fixed.get(name, {})
                search = partial(_tune, setting, name, usual, trials, seeds[0] + _TUNED_ON)
                best = kept(file(setting.name, name, "tuned"), search)["options"]
                advance(trials)
                options[setting.name][name] = best
                found[setting.name][name] = []
                for seed in seeds:
                    fit = partial(fit_scores, setting, name, {**usual, **best}, seed)
                    found[setting.name][name].append(kept(file(setting.name, name, seed), fit))
                    advance()
    return _result(found, options, facts, looks, seeds, trials, about)


def build(problem: Problem, method: str, options: Mapping[str, Any], plan: Plan) -> Method:
    """A method for a problem; its first weights are drawn from torch's global random numbers."""
    backbone = backbone_for(problem.inputs.shape[1:], plan.width, plan.dropout)
    return get(_known(method))(backbone, [_task(problem)], **options)


def _task(problem: Problem) -> Task:
    return Task(_TASK, classes=tuple(str(k) for k in range(problem.classes)))


def fitted(problem: Problem, method: str, options: Mapping[str, Any], plan: Plan, seed: int) -> Method:
    """A method trained on the noisy labels."""
    validation = problem.validation if method == EARLY else problem.validation[:0]
    with seeded(seed):
        made = build(problem, method, options, plan)
        targets = {_TASK: torch.from_numpy(problem.given)}
        train(made, problem.inputs, targets, problem.train, validation, plan, seed, quiet=True)
    return made


def _known(method: str) -> str:
    return REFERENCE if method == EARLY else method


def _tune(setting: Setting, method: str, fixed: Mapping[str, Any], trials: int, seed: int) -> dict[str, Any]:
    problem = setting.draw(seed)
    rows = problem.validation

    def score(options: Mapping[str, float]) -> float:
        try:
            made = fitted(problem, method, {**fixed, **options}, setting.plan, seed)
        except ValueError:  # it diverged
            return 0.0
        return float((answers(made, problem.inputs, rows)[_TASK].argmax(1).numpy() == problem.given[rows]).mean())

    return tune(score, _known(method), trials, seed)


def fit_scores(setting: Setting, method: str, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Scores on the clean labels of the test rows, seconds of one core, and how clean is what was selected."""
    problem = setting.draw(seed)
    begun = time.process_time()
    made = fitted(problem, method, options, setting.plan, seed)
    seconds = time.process_time() - begun
    logits = answers(made, problem.inputs, problem.test)
    scores = classification_scores(
        problem.clean[problem.test], made.probabilities(logits)[_TASK].numpy(), n_bootstrap=1
    )
    means = {name: scores[name]["value"] for name in MEASURES if name != "calibration_error"}
    return {
        **means,
        "calibration_error": scores["calibration_error"],
        "seconds": seconds,
        "selected_clean": _selected_clean(made, problem),
    }


def _selected_clean(method: Method, problem: Problem) -> float | None:
    """The share of right labels among those that the last epoch learned from; None of methods that take all."""
    noted = {} if method.examples is None else method.examples.values().get(_TASK, {})
    if "selected" not in noted:
        return None
    selected = noted["selected"][-1].float().nan_to_num().numpy()[problem.train]
    right = (problem.given == problem.clean)[problem.train]
    return float((selected * right).sum() / selected.sum()) if selected.sum() else None


def _facts(setting: Setting, seeds: range) -> dict[str, Any]:
    """What the data are like: rows, classes, and the share of labels that are wrong."""
    problem = setting.draw(seeds[0])
    wrong = (problem.given != problem.clean)[problem.train]
    sizes = np.bincount(problem.given[problem.train])
    return {
        "train": len(problem.train),
        "validation": len(problem.validation),
        "test": len(problem.test),
        "classes": problem.classes,
        "wrong": float(wrong.mean()),
        "imbalance": float(sizes.max() / sizes[sizes > 0].min()),
    }


def _looks(setting: Setting, seed: int) -> dict[str, float]:
    """How the data of a seed look to an audit: logistic regression out of sample on the rows that are learned from."""
    problem = setting.draw(seed)
    rows = np.concatenate([problem.train, problem.validation])
    given = problem.given[rows]
    table = LabelTable.from_columns({_TASK: given}, [_task(problem)])
    features = problem.inputs[rows].flatten(1).numpy()
    model = default_models()["logistic regression"]
    return looks_of_arrays(given, cross_fit(table, model, _TASK, 5, features=features, jobs=1, quiet=True))


def _result(
    found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    options: Mapping[str, Any],
    facts: Mapping[str, Any],
    looks: Mapping[str, Mapping[str, float]],
    seeds: range,
    trials: int,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    figures = {
        setting: {
            method: {measure: [each[measure] for each in fits] for measure in (*MEASURES, "seconds")}
            for method, fits in methods.items()
        }
        for setting, methods in found.items()
    }
    clean = {
        setting: {
            method: [each["selected_clean"] for each in fits]
            for method, fits in methods.items()
            if all(each["selected_clean"] is not None for each in fits)
        }
        for setting, methods in found.items()
    }
    methods = list(next(iter(figures.values())))
    accuracy = {
        method: [float(np.mean(figures[setting][method]["accuracy"])) for setting in figures] for method in methods
    }
    ranks = compare_ranks(accuracy)
    summary = compare(
        {
            s: {m: {k: v for k, v in each.items() if k != "seconds"} for m, each in by.items()}
            for s, by in figures.items()
        },
        REFERENCE,
    )
    result = {
        "name": "noisy",
        "about": "Methods for wrong labels: accuracy on clean labels, ranks, calibration and time.",
        "data": {**about, "facts": dict(facts)},
        "seeds": list(seeds),
        "budget": {"trials": trials},
        "options": dict(options),
        "figures": figures,
        "selected_clean": clean,
        "summary": summary,
        "ranks": ranks,
        "looks": dict(looks),
        "recommended": leave_one_out(looks, figures) if EARLY in methods and len(looks) > 1 else [],
        "versions": versions(),
    }
    return result | {"tables": _tables(result)}


def _tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    figures, trials = result["figures"], result["budget"]["trials"]
    by_place = {(entry["task"], entry["method"]): entry for entry in result["summary"]}
    names = list(result["ranks"]["ranks"])
    how = (
        f"{len(result['seeds'])} seeds; options chosen for each data set by accuracy on noisy validation labels, "
        f"{trials} trials each, the defaults among them"
    )
    tables = [_rank_table(result, how)]
    for measure, called in MEASURES.items():
        rows = [[name, *(_mean(by_place[setting, name][measure]) for setting in figures)] for name in names]
        tables.append(
            {
                "title": f"noisy: {called} on clean labels, mean ± half of the 95 % interval, {how}",
                "columns": ["method", *figures],
                "rows": rows,
            }
        )
    gains = [
        [name, *(_gain(by_place[setting, name]["accuracy"]["versus"]) for setting in figures)]
        for name in names
        if name != REFERENCE
    ]
    tables.insert(
        1,
        {
            "title": f"noisy: points of accuracy above {REFERENCE}, with unadjusted p of paired t-tests",
            "columns": ["method", *figures],
            "rows": gains,
        },
    )
    return [
        _data_table(result["data"]["facts"]),
        *tables,
        _clean_table(result["selected_clean"], names),
        _recommended_table(result["recommended"]),
    ]


def _rank_table(result: Mapping[str, Any], how: str) -> dict[str, Any]:
    figures, ranks = result["figures"], result["ranks"]
    rows = []
    for name, rank in ranks["ranks"].items():
        mean = float(np.mean([np.mean(by[name]["accuracy"]) for by in figures.values()]))
        ratio = median(_times(by[name]["seconds"], by[REFERENCE]["seconds"]) for by in figures.values())
        rows.append([name, rank, mean, ratio])
    return {
        "title": f"noisy: mean rank of accuracy over {ranks['data_sets']} data sets (1 is best; Friedman's p = "
        f"{ranks['p']:.2g}; mean ranks differ beyond {ranks['critical_difference']:.1f}); {how}",
        "columns": ["method", "mean rank", "mean accuracy", f"time, × {REFERENCE}"],
        "rows": rows,
    }


def _times(seconds: Sequence[float], reference: Sequence[float]) -> float:
    return median(ours / theirs for ours, theirs in zip(seconds, reference, strict=True))


def _data_table(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    columns: dict[str, Callable[[Any], Any]] = {
        "train": int, "validation": int, "test": int, "classes": int, "wrong": float, "imbalance": float,
    }  # fmt: skip
    return {
        "title": "noisy: the data of the first seed; rows, classes, share of wrong labels, largest class over smallest",
        "columns": ["data", *columns],
        "rows": [[name, *(kind(found[column]) for column, kind in columns.items())] for name, found in facts.items()],
    }


def _clean_table(clean: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str]) -> dict[str, Any]:
    selecting = [name for name in names if any(name in by for by in clean.values())]
    rows = [[name, *(float(np.mean(by[name])) if name in by else None for by in clean.values())] for name in selecting]
    return {
        "title": "noisy: share of right labels among those that the last epoch learned from",
        "columns": ["method", *clean],
        "rows": rows,
    }


def _recommended_table(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "title": "noisy: what `labelwise recommend` would choose for each data set by the others alone, in points of "
        "accuracy above cross-entropy that stops early, above cross-entropy with its last weights, and what the best "
        "method would gain over the former",
        "columns": ["data", "recommended", "gain", "over last weights", "best possible"],
        "rows": [[each[k] for k in ("data", "method", "gain", "gain_over_last", "best")] for each in entries],
    }


def _mean(measured: Mapping[str, Any]) -> str:
    half = measured["half_width"]
    return f"{measured['mean']:.3f}" + ("" if half is None else f" ± {half:.3f}")


def _gain(versus: Mapping[str, Any]) -> str:
    """How far above the reference, which `versus` tells the other way round."""
    p = versus["p"]
    return f"{-100 * versus['difference']:+.1f}" + ("" if p is None else f" (p = {p:.2g})")
