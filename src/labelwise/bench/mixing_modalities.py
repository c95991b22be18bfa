"""Spoken and written digits, paired by class: two modalities learned together."""

import os
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.bench.mixing_fits import REFERENCE, Draw, Ways, fit_labels, run
from labelwise.labels import data_path, read
from labelwise.methods import Plan
from labelwise.models import AudioEncoder

WAYS: Ways = {
    REFERENCE: ("cross-entropy", {}),
    "mixup": ("mixup", {}),
    "m3col, no contrast": ("m3col", {"contrast": 0.0}),
    "m3col": ("m3col", {}),
}
"""The first two see the features of both modalities side by side; "no contrast" adds a head a modality."""
_ABOUT = "Spoken and written digits, paired by class, learned together: concatenated features, mixup, M3CoL."
_PLAN = Plan(epochs=40, batch_size=50, patience=0, width=32, dropout=0.2)
_RATES = (1e-3, 3e-3, 1e-2)
_TEST_TAKES = 5  # of fifty that each speaker recorded of each digit, the first ones
_TESTED = 1000


def mixing_modalities(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """200 pairs of a recording and a picture, 10 seeds, 40 epochs (`full`: 500 pairs, larger, and 20 seeds).

    Each pair is a recording, as a log-mel picture, and a written digit of the same class, drawn by the seed; pairs to
    test on are made of test recordings and test pictures, and are the same for all seeds. The learning rate of each
    method is chosen by held-out rows; all else is the published default.
    """
    for name in ("spoken-digits", "mnist"):
        data_path(name)  # now, not after the first of them was read
    rows, sides = (500, (20, 14)) if full else (200, (10, 7))
    problems: dict[str, Draw] = {f"{rows} pairs": partial(pairs, rows, *sides)}
    fit = partial(fit_labels, shape=[[1, side, side] for side in sides])
    seeds = range(seed, seed + (20 if full else 10))
    return run("mixing-modalities", _ABOUT, problems, WAYS, seeds, _PLAN, out, quiet, fit=fit, rates=_RATES)


def pairs(rows: int, heard: int, seen: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """So many pairs to learn from, drawn by the seed, and 1000 to test on, flat: a recording, and then a picture.

    `heard` and `seen` are the sides in pixels of the log-mel picture and of the written digit.
    """
    (sounds, spoken, first), (pictures, written, second) = _recordings(heard), _pictures(seen)
    parts = []
    for tested, size, generator in ((False, rows, seed), (True, _TESTED, 0)):
        draw = np.random.default_rng((generator, tested))
        labels = draw.permutation(np.arange(size) % 10)
        at = []
        for known, test in ((spoken, first), (written, second)):
            rows_of = [np.flatnonzero((known == label) & (test == tested)) for label in range(10)]
            at.append(np.array([draw.choice(rows_of[label]) for label in labels]))
        parts.append((torch.cat([sounds[at[0]], pictures[at[1]]], 1), labels))
    inputs = torch.cat([part for part, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    return inputs, labels, np.arange(rows), np.arange(rows, rows + _TESTED)


@cache
def _recordings(side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Log-mel pictures, flat, digits, and which are for testing."""
    table = read(data_path("spoken-digits") / "fsdd.npz", labels=("digit",), quiet=True)
    tested = np.asarray(table.data["take"]) < _TEST_TAKES
    features = AudioEncoder().fit(table.select(~tested)).transform(table).features
    return F.adaptive_avg_pool2d(torch.from_numpy(features), side).flatten(1), table.labels("digit"), tested


@cache
def _pictures(side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Pictures of MNIST, flat, digits, and which are for testing."""
    with np.load(data_path("mnist") / "mnist.npz", allow_pickle=False) as file:
        pictures = np.concatenate([file["x_train"][:5000], file["x_test"][:2000]])
        labels = np.concatenate([file["y_train"][:5000], file["y_test"][:2000]]).astype(np.int64)
    tested = np.arange(len(labels)) >= 5000
    small = F.adaptive_avg_pool2d(torch.from_numpy(pictures)[:, None].float() / 255, side)
    learned = small[~torch.from_numpy(tested)]
    return ((small - learned.mean()) / learned.std()).flatten(1), labels, tested
