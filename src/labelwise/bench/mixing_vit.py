"""A small vision transformer that learns from few pictures, cut and mixed by what it attends to, or without."""

import os
from dataclasses import replace
from functools import partial
from typing import Any

from labelwise.bench.mixing_classes import digits, mnist
from labelwise.bench.mixing_fits import REFERENCE, Draw, Ways, fit_labels, run
from labelwise.labels import data_path
from labelwise.methods import Plan
from labelwise.models import vit_for

WAYS: Ways = {
    REFERENCE: ("cross-entropy", {}),
    "mixup": ("mixup", {"alpha": 0.8}),
    "cutmix": ("cutmix", {}),
    "transmix": ("transmix", {}),
    "smmix": ("smmix", {}),
}
"""Defaults; mixup with the alpha that vision transformers are trained with."""
_ABOUT = "A small vision transformer that learns from few pictures, mixed by its attention or without."
_PLAN = Plan(epochs=40, batch_size=40, patience=0, width=48, dropout=0.1)
_RATES = (1e-3, 3e-3)


def mixing_vit(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """400 digits of 8 × 8 pixels, in 16 patches, 5 seeds, 40 epochs (`full`: also 2000 of MNIST, 10 seeds, 120 epochs).

    The learning rate of each method is chosen by held-out rows; all else is the published default. Test rows are the
    same for all seeds. Probabilities are those of the network itself.
    """
    problems: dict[str, Draw] = {"digits, 400 rows": partial(digits, 400)}
    if full:
        data_path("mnist")
        problems["MNIST, 2000 rows"] = partial(mnist, 2000, 28)
    fit = partial(fit_labels, backbone=vit_for)
    seeds = range(seed, seed + (10 if full else 5))
    plan = replace(_PLAN, epochs=120) if full else _PLAN
    return run("mixing-vit", _ABOUT, problems, WAYS, seeds, plan, out, quiet, fit=fit, rates=_RATES)
