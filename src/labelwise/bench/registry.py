"""Comparisons by name. Light: what a comparison needs is imported only when it is run."""

import difflib
import os
from importlib import import_module
from typing import Any

from labelwise.bench.harness import save as save_result

_BENCHES = {
    "audit-speed": (
        "audit_speed",
        "audit_speed",
        "time, memory and row sets of confident learning: ours and cleanlab's",
    ),
    "dselect-k-synthetic": (
        "synthetic_tasks",
        "synthetic",
        "regression tasks in two groups, from a generator: dselect-k, other gates and plain networks",
    ),
    "experts-speed": (
        "experts_speed",
        "experts_speed",
        "time and memory of mixtures of experts: our sparse path, dense, a plain loop and LibMTL",
    ),
    "frog-calls": (
        "linked_tasks",
        "frog_calls",
        "family, genus and species of frogs from their calls, split by recording: dselect-k and plain networks",
    ),
    "grocery": (
        "linked_tasks",
        "grocery",
        "fine, coarse and top class of photos of groceries, official split: dselect-k and plain networks",
    ),
    "label-errors": (
        "label_errors",
        "label_errors",
        "label errors found in the test sets of MNIST, IMDB and 20 Newsgroups, judged by people",
    ),
}


def names() -> list[str]:
    """Names of all comparisons, in alphabetical order."""
    return sorted(_BENCHES)


def about(name: str) -> str:
    """What a comparison compares, in a line. Raises `ValueError` with the nearest name if there is none called so."""
    return _home(name)[2]


def run(
    name: str,
    save: bool = False,
    quiet: bool = False,
    full: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Run a comparison; gives its result as plain JSON facts, which `tables` turns into tables.

    `seed` is the first of its seeds; `full` takes the large budget that the comparison states. In the folder `out` the
    models stay, and the same call goes on there after it was stopped; without it they are thrown away. `save` keeps the
    result beside the file of the comparison. Raises `ValueError` for an unknown name, or data that are not at hand.
    """
    module, function, _ = _home(name)
    compare = getattr(import_module(f"labelwise.bench.{module}"), function)
    result: dict[str, Any] = compare(seed=seed, full=full, out=out, quiet=quiet)
    if save:
        save_result(result)
    return result


def _home(name: str) -> tuple[str, str, str]:
    if name not in _BENCHES:
        near = difflib.get_close_matches(name, _BENCHES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no comparison {name!r}{hint} (comparisons: {', '.join(names())})")
    return _BENCHES[name]
