"""Digits that come two classes at a time, in a stream seen once: replay of a small memory, with mixtures or without."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labelwise.bench.mixing_classes import digits, mnist
from labelwise.bench.mixing_fits import TASK, Draw, Ways, run
from labelwise.labels import data_path
from labelwise.methods import Plan, get
from labelwise.methods.training import answers, seeded
from labelwise.metrics import classification_scores
from labelwise.models import backbone_for

REPLAY = "replay"
_PLAIN = {"memory": 50, "enmix": 0.0, "adpmix": 0.0}
_UNCHANGED = {"noise": 0.0, "shift": 0.0}
WAYS: Ways = {
    "no memory": ("dualmix", {**_PLAIN, "replay": 0}),
    REPLAY: ("dualmix", _PLAIN),
    "replay and mixup": ("dualmix", {**_PLAIN, **_UNCHANGED, "enmix": 1.0}),
    "replay and EnMix": ("dualmix", {**_PLAIN, "enmix": 1.0}),
    "replay and AdpMix": ("dualmix", {**_PLAIN, "adpmix": 1.0}),
    "dualmix": ("dualmix", {"memory": 50}),
}
"""All are `dualmix` without some of its parts; mixup is EnMix of unchanged examples."""
MEASURES = {"average_accuracy": "average accuracy", "forgetting": "forgetting", "calibration_error": "ECE"}
_ABOUT = "Digits that come two classes at a time, seen once: replay of 50 examples, with mixup, and DualMix."
_PLAN = Plan(epochs=1, batch_size=10, patience=0, width=64, dropout=0.0)
_RATES = (0.03, 0.1, 0.3)
_CLASSES_AT_ONCE = 2


def mixing_stream(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """1000 digits as numbers in five parts of two classes, memory 50, 10 seeds (`full`: also 3000 of MNIST, 20 seeds).

    Ten rows arrive at a time and are learned from in three steps, once. The order of classes is drawn by the seed. The
    learning rate of each way is chosen by held-out rows; all else is the default. Average accuracy is the mean over the
    five parts at the end of the stream; forgetting the mean, over all parts but the last, of how much higher accuracy
    on it was once.
    """
    problems: dict[str, Draw] = {"digits, 1000 rows": _flat_digits}
    if full:
        data_path("mnist")
        problems["MNIST, 3000 rows"] = partial(mnist, 3000, 14)
    seeds = range(seed, seed + (20 if full else 10))
    return run(
        "mixing-stream",
        _ABOUT,
        problems,
        WAYS,
        seeds,
        _PLAN,
        out,
        quiet,
        fit=fit_stream,
        rates=_RATES,
        measures=MEASURES,
        reference=REPLAY,
    )


def fit_stream(draw: Draw, method: str, options: Mapping[str, Any], plan: Plan, seed: int) -> dict[str, float]:
    """Let the rows to learn from pass once, a part after another; the measures on the rows to test on."""
    inputs, labels, learned, tested = draw(seed)
    generator = np.random.default_rng(seed)
    names = generator.permutation(len(TASK.classes))  # of the classes, in the order in which they come
    labels = names.argsort()[labels]
    parts = labels // _CLASSES_AT_ONCE
    accuracies: list[list[float]] = []
    with seeded(seed):
        learner = get(method)(backbone_for(inputs.shape[1:], plan.width, plan.dropout), [TASK], **options)
        for part in range(parts.max() + 1):
            learner.begin_task()
            arriving = generator.permutation(learned[parts[learned] == part])
            for rows in np.split(arriving, range(plan.batch_size, len(arriving), plan.batch_size)):
                learner.learn(inputs[rows], torch.from_numpy(labels[rows]))
            right = learner.answer(inputs[tested]).numpy() == labels[tested]
            accuracies.append([float(right[parts[tested] == each].mean()) for each in range(part + 1)])
    chances = answers(learner, inputs, tested)[TASK.name].softmax(-1).numpy()
    final = accuracies[-1]
    best = [max(found[part] for found in accuracies[part:]) for part in range(len(final) - 1)]
    return {
        "average_accuracy": float(np.mean(final)),
        "forgetting": float(np.mean(np.array(best) - final[:-1])),
        "calibration_error": classification_scores(labels[tested], chances, n_bootstrap=1)["calibration_error"],
    }


def _flat_digits(seed: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    inputs, labels, learned, tested = digits(1000, seed)
    return inputs.flatten(1) * 2 - 1, labels, learned, tested
