"""Human label errors of CIFAR-10N found by a small network, on subsets of the pictures.

Labels: Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022 (arXiv 2110.12088): the majority of three people
("aggre"), one person ("random1"), and a wrong one of the three where there is any ("worse").
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from labelwise.bench.detectors import (
    TASK,
    Said,
    by_confident_learning,
    by_margin,
    by_neighbours,
    by_vote,
    draw_verified,
    fit,
    gain_table,
    judge,
    protocol_table,
)
from labelwise.bench.harness import kept, versions
from labelwise.labels import data_path
from labelwise.methods import Plan
from labelwise.methods.training import answers
from labelwise.models.pictures import decode_picture
from labelwise.progress import progress
from labelwise.runs import RunFolder

SETS = ("aggre", "random1", "worse")
_CLASSES = 10
_REPEATS = 3
_MEASURES = {
    "precision": "precision of flags",
    "hit_rate": "recall of flags",
    "suggestion_accuracy": "suggestions right",
    "average_precision": "area under precision-recall",
}


def cifar10n(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Find the errors among the human labels of 3000 pictures of 16 × 16 pixels, by networks of 6 epochs; 5 seeds.

    Every seed draws pictures, halves and 300 verified rows anew. `full`: all 50,000 pictures of 32 × 32 pixels, 20
    epochs, 5 seeds.
    """
    plan = Plan(epochs=20 if full else 6, batch_size=64 if full else 32, width=128 if full else 64)
    return run(50_000 if full else 3000, 32 if full else 16, plan, 300, range(seed, seed + 5), out, quiet)


def run(
    rows: int,
    side: int,
    plan: Plan,
    verified: int,
    seeds: range,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Judge every detector on so many pictures of so many pixels; figures are kept in the folder `out` on the way."""
    source = data_path("cifar10")
    about = {"comparison": "cifar10n", "rows": rows, "side": side, "verified": verified, "plan": repr(plan)}
    folder = RunFolder.start(out, about) if out else None
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in SETS}
    with progress("cifar10n", len(SETS) * len(seeds), quiet) as advance:
        for seed in seeds:
            for name in SETS:
                file = folder / f"{name}-{seed}.json" if folder else None
                figures[name].append(kept(file, partial(_judge, source, name, rows, side, plan, verified, seed)))
                advance()
    tables = []
    for name, found in figures.items():
        right = np.mean([each["accuracy"] for each in found])
        tables.append(protocol_table(f"{name} (networks right in {right:.0%})", found, _MEASURES))
        tables.append(gain_table(name, found))
    return {
        "name": "cifar10n",
        "about": "Human label errors of CIFAR-10N, found by every detector on cross-fitted networks.",
        "data": about,
        "seeds": list(seeds),
        "figures": figures,
        "tables": tables,
        "versions": versions(),
    }


def ask(pictures: Tensor, given: np.ndarray, plan: Plan, seed: int) -> dict[str, Said]:
    """What every detector says of labels [n] of pictures [n, channels, height, width], by name.

    Three times the rows are halved anew, and each half is predicted by a network that learned from the other. SimiFeat
    compares the rows of a half by the features of such a network, the first of the three.
    """
    probabilities = np.zeros((_REPEATS, len(given), _CLASSES), np.float32)
    near: dict[str, Said] = {}
    for repeat in range(_REPEATS):
        halves = StratifiedKFold(2, shuffle=True, random_state=seed + repeat)
        for turn, (learned, held_out) in enumerate(halves.split(given, given)):
            network = fit(pictures, given, _CLASSES, learned, plan, 2 * (_REPEATS * seed + repeat) + turn)
            probabilities[repeat, held_out] = answers(network, pictures, held_out)[TASK].softmax(dim=1).numpy()
            if repeat == 0:
                with torch.no_grad():
                    parts = [network.backbone(part) for part in pictures[held_out].split(1024)]
                for mode, said in by_neighbours(given[held_out], torch.cat(parts).numpy(), seed).items():
                    whole = near.setdefault(mode, _nothing(len(given)))
                    for column, values in zip(whole, said, strict=True):
                        column[held_out] = values
    return {
        "confident learning": by_confident_learning(given, probabilities.mean(axis=0)),
        "NECV": by_vote(given, probabilities),
        **near,
        "area under margin": by_margin(pictures, given, plan, seed),
    }


def draw(source: Path, rows: int, side: int, seed: int) -> tuple[np.ndarray, Tensor]:
    """Row numbers drawn among the training pictures, and these, standardised, float32 [rows, 3, side, side]."""
    with np.load(source / "cifar10.npz", allow_pickle=False) as file:
        content, offsets = file["train_jpeg"], file["train_offsets"]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(offsets) - 1)[:rows])
    files = [content[offsets[row] : offsets[row + 1]].tobytes() for row in chosen]
    pictures = np.stack([np.asarray(decode_picture(file, (side, side), 3)) for file in files])
    pictures -= pictures.mean(axis=(0, 2, 3), keepdims=True)
    pictures /= pictures.std(axis=(0, 2, 3), keepdims=True)
    return chosen, torch.from_numpy(pictures)


def _judge(source: Path, name: str, rows: int, side: int, plan: Plan, verified: int, seed: int) -> dict[str, Any]:
    chosen, pictures = draw(source, rows, side, seed)
    with np.load(source / "cifar10n.npz", allow_pickle=False) as file:
        given, clean = (file[each][chosen].astype(np.int64) for each in (name, "clean"))
    said = ask(pictures, given, plan, seed)
    return {
        "rows": rows,
        "accuracy": float((said["confident learning"].suggestion == clean).mean()),
        "detectors": judge(said, given, clean, draw_verified(rows, verified, seed)),
    }


def _nothing(n: int) -> Said:
    return Said(np.zeros(n, bool), np.zeros(n), np.zeros(n, np.int64))
