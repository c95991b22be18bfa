"""Planted noise of the kind that ostracods have, and the protocol's table for every detector of it.

Protocol and detectors: Hu et al., "Noisy Ostracods", NeurIPS 2024 Datasets and Benchmarks (arXiv 2412.02313). Labels
are changed at random, examples are spoiled, and a class is invented; on frog calls two genera also go under one name.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from labelwise.audit import cross_fit, label_quality
from labelwise.bench.detectors import (
    Said,
    by_confident_learning,
    by_margin,
    by_neighbours,
    by_vote,
    draw_verified,
    gain_table,
    judge,
    protocol_table,
)
from labelwise.bench.harness import kept, versions
from labelwise.bench.linked_tasks import frog_file
from labelwise.labels import LabelTable, data_path, read
from labelwise.labels.noise import plant
from labelwise.methods import Plan
from labelwise.models import choose_encoder
from labelwise.progress import progress
from labelwise.runs import RunFolder

ONE, SEVERAL, VOTE = "confident learning", "confident learning, 4 models", "NECV"
_LONGEST, _SHORTEST = 178, 8  # rows of the largest and the smallest class of digits
_NETWORK = Plan(epochs=30, batch_size=32, width=64)
_PUBLISHED = {  # percent of 795 errors among rows of validation and test that are flagged, percent of flags that err
    "confident learning": ("ostracods_genus_CL", 59.37, 64.13),
    "SimiFeat, CLIP, rank": ("simifeat_clip_h14_rank_all_confidences", 26.29, 17.13),
    "SimiFeat, CLIP, vote": ("simifeat_clip_h14_mv", 26.29, 17.29),
    "SimiFeat, MAE fine-tuned, rank": ("simifeat_mae_pre_embed_rank", 28.18, 47.16),
    "SimiFeat, MAE fine-tuned, vote": ("simifeat_mae_pre_embed_mv", 31.07, 44.67),
    "SimiFeat, MAE pretrained, rank": ("simifeat_mae_raw_embed_rank", 27.55, 13.83),
    "SimiFeat, MAE pretrained, vote": ("simifeat_mae_raw_embed_mv", 26.79, 13.87),
}
_ERRORS = 795
_SURE = 0.2  # least confidence that was published as a flag
_MEASURES = {
    "hit_rate": "hit rate",
    "feature_hit_rate": "of spoiled",
    "label_hit_rate": "of wrong labels",
    "precision": "precision",
    "found_pseudo_class": "pseudo-class found",
    "focus_hit_rate": "of mixed class",
    "other_hit_rate": "of others",
    "suggestion_accuracy": "suggestions right",
    "average_precision": "average precision",
}
_LARGER, _MIXED = "HypsiboasCinerascens", "ScinaxRuber"  # two genera of one family


class Margins(SVC):
    """A support vector machine whose probabilities are the softmax of its margins, so that it need not fit them."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, classes]."""
        margins = self.decision_function(X)
        return softmax(margins if margins.ndim == 2 else np.stack([-margins, margins], axis=1), axis=1)


@dataclass(frozen=True)
class Planted:
    """Rows with planted noise: features [n, ...], noisy labels, true classes [n] (-1 = spoiled), the mixed class."""

    features: np.ndarray
    table: LabelTable
    clean: np.ndarray
    mixed: str | None = None


@dataclass(frozen=True)
class Setting:
    """Where rows come from, and how many of them are verified, to fit the combination."""

    name: str
    make: Callable[[int], Planted]
    verified: int


def ostracods_protocol(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Plant noise in digits and in frog calls, find it by every detector, and count by the protocol; 10 seeds.

    Every seed draws rows, noise, folds and verified rows anew. Of the frog calls 2000 are drawn (`full`: 30 seeds, and
    all 7195). The published flag files are counted beside it.
    """
    calls = frog_calls()
    settings = [
        Setting("digits", digits, 200),
        Setting("all frog calls", partial(frogs, calls, None), 300)
        if full
        else Setting("frog calls", partial(frogs, calls, 2000), 300),
    ]
    return run(settings, range(seed, seed + (30 if full else 10)), out, quiet)


def run(
    settings: Sequence[Setting], seeds: range, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Judge every detector in these settings with these seeds; figures are kept in the folder `out` on the way."""
    counts = published_counts(data_path("noisy-ostracods"))
    about = {"comparison": "ostracods-protocol", "verified": {each.name: each.verified for each in settings}}
    folder = RunFolder.start(out, about) if out else None
    figures: dict[str, list[dict[str, Any]]] = {each.name: [] for each in settings}
    with progress("ostracods-protocol", len(settings) * len(seeds), quiet) as advance:
        for setting in settings:
            for seed in seeds:
                file = folder / f"{setting.name}-{seed}.json" if folder else None
                figures[setting.name].append(kept(file, partial(_judge, setting, seed)))
                advance()
    tables = [
        table
        for name, found in figures.items()
        for table in (protocol_table(name, found, _MEASURES), gain_table(name, found, VOTE))
    ]
    return {
        "name": "ostracods-protocol",
        "about": "Planted noise of the ostracods' kind in digits and frog calls, found by every detector.",
        "data": {name: found[0]["rows"] for name, found in figures.items()},
        "seeds": list(seeds),
        "figures": {**figures, "published": counts},
        "tables": [*tables, _published_table(counts)],
        "versions": versions(),
    }


def digits(seed: int) -> Planted:
    """Digits with a long tail from 178 rows to 8, 734 in all; 3 % random labels, 3 % spoiled, 12 in a new class."""
    table, generator = read("digits"), np.random.default_rng(seed)
    sizes = np.round(_SHORTEST + (_LONGEST - _SHORTEST) * np.linspace(1, 0, 10) ** 1.7).astype(int)
    labels = table.labels("digit")
    drawn = [
        generator.permutation(np.flatnonzero(labels == k))[:size]
        for k, size in zip(generator.permutation(10), sizes, strict=True)
    ]
    table = table.select(np.sort(np.concatenate(drawn)))
    clean = table.labels("digit")
    noisy, truth = plant(table, "digit", {"symmetric": 0.03, "spoil": 0.03, "pseudo_class": 12}, carry=False, seed=seed)
    clean[truth["example"][truth["kind"] == "spoiled"]] = -1
    return Planted(choose_encoder(noisy).fit_transform(noisy).features, noisy, clean)


def frog_calls() -> LabelTable:
    """All frog calls with their species; that calls come from the same recording is left out."""
    return read(pd.read_csv(frog_file()).drop(columns=["Family", "Genus", "RecordID"]), "Species")


def frogs(table: LabelTable, size: int | None, seed: int) -> Planted:
    """Frog calls with the noise of `digits`, and 2 % of one genus under the name of another, rarer one.

    A call is spoiled by giving each of its numbers the value of another call.
    """
    generator = np.random.default_rng(seed)
    table = table.select(np.sort(generator.permutation(len(table))[:size]))
    clean = table.labels("Species")
    recipe = {"symmetric": 0.03, "pair": 0.02, "pseudo_class": 12}
    noisy, truth = plant(table, "Species", recipe, flows={_LARGER: _MIXED}, seed=seed)
    untouched = np.setdiff1d(np.arange(len(table)), truth["example"])
    spoiled = generator.choice(untouched, round(0.03 * len(table)), replace=False)
    features = choose_encoder(noisy).fit_transform(noisy).features
    features[spoiled] = generator.permuted(features, axis=0)[spoiled]
    clean[spoiled] = -1
    return Planted(features, noisy, clean, _MIXED)


def ask(features: np.ndarray, table: LabelTable, seed: int) -> dict[str, Said]:
    """What every detector says of the labels of `table`, by name."""
    task = table.tasks[0]
    given = table.labels(task.name)
    flat = features.reshape(len(features), -1)
    models = {
        "logistic regression": LogisticRegression(max_iter=1000),
        "support vectors": Margins(break_ties=True),
        "random forest": RandomForestClassifier(),
        "neighbours": KNeighborsClassifier(5),
    }
    probabilities = cross_fit(table, models, task.name, features=flat, seed=seed, jobs=1, quiet=True)
    return {
        ONE: by_confident_learning(given, probabilities[0]),
        SEVERAL: by_confident_learning(given, probabilities.mean(axis=0)),
        VOTE: by_vote(given, probabilities),
        **by_neighbours(given, flat, seed),
        "area under margin": by_margin(torch.from_numpy(flat), given, _NETWORK, seed),
        "5 neighbours": by_vote(given, probabilities[-1:])._replace(score=1 - label_quality(given, probabilities[-1])),
    }


def _judge(setting: Setting, seed: int) -> dict[str, Any]:
    planted = setting.make(seed)
    task = planted.table.tasks[0]
    given = planted.table.labels(task.name)
    verified = draw_verified(len(given), setting.verified, seed)
    found = judge(
        ask(planted.features, planted.table, seed),
        given,
        planted.clean,
        verified,
        None if planted.mixed is None else task.classes.index(planted.mixed),
        [len(task.classes) - 1],
    )
    return {"rows": len(given), "detectors": found}


def published_counts(folder: Path) -> dict[str, dict[str, Any]]:
    """What the flag files published with Noisy Ostracods flag: rows of train, of validation and of test, by method.

    `hits` are what the published hit rate says of the 795 errors in validation and test; `precision` follows from these
    and our count, in percent as is `published_precision`.
    """
    phases = ("train", "val", "test")
    rows = {phase: _paths(folder / f"ostracods_genus_final_{phase}.csv.gz")[0] for phase in phases}
    counts: dict[str, dict[str, Any]] = {}
    for method, (name, hit_rate, precision) in _PUBLISHED.items():
        if name.startswith("simifeat"):
            flags = _paths(folder / f"{name}.csv.gz")
            flagged = set(flags[0][flags[3] >= _SURE])
            found = {phase: int(rows[phase].isin(flagged).sum()) for phase in phases}
        else:
            found = {
                phase: int((~rows[phase].isin(_paths(folder / f"{name}_{phase}.csv.gz")[0])).sum()) for phase in phases
            }
        judged, hits = found["val"] + found["test"], round(hit_rate / 100 * _ERRORS)
        counts[method] = {
            **found,
            "judged": judged,
            "hits": hits,
            "precision": round(100 * hits / judged, 2),
            "published_precision": precision,
        }
    return counts


def _published_table(counts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": "rows that the published flag files of Noisy Ostracods flag, and the precision in % that follows from "
        "the published hit rate",
        "columns": ["method", "train", "validation", "test", "of the judged", "hits", "precision", "published"],
        "rows": [[method, *facts.values()] for method, facts in counts.items()],
    }


def _paths(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, header=None)
