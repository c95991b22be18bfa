"""Methods that learn from mixtures of few pictures: accuracy, and how far confidence can be trusted."""

import os
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from labelwise.bench.cifar10n import draw as draw_cifar10
from labelwise.bench.mixing_fits import REFERENCE, Draw, Ways, run, split
from labelwise.labels import data_path
from labelwise.methods import Plan

WAYS: Ways = {
    REFERENCE: ("cross-entropy", {}),
    "mixup": ("mixup", {}),
    "mixup, alpha 1": ("mixup", {"alpha": 1.0}),
    "cutmix": ("cutmix", {}),
    "decoupled-mixup": ("decoupled-mixup", {}),
    "decoupled-mixup, cutmix": ("decoupled-mixup", {"mixer": "cutmix", "alpha": 1.0}),
    "rank-mixup": ("rank-mixup", {}),
    "rank-mixup, ranking": ("rank-mixup", {"rank": "ranking", "copies": 1}),
}
"""Defaults, and one or two published variants."""
_ABOUT = "Methods that learn from mixtures of few pictures: accuracy and calibration."
_PLAN = Plan(epochs=40, batch_size=32, patience=0, width=64)


def mixing_classes(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """200 digits of 8 × 8 pixels, 500 of MNIST at 14 × 14, 1000 photos of CIFAR-10 at 16 × 16; 5 seeds, 40 epochs.

    `full`: 10 seeds, MNIST at 28 × 28 and CIFAR-10 at 32 × 32 pixels.

    Options are the published defaults and nothing is tuned; test rows are the same for all seeds. Probabilities are
    those of the network itself, before the calibration that `labelwise fit` ends with.
    """
    for name in ("mnist", "cifar10"):
        data_path(name)  # now, not after the digits
    problems: dict[str, Draw] = {
        "digits, 200 rows": partial(digits, 200),
        "MNIST, 500 rows": partial(mnist, 500, 28 if full else 14),
        "CIFAR-10, 1000 rows": partial(cifar10, 1000, 32 if full else 16),
    }
    seeds = range(seed, seed + (10 if full else 5))
    return run("mixing-classes", _ABOUT, problems, WAYS, seeds, _PLAN, out, quiet)


def digits(rows: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """So many of the digits of 8 × 8 pixels to learn from, and the last 797 to test on."""
    flat, labels = load_digits(return_X_y=True)
    pictures = torch.from_numpy(flat).float().reshape(-1, 1, 8, 8) / 16
    return split(pictures, labels, len(labels) - 797, rows, seed)


def mnist(rows: int, side: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """So many pictures of MNIST of this side in pixels to learn from, and 2000 of its test pictures."""
    with np.load(data_path("mnist") / "mnist.npz", allow_pickle=False) as file:
        pictures = torch.from_numpy(np.concatenate([file["x_train"][:20_000], file["x_test"][:2000]]))
        labels = np.concatenate([file["y_train"][:20_000], file["y_test"][:2000]])
    small = F.adaptive_avg_pool2d(pictures[:, None].float() / 255, side)
    return split(small, labels, 20_000, rows, seed)


def cifar10(rows: int, side: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """So many photos of CIFAR-10 of this side in pixels to learn from, and 2000 others, all of its training part."""
    return split(*_photos(side), 5000, rows, seed)


@cache
def _photos(side: int) -> tuple[Tensor, np.ndarray]:
    """7000 photos, standardised, and their labels, in random order; the file has class after class."""
    chosen, photos = draw_cifar10(data_path("cifar10"), 7000, side, seed=0)
    with np.load(data_path("cifar10") / "cifar10.npz", allow_pickle=False) as file:
        labels = file["train_label"][chosen]
    order = np.random.default_rng(0).permutation(len(chosen))
    return photos[order], labels[order]
