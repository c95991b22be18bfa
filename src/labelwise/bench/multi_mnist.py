"""Two handwritten digits on one canvas, a task each: DSelect-k, other static gates, and plain networks.

How networks learn, and how hyper-parameters are chosen, is said in `gated_tasks`. Canvases, experts and heads are those
of Hazimeh et al., "DSelect-k" (NeurIPS 2021), Multi-MNIST; by default there are fewer canvases, and smaller ones.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.bench.gated_tasks import OURS, Budget, Network, Parts, choices, fit_all, learn, networks, rows, size
from labelwise.bench.harness import compare, versions
from labelwise.experts import MultiTaskMixture
from labelwise.labels import data_path
from labelwise.methods.training import seeded
from labelwise.metrics import expert_overlap, experts_used

TASKS = ("top-left", "bottom-right")
SIDE = 36
_DIGIT = 28
_CLASSES = 10
_WIDTH = 50
_ROWS_AT_ONCE = 1000  # in inference
_USES = ("experts", "in common")

Labelled = tuple[Tensor, Tensor]
"""Pictures [n, ...] and their classes: of digits [n], of canvases [n, 2]."""


@dataclass(frozen=True)
class CanvasBudget(Budget):
    """A budget, and the pixels a side to which canvases are shrunk, by averaging."""

    side: int


def multi_mnist(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Classes of two overlaid digits: accuracy, and which experts the gates choose; 5 seeds.

    5000 canvases, shrunk to 20 × 20 pixels, 8 epochs, gates that choose 2 of 8 experts (`full`: 100,000 canvases of
    36 × 36 pixels, 50 epochs, 2 and 4 of 8: weeks without a GPU, which is used if there is one).
    """
    budget = CanvasBudget(rows=5000, judged=2000, epochs=8, batch_size=64, learning_rate=5e-3, tuned_on=2, side=20)
    if full:
        budget = CanvasBudget(
            rows=100_000, judged=20_000, epochs=50, batch_size=512, learning_rate=1e-3, tuned_on=2, side=SIDE
        )
    return run(load(), (2, 4) if full else (2,), range(seed, seed + 5), budget, out, quiet)


def load() -> dict[str, Labelled]:
    """The digits of each part: the last sixth of MNIST's training images is for validation."""
    path = data_path("mnist") / "mnist.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in ("x_train", "y_train", "x_test", "y_test")}
    at = len(arrays["y_train"]) * 5 // 6
    return {
        "train": (arrays["x_train"][:at], arrays["y_train"][:at].long()),
        "validation": (arrays["x_train"][at:], arrays["y_train"][at:].long()),
        "test": (arrays["x_test"], arrays["y_test"].long()),
    }


def overlay(digits: Labelled, generator: torch.Generator) -> Labelled:
    """Lay two images of [n, 28, 28], 8 bits a pixel, on each canvas: int16 [2n, 36, 36], and their classes [2n, 2].

    Image i lies at the top left of canvases i and n + i; a random one lies at the bottom right, 8 pixels off in both
    directions. Where they meet, pixel values are added, up to 510.
    """
    images, classes = digits
    first = torch.arange(len(images)).repeat(2)
    second = torch.randint(len(images), first.shape, generator=generator)
    canvases = torch.zeros(len(first), SIDE, SIDE, dtype=torch.int16)
    canvases[:, :_DIGIT, :_DIGIT] = images[first]
    canvases[:, -_DIGIT:, -_DIGIT:] += images[second]
    return canvases, torch.stack([classes[first], classes[second]], 1)


def draw(digits: Mapping[str, Labelled], budget: CanvasBudget, generator: torch.Generator) -> dict[str, Labelled]:
    """Canvases [rows, 1, side, side] of each part, 1 being a white pixel of one digit, and their classes [rows, 2].

    Each part lays out images of its own, half as many as it has rows. Raises `ValueError` if it has too few.
    """
    drawn = {}
    for part, (images, classes) in digits.items():
        wanted = (budget.rows if part == "train" else budget.judged) // 2
        if wanted > len(images):
            raise ValueError(f"{part} needs {wanted} images; there are {len(images)}")
        chosen = torch.randperm(len(images), generator=generator)[:wanted]
        canvases, pairs = overlay((images[chosen], classes[chosen]), generator)
        drawn[part] = F.adaptive_avg_pool2d(canvases[:, None].float() / 255, budget.side), pairs
    return drawn


def run(
    digits: Mapping[str, Labelled],
    ks: Sequence[int],
    seeds: Sequence[int],
    budget: CanvasBudget,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every method for each k of `ks` with every seed; figures are kept in the folder `out` on the way."""
    settings = {f"k = {k}": partial(_fit, digits, k, budget) for k in ks}
    methods, by_setting = list(_networks(2, SIDE, 1)), dict.fromkeys(settings, seeds)
    found = fit_all("multi-mnist", settings, methods, by_setting, budget.tuned_on, "error", asdict(budget), out, quiet)
    labels = {f"{task}, {setting}": (task, fits.runs) for setting, fits in found.items() for task in TASKS}
    figures = {
        label: {method: {"accuracy": [each["accuracy"][task] for each in runs]} for method, runs in by_method.items()}
        for label, (task, by_method) in labels.items()
    }
    uses = {
        label: {
            method: {
                "experts": [each["experts"][task] for each in runs],
                "in common": [each["in common"] for each in runs],
            }
            for method, runs in by_method.items()
            if runs[0]["experts"] is not None
        }
        for label, (task, by_method) in labels.items()
    }
    parameters = {
        label: {method: runs[0]["parameters"] for method, runs in by_method.items()}
        for label, (_, by_method) in labels.items()
    }
    entries = compare(figures, OURS)
    side = budget.side
    table = {
        "title": f"multi-mnist: test accuracy, means of {len(seeds)} seeds with 95 % intervals, paired t-tests "
        f"({budget.rows} canvases of {side} × {side} pixels, {budget.epochs} epochs; "
        f"{choices(found, budget.tuned_on)})",
        "columns": [
            "task",
            "method",
            "parameters",
            "accuracy",
            "±",
            f"{OURS} gains",
            "p",
            "experts",
            "Jaccard of the two tasks",
        ],
        "rows": rows(entries, "accuracy", parameters, uses, _USES),
    }
    return {
        "name": "multi-mnist",
        "about": "Two overlaid digits, a task each: static gates of every kind, and plain networks.",
        "data": {"source": "mnist", **{part: len(classes) for part, (_, classes) in digits.items()}},
        "seeds": list(seeds),
        "budget": {
            "rows": budget.rows,
            "epochs": budget.epochs,
            "rows_a_step": budget.batch_size,
            "steps": budget.steps,
            "pixels": side,
        },
        "chosen": {setting: fits.chosen for setting, fits in found.items()},
        "parameters": parameters,
        "figures": figures,
        "uses": uses,
        "summary": entries,
        "tables": [table],
        "versions": versions(),
    }


def _fit(
    digits: Mapping[str, Labelled], k: int, budget: CanvasBudget, method: str, seed: int, value: float | None
) -> dict[str, Any]:
    """Accuracy of one network by task, its size, and what its gates choose; None where it has none to choose."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        part: (canvases.to(device), classes.to(device))
        for part, (canvases, classes) in draw(digits, budget, generator).items()
    }
    with seeded(seed):
        model = _networks(k, budget.side, budget.steps)[method](value).to(device)
        learn(model, *drawn["train"], _cross_entropy, budget, generator)
    wrong = {part: _wrong(model, *drawn[part]) for part in ("validation", "test")}
    found: dict[str, Any] = {
        "parameters": size(model),
        "validation": sum(wrong["validation"]) / len(TASKS),
        "accuracy": {task: 1 - share for task, share in zip(TASKS, wrong["test"], strict=True)},
        **dict.fromkeys(_USES),
    }
    if isinstance(model, MultiTaskMixture):
        weights = torch.stack([gate().weights for _, gate in model.gates.items()]).detach()
        found["experts"] = dict(zip(TASKS, experts_used(weights).tolist(), strict=True))
        found["in common"] = expert_overlap(weights)[0, 1].item()
    return found


def _cross_entropy(outputs: list[Tensor], classes: Tensor) -> Tensor:
    return F.cross_entropy(torch.cat(outputs), classes.T.flatten())


@torch.no_grad()
def _wrong(model: nn.Module, canvases: Tensor, classes: Tensor) -> list[float]:
    """Share of wrong answers of each task."""
    said = [list(model(some).outputs.values()) for some in canvases.split(_ROWS_AT_ONCE)]
    answers = torch.stack([torch.cat(outputs).argmax(1) for outputs in zip(*said, strict=True)], 1)
    wrong: list[float] = (answers != classes).double().mean(0).tolist()
    return wrong


def _networks(k: int, side: int, steps: int) -> dict[str, Network]:
    bottom = partial(_bottom, side)
    parts = Parts(lambda n: [bottom(_WIDTH) for _ in range(n)], bottom, _head, _WIDTH, k=k)
    return networks(parts, TASKS, steps)


def _bottom(side: int, width: int) -> nn.Module:
    """The published expert, for a width of 50; others have channels in proportion."""
    channels = width // 5
    left = ((side - 4) // 2 - 4) // 2  # pixels a side, after two convolutions and halvings
    return nn.Sequential(
        *(nn.Conv2d(1, channels, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(channels, 2 * channels, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(2 * channels * left**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
    )


def _head(width: int) -> nn.Module:
    """The published head: its softmax is part of the loss."""
    return nn.Sequential(
        nn.Linear(width, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _CLASSES)
    )
