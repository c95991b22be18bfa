"""Comparisons by name. Light: what a comparison needs is imported only when it is run."""

import difflib
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from labelwise.bench.harness import save as save_result

_BENCHES = {
    "audit-speed": (
        "audit_speed",
        "audit_speed",
        "time, memory and row sets of confident learning: ours and cleanlab's",
    ),
    "box-errors": (
        "box_errors",
        "box_errors",
        "errors of four kinds planted in the boxes of blood cells, and how many of them an audit of boxes finds",
    ),
    "cifar10n": (
        "cifar10n",
        "cifar10n",
        "human label errors of CIFAR-10N: confident learning, NECV, SimiFeat, area under margin, and a combination",
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
    "gate-settings": (
        "gate_settings",
        "gate_settings",
        "k, gamma and the entropy term of dselect-k: what goes wrong at both ends of each",
    ),
    "grocery": (
        "linked_tasks",
        "grocery",
        "fine, coarse and top class of photos of groceries, official split: dselect-k and plain networks",
    ),
    "label-budget": (
        "label_budget",
        "label_budget",
        "a budget split between few good and many weak labels of news: which is best, and when",
    ),
    "label-errors": (
        "label_errors",
        "label_errors",
        "label errors found in the test sets of MNIST, IMDB and 20 Newsgroups, judged by people",
    ),
    "lupi": (
        "lupi",
        "lupi",
        "blood cells found by a small detector, alone and as the student of one that sees the right boxes",
    ),
    "mixing-classes": (
        "mixing_classes",
        "mixing_classes",
        "few pictures, mixed by mixup, CutMix, decoupled mixup and RankMixup: accuracy and calibration",
    ),
    "mixing-modalities": (
        "mixing_modalities",
        "mixing_modalities",
        "spoken and written digits paired by class: concatenated features, mixup, and M3CoL",
    ),
    "mixing-regression": (
        "mixing_regression",
        "mixing_regression",
        "numbers learned from mixtures: mixup, manifold mixup, C-Mixup, supervised contrast and SupReMix",
    ),
    "mixing-retrieval": (
        "mixing_retrieval",
        "mixing_retrieval",
        "embeddings of digits and groceries, learned with and without mixtures: neighbours of unseen classes",
    ),
    "mixing-sets": (
        "mixing_sets",
        "mixing_sets",
        "set operations on features of two examples: what they make, and whether it helps where labels are few",
    ),
    "mixing-speed": (
        "mixing_speed",
        "mixing_speed",
        "time of mixup and CutMix: ours, the formulas of timm, kornia, and torch.lerp and a copy as limits",
    ),
    "mixing-stream": (
        "mixing_stream",
        "mixing_stream",
        "digits that come two classes at a time, seen once: replay of a small memory, with mixup, and DualMix",
    ),
    "mixing-vit": (
        "mixing_vit",
        "mixing_vit",
        "few pictures, mixed by the attention of a small vision transformer, or plainly: accuracy and calibration",
    ),
    "movielens": (
        "movielens",
        "movielens",
        "which films people watched and how they rated them: dselect-k, other gates and plain networks",
    ),
    "multi-mnist": (
        "multi_mnist",
        "multi_mnist",
        "two handwritten digits on one canvas, a task each: dselect-k, other gates and plain networks",
    ),
    "noisy": (
        "noisy",
        "noisy",
        "sixteen methods for wrong labels, planted and human: accuracy, ranks, calibration, time",
    ),
    "noisy-defaults": (
        "noisy_defaults",
        "noisy_defaults",
        "the same methods with their defaults, as published comparisons are made: MNIST with 40 % of labels wrong",
    ),
    "ostracods-protocol": (
        "ostracods_protocol",
        "ostracods_protocol",
        "planted noise in digits and frog calls, found by every detector, by the protocol of Noisy Ostracods",
    ),
    "review-load": (
        "review_load",
        "review_load",
        "a review under load: 100,000 findings, 20 reviewers at once, a server that is killed; SQLite and PostgreSQL",
    ),
    "spoken-digits": (
        "linked_tasks",
        "spoken_digits",
        "digit and speaker of recordings, official split: dselect-k and plain networks",
    ),
    "training-speed": (
        "training_speed",
        "training_speed",
        "time of an epoch: a bare loop of PyTorch, our cross-entropy, and methods with two networks",
    ),
}
_GROUPS = {
    "two-tasks": (
        ("spoken-digits", "frog-calls", "grocery"),
        "spoken-digits, frog-calls and grocery, one after another: real data with two tasks or more",
    ),
}


def names() -> list[str]:
    """Names of all comparisons, and of groups of them, in alphabetical order."""
    return sorted([*_BENCHES, *_GROUPS])


def about(name: str) -> str:
    """What a comparison compares, in a line. Raises `ValueError` with the nearest name if there is none called so."""
    return _GROUPS[name][1] if name in _GROUPS else _home(name)[2]


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
    result beside the file of the comparison. A group runs its comparisons one after another, each with a folder of its
    own in `out`; its result holds theirs as `results`, and all their tables.

    Raises `ValueError` for an unknown name, or data that are not at hand.
    """
    if name in _GROUPS:
        results = [
            run(each, save, quiet, full, seed, Path(out) / each if out is not None else None)
            for each in _GROUPS[name][0]
        ]
        return {"name": name, "results": results, "tables": [table for result in results for table in result["tables"]]}
    module, function, _ = _home(name)
    compare = getattr(import_module(f"labelwise.bench.{module}"), function)
    result: dict[str, Any] = compare(seed=seed, full=full, out=out, quiet=quiet)
    if save:
        save_result(result)
    return result


def _home(name: str) -> tuple[str, str, str]:
    if name not in _BENCHES:
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no comparison {name!r}{hint} (comparisons: {', '.join(names())})")
    return _BENCHES[name]
