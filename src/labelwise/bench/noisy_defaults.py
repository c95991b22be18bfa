"""All methods for wrong labels as they come: MNIST with 40 % of labels wrong, nothing tuned, last weights.

This is how published comparisons are made; `noisy` tunes all methods, cross-entropy too, which makes gains smaller.
"""

import os
from functools import partial
from typing import Any

import numpy as np

from labelwise.bench.harness import compare, kept, kept_file, paired, versions
from labelwise.bench.noisy import fit_scores
from labelwise.bench.noisy_data import settings
from labelwise.bench.recommending import EARLY, REFERENCE
from labelwise.bench.tuning import SPACES
from labelwise.progress import progress
from labelwise.runs import RunFolder

_SETTING = "MNIST, symmetric"
_TOLD = {"co-teaching, told the share": ("co-teaching", {"forget": 0.4})}


def noisy_defaults(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Sixteen methods with their default options on 2000 digits, 40 % of their labels changed to any other; 5 seeds.

    Beside them stand cross-entropy that stops early by noisy labels, and co-teaching that knows the share of wrong
    labels, as published. `full`: 10,000 larger digits and a convolutional network; it wants a GPU.
    """
    (setting,) = (one for one in settings(full) if one.name == _SETTING)
    seeds = range(seed, seed + 5)
    ways: dict[str, tuple[str, dict[str, float]]] = {name: (name, {}) for name in [*SPACES, EARLY]} | _TOLD
    folder = RunFolder.start(out, {"comparison": "noisy-defaults", "setting": repr(setting.plan)}) if out else None
    found: dict[str, list[dict[str, Any]]] = {}
    with progress("noisy-defaults", len(ways) * len(seeds), quiet) as advance:
        for way, (method, options) in ways.items():
            found[way] = []
            for one in seeds:
                fit = partial(fit_scores, setting, method, options, one)
                found[way].append(kept(kept_file(folder, way, one), fit))
                advance()
    accuracy = {way: {"accuracy": [each["accuracy"] for each in fits]} for way, fits in found.items()}
    clean = {way: [each["selected_clean"] for each in fits] for way, fits in found.items()}
    return {
        "name": "noisy-defaults",
        "about": "Methods for wrong labels as they come, on MNIST with 40 % of labels wrong.",
        "data": {"setting": _SETTING, "plan": repr(setting.plan)},
        "seeds": list(seeds),
        "figures": {_SETTING: accuracy},
        "selected_clean": clean,
        "summary": compare({_SETTING: accuracy}, REFERENCE),
        "tables": [_table(accuracy, clean)],
        "versions": versions(),
    }


def _table(accuracy: dict[str, dict[str, list[float]]], clean: dict[str, list[float | None]]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for way in sorted(accuracy, key=lambda way: -np.mean(accuracy[way]["accuracy"])):
        ours = accuracy[way]["accuracy"]
        gains = [None if way == other else _gain(ours, accuracy[other]["accuracy"]) for other in (REFERENCE, EARLY)]
        selected = [share for share in clean[way] if share is not None]
        rows.append([way, float(np.mean(ours)), *gains, float(np.mean(selected)) if selected else None])
    return {
        "title": "noisy-defaults: accuracy on clean labels with default options; points above cross-entropy with its "
        "last weights, and with those of its best epoch by noisy labels, ± half of the 95 % interval, with p of paired "
        "t-tests; share of right labels among those that the last epoch learned from; 5 seeds",
        "columns": ["method", "accuracy", "over last weights", "over early stopping", "right among selected"],
        "rows": rows,
    }


def _gain(ours: list[float], other: list[float]) -> str:
    gain = paired(ours, other)
    return f"{100 * gain['difference']:+.1f} ± {100 * gain['half_width']:.1f} (p = {gain['p']:.2g})"
