"""Which method to try first, by what the comparison `noisy` found on the data sets that are most alike."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelwise import runs
from labelwise.audit import findings
from labelwise.audit.wrong_labels import label_metrics, wrong_labels
from labelwise.bench.harness import paired, result_path
from labelwise.runs import RunFolder, read_json

REFERENCE = "cross-entropy"
EARLY = "cross-entropy, stopped early"
"""What `labelwise fit --method cross-entropy` does, and what a method has to beat to be recommended."""
NEAREST = 3
_LOOKS = ("wrong", "one_way", "imbalance", "rows_a_class")
_LOGARITHMIC = ("wrong", "imbalance", "rows_a_class")
_LEAST = 1e-3  # of a share, so that its logarithm is finite
_ONE_WAY = 0.6
_CHANCE = 0.05  # p from which a gain is within chance
_MOST_LOST = 1.0  # points that a method may have lost on a data set and still be recommended
_ALIKE = 2.0  # standard deviations of looks over the data sets, beyond which one says nothing of another


def looks(wrong: float, given: np.ndarray, suggested: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """What decides which data sets are alike, as an audit sees them.

    `wrong` is the estimated share of wrong labels; `given` and `suggested` class indices [m] of the labels found wrong;
    `counts` [classes] the rows of each class. Gives these: `wrong`; `one_way`, the share of findings that suggest what
    most of their class do (near 1 for errors between two classes, low where they go anywhere; 0.5 if there are none);
    `imbalance`, the largest class over the smallest; and `rows_a_class`, on average.
    """
    confused = np.zeros((len(counts),) * 2)
    np.add.at(confused, (given, suggested), 1)
    sizes = counts[counts > 0]
    return {
        "wrong": float(wrong),
        "one_way": float(confused.max(axis=1).sum() / confused.sum()) if len(given) else 0.5,
        "imbalance": float(sizes.max() / sizes.min()),
        "rows_a_class": float(sizes.mean()),
    }


def looks_of_arrays(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The looks of labels [n] and out-of-sample probabilities [models, n, classes]."""
    verdict = wrong_labels(labels, probabilities)
    rows = np.flatnonzero(verdict.flags)
    counts = np.bincount(labels, minlength=probabilities.shape[2])
    return looks(
        label_metrics(labels, verdict)["estimated_error_rate"], labels[rows], verdict.vote.suggestion[rows], counts
    )


def looks_of_run(run: str | os.PathLike[str], task: str | None = None) -> tuple[str, dict[str, float]]:
    """The task, and its looks, of an audited run; without `task` the one with the largest estimated share of errors.

    Raises `ValueError` if the run is no finished audit of such a task.
    """
    folder = RunFolder(run)
    measured = folder.metrics.get("audit", {}).get("tasks", {})
    if not measured or not (folder / runs.ISSUES).is_file():
        raise ValueError(f"{run} is no finished audit with models; make one with `labelwise audit`")
    task = max(measured, key=lambda name: measured[name]["estimated_error_rate"]) if task is None else task
    if task not in measured:
        raise ValueError(f"{run} audited no task {task!r} (tasks: {', '.join(measured)})")
    facts = next(each for each in read_json(folder / "describe.json")["tasks"] if each["name"] == task)
    place = {name: at for at, name in enumerate(facts["counts"])}
    frame = findings.read(folder / runs.ISSUES)
    frame = frame[(frame["kind"] == "label") & (frame["task"] == task) & frame["suggested"].notna()]
    given, suggested = (frame[name].map(place).to_numpy(np.int64) for name in ("given", "suggested"))
    counts = np.array(list(facts["counts"].values()))
    return task, looks(measured[task]["estimated_error_rate"], given, suggested, counts)


def choose(
    own: Mapping[str, float], known: Mapping[str, Mapping[str, float]], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """The method to try first on data with these looks, by the data sets of `known` looks that are nearest.

    `figures[data set][method]["accuracy"]` by seed. Chosen is the method with the largest mean gain over cross-entropy
    stopped early over the three nearest, if there is a gain and it loses more than a point on none; else cross-entropy,
    and also if these are too far: where nothing is alike, nothing is known. Gives `method`, `gain` (mean, points),
    `alike` (whether they are near enough) and `nearest`: of each its `name` and the method's `difference` there with
    `p`.
    """
    nearest, alike = _nearest(own, known)
    gains = {
        method: [100 * float(np.mean(_accuracy(figures, name, method)) - np.mean(_accuracy(figures, name, EARLY)))
                 for name in nearest]
        for method in figures[nearest[0]]
        if method not in (REFERENCE, EARLY)
    }  # fmt: skip
    safe = {method: float(np.mean(each)) for method, each in gains.items() if alike and min(each) >= -_MOST_LOST}
    promising = {method: gain for method, gain in safe.items() if gain > 0}
    best = max(promising, key=lambda method: promising[method], default=EARLY)
    versus = {name: paired(_accuracy(figures, name, best), _accuracy(figures, name, EARLY)) for name in nearest}
    return {
        "method": REFERENCE if best == EARLY else best,
        "gain": promising.get(best, 0.0),
        "alike": alike,
        "nearest": [
            {"name": name, "difference": 100 * each["difference"], "p": each["p"]} for name, each in versus.items()
        ],
    }


def leave_one_out(known: Mapping[str, Mapping[str, float]], figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is recommended for each data set by the others, and how it did there: points above cross-entropy.

    `gain` over cross-entropy stopped early, `gain_over_last` over cross-entropy with its last weights, and `best`, what
    the best method gains over the former.
    """
    entries = []
    for name, own in known.items():
        others = {each: known[each] for each in known if each != name}
        method = choose(own, others, {each: figures[each] for each in others})["method"]
        means = {each: 100 * float(np.mean(_accuracy(figures, name, each))) for each in figures[name]}
        reached = means[EARLY if method == REFERENCE else method]
        entries.append(
            {
                "data": name,
                "method": method,
                "gain": reached - means[EARLY],
                "gain_over_last": reached - means[REFERENCE],
                "best": max(means.values()) - means[EARLY],
            }
        )
    return entries


def recommend(run: str | os.PathLike[str], task: str | None = None) -> dict[str, Any]:
    """The method to try first on an audited run, and why, as plain facts; see `choose`.

    Gives also `task`, `looks`, `why` (sentences) and `command`. Raises `ValueError` as `looks_of_run` does.
    """
    task, own = looks_of_run(run, task)
    if not result_path("noisy").is_file():
        raise ValueError("the comparison that recommendations go by is not kept; make it: labelwise bench noisy --save")
    result = read_json(result_path("noisy"))
    found = choose(own, result["looks"], result["figures"])
    command = f"labelwise fit {run} --method {found['method']}"
    if found["method"] in ("co-teaching", "co-teaching-plus", "loss-clip"):
        command += f" --set forget={min(0.5, max(0.02, own['wrong'])):.2f}"
    tasks = len(RunFolder(run).config.get("labels", []))
    return {"task": task, "looks": own, **found, "why": _why(task, own, found, tasks), "command": command}


def _why(task: str, own: Mapping[str, float], found: Mapping[str, Any], tasks: int) -> list[str]:
    ways = "mostly from a class to one other" if own["one_way"] >= _ONE_WAY else "from a class to several others"
    said = [
        f"About {own['wrong']:.0%} of the labels of {task!r} are wrong, by the estimate of the audit; where it "
        f"suggests another label, errors go {ways}.",
        f"The largest class has {own['imbalance']:.3g} times the rows of the smallest; a class has "
        f"{own['rows_a_class']:.0f} rows on average.",
    ]
    alike = "; ".join(f"{each['name']} ({each['difference']:+.1f} points{_p(each['p'])})" for each in found["nearest"])
    if not found["alike"]:
        said.append(
            "No data set of the comparison is alike enough to go by, so it is the method to compare others with: it "
            "stops early by held-out labels."
        )
    elif found["method"] == REFERENCE:
        said.append(
            "On the data sets of the comparison that are most alike, no method gained over cross-entropy that stops "
            "early without losing more than a point on one of them: "
            f"{', '.join(each['name'] for each in found['nearest'])}."
        )
    else:
        said.append(
            f"On the data sets of the comparison that are most alike it gained over cross-entropy on average: {alike}."
        )
        if all(each["p"] is not None and each["p"] >= _CHANCE for each in found["nearest"]):
            said.append("None of these gains is beyond chance: cross-entropy may do as well.")
    if tasks > 1:
        said.append("Each task has noise of its own; this goes by the one named, and all are learned together.")
    return said


def _p(p: float | None) -> str:
    return "" if p is None else f", p = {p:.2g}"


def _nearest(own: Mapping[str, float], known: Mapping[str, Mapping[str, float]]) -> tuple[Sequence[str], bool]:
    """The names of the data sets whose looks are nearest, in units of their spread, and whether all are near enough."""
    names = list(known)
    table = np.array([_numbers(known[name]) for name in names])
    spread = table.std(axis=0)
    apart = np.linalg.norm((table - _numbers(own)) / np.where(spread > 0, spread, 1), axis=1)
    order = np.argsort(apart, kind="stable")[:NEAREST]
    return [names[k] for k in order], bool(apart[order].mean() <= _ALIKE)


def _numbers(each: Mapping[str, float]) -> np.ndarray:
    return np.array(
        [math.log(max(each[name], _LEAST)) if name in _LOGARITHMIC else each[name] for name in _LOOKS], float
    )


def _accuracy(figures: Mapping[str, Any], name: str, method: str) -> Sequence[float]:
    found: Sequence[float] = figures[name][method]["accuracy"]
    return found
