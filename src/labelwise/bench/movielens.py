"""Which films people watched and how they rated them (MovieLens-1M): DSelect-k, other gates, and plain networks.

Every network sees the same pairs in the same order, stops by the same rule, and is taken as it was after the pass with
the lowest validation loss; for DSelect-k, a pass counts once the gates use no more than k experts, or their schedule is
over. Gates are static, or choose for each pair. One with a hyper-parameter gets one of three values, chosen by
validation rows of seeds that are not reported on; nothing else is tuned.
"""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.bench.gated_tasks import GATES, OURS, PER_EXAMPLE, Parts, choices, fit_all, networks, size
from labelwise.bench.harness import compare, interval, versions
from labelwise.bench.ratings import Drawn, draw, read_ratings
from labelwise.experts import MixtureOutput, MLPExperts
from labelwise.labels import data_path
from labelwise.methods.training import seeded
from labelwise.metrics import experts_used

TASKS = ("watched", "rating")
SHARES = (0.1, 0.5, 0.9)  # of the first task in the loss
SINGLE = "single task"
_EXPERTS, _K = 16, 2
_TUNED_ON = 2  # seeds for choosing hyper-parameters
_UNDECIDED = 0.1  # experts on average by which pairs between two choices may exceed k
_AT_ONCE = 4096  # pairs, when judging
_METHODS = (*GATES, *(kind + PER_EXAMPLE for kind in GATES), "ple", "shared bottom", SINGLE)
_MEASURES = ("loss", *TASKS)


@dataclass(frozen=True)
class Budget:
    """How much is learned from, by how large networks, and how long.

    `users`: how many are drawn, None for all. `embedding`: width of what is learned of a user, and of a film. `width`:
    of all layers. `scheduled`: passes over which the gates' schedules run. `epochs`: most passes. `patience`: passes
    without a lower validation loss before training stops.
    """

    users: int | None
    embedding: int
    width: int
    scheduled: int
    epochs: int
    patience: int
    learning_rate: float
    batch_size: int = 512


SMALL = Budget(users=250, embedding=32, width=64, scheduled=6, epochs=18, patience=3, learning_rate=1e-3)
FULL = Budget(users=None, embedding=128, width=256, scheduled=4, epochs=100, patience=25, learning_rate=5e-4)


def movielens(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Both tasks with three weights in the loss, 5 seeds; each draws 250 users (`full`: all, larger networks)."""
    ratings = read_ratings(data_path("movielens-1m"))
    return run(ratings, range(seed, seed + 5), FULL if full else SMALL, out, quiet)


def run(
    ratings: pd.DataFrame,
    seeds: Sequence[int],
    budget: Budget,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every method for each weight of the tasks with every seed; figures are kept in the run folder `out`."""
    fingerprint = hashlib.sha256(ratings.to_numpy().tobytes()).hexdigest()[:12]
    settings = {"ratings": fingerprint, **asdict(budget)}
    fits = {f"a = {share}": partial(_fit, share, ratings, budget) for share in SHARES}
    found = fit_all("movielens", fits, _METHODS, dict.fromkeys(fits, seeds), _TUNED_ON, "loss", settings, out, quiet)
    figures = {
        name: {
            method: {measure: [each[measure] for each in runs] for measure in _MEASURES}
            for method, runs in each.runs.items()
        }
        for name, each in found.items()
    }
    uses = {
        name: {
            method: {use: [each[use] for each in runs] for use in ("experts", "most")}
            for method, runs in each.runs.items()
            if "experts" in runs[0]
        }
        for name, each in found.items()
    }
    # Of the first seed; users and films, and so embeddings, may differ in number between seeds.
    parameters = {method: runs[0]["parameters"] for method, runs in found[f"a = {SHARES[0]}"].runs.items()}
    # Seeds split ratings anew, so that their figures depend on each other, at most as if all users were drawn.
    overlap = 1 / 8  # a tenth tested on over eight tenths learned from
    entries = compare(figures, OURS, overlap)
    return {
        "name": "movielens",
        "about": "Which films people watched and how they rated them (MovieLens-1M): all gates, and plain networks.",
        "data": {"source": "ml-1m/ratings.dat", "ratings": len(ratings), "fingerprint": fingerprint},
        "seeds": list(seeds),
        "budget": asdict(budget),
        "overlap": overlap,
        "chosen": {name: each.chosen for name, each in found.items()},
        "parameters": parameters,
        "figures": figures,
        "uses": uses,
        "summary": entries,
        "tables": [_table(entries, uses, parameters, choices(found, _TUNED_ON), len(seeds), budget)],
        "versions": versions(),
    }


class _Embedding(nn.Module):
    """What is learned of a user beside what is learned of a film: `[rows, 2]` to `[rows, 2 width]`."""

    def __init__(self, n_users: int, n_movies: int, width: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, width) for n in (n_users, n_movies))
        for table in self.tables.parameters():
            nn.init.uniform_(table, -0.05, 0.05)

    def forward(self, pairs: Tensor) -> Tensor:
        return torch.cat([table(one) for table, one in zip(self.tables, pairs.unbind(1), strict=True)], 1)


def _build(method: str, drawn: Drawn, budget: Budget, value: float | None, steps: int) -> nn.Module:
    """A network from pairs to a `MixtureOutput`."""
    inputs = 2 * budget.embedding

    def embedding() -> nn.Module:
        return _Embedding(drawn.n_users, drawn.n_movies, budget.embedding)

    def bottom(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, width), nn.ReLU())

    def head(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    parts = Parts(lambda n: MLPExperts(n, inputs, (), budget.width), bottom, head, budget.width, _EXPERTS, _K)
    if method == SINGLE:  # not even embeddings are shared
        apart = replace(parts, bottom=lambda width: nn.Sequential(embedding(), bottom(width)))
        return networks(apart, TASKS, steps)[SINGLE](value)
    seen = inputs if method == "ple" or method.endswith(PER_EXAMPLE) else None
    return nn.Sequential(embedding(), networks(parts, TASKS, steps, seen)[method.removesuffix(PER_EXAMPLE)](value))


def _fit(
    share: float, ratings: pd.DataFrame, budget: Budget, method: str, seed: int, value: float | None
) -> dict[str, Any]:
    """Errors of one network on test rows after its best pass, the validation loss there, its size, what gates use."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    drawn = draw(ratings, np.random.default_rng(seed), budget.users)
    mean = drawn.ratings["train"].nanmean()  # predicted are differences from it
    parts = {part: (drawn.pairs[part].to(device), (drawn.ratings[part] - mean).to(device)) for part in drawn.pairs}
    pairs, targets = parts["train"]
    order = torch.Generator().manual_seed(seed)
    best: tuple[bool, float] = (True, math.inf)  # not settled, validation loss: the lower the better
    found: dict[str, Any] = {}
    worse = 0
    with seeded(seed):
        steps = budget.scheduled * math.ceil(len(pairs) / budget.batch_size)
        model = _build(method, drawn, budget, value, steps).to(device)
        optimiser = torch.optim.Adam(model.parameters(), budget.learning_rate, fused=True)
        for epoch in range(1, budget.epochs + 1):
            model.train()
            for rows in torch.randperm(len(pairs), generator=order).to(device).split(budget.batch_size):
                said = model(pairs[rows])
                loss = _loss(_errors(said, targets[rows]), share) + said.penalty / len(TASKS)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            judged = _judge(model, *parts["validation"], share)
            if not math.isfinite(judged["loss"]):
                raise ValueError(
                    f"the validation loss of {method} is no longer a finite number; lower the learning rate"
                )
            unsettled = method.startswith(OURS) and judged["experts"] > _K + _UNDECIDED and epoch < budget.scheduled
            if (unsettled, judged["loss"]) < best:
                best, worse = (unsettled, judged["loss"]), 0
                found = {"validation": judged["loss"], **_judge(model, *parts["test"], share)}
            elif not unsettled:
                worse += 1
                if worse == budget.patience:
                    break
    return {"parameters": size(model), **found}


def _errors(said: MixtureOutput, ratings: Tensor) -> dict[str, Tensor]:
    """Mean cross-entropy of having watched over all pairs, mean squared error of the rating over those watched."""
    watched = ~ratings.isnan()
    entropy = F.binary_cross_entropy_with_logits(said.outputs["watched"].squeeze(1), watched.float())
    differences = torch.where(watched, said.outputs["rating"].squeeze(1) - ratings, 0)
    return {"watched": entropy, "rating": differences.square().sum() / watched.sum().clamp(min=1)}


def _loss(errors: Mapping[str, Tensor], share: float) -> Tensor:
    return share * errors["watched"] + (1 - share) * errors["rating"]


@torch.no_grad()
def _judge(model: nn.Module, pairs: Tensor, ratings: Tensor, share: float) -> dict[str, float]:
    """The loss, the error of each task, and, if there are gates, the mean and largest number of experts they use."""
    model.eval()
    said = [model(part) for part in pairs.split(_AT_ONCE)]
    outputs = {task: torch.cat([each.outputs[task] for each in said]) for task in TASKS}
    errors = _errors(MixtureOutput(outputs, pairs.new_zeros(()), {}), ratings)
    found = {name: error.item() for name, error in {"loss": _loss(errors, share), **errors}.items()}
    used = [experts_used(gate.weights).flatten() for each in said for gate in each.gates.values()]
    if used:
        numbers = torch.cat(used).double()
        found |= {"experts": numbers.mean().item(), "most": numbers.max().item()}
    return found


def _table(
    entries: Sequence[Mapping[str, Any]],
    uses: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    parameters: Mapping[str, int],
    chosen: str,
    n_seeds: int,
    budget: Budget,
) -> dict[str, Any]:
    rows = []
    for entry in entries:
        name, method, loss = entry["task"], entry["method"], entry["loss"]
        versus = loss.get("versus", {"difference": None, "p": None})
        row = [name, method, parameters[method], loss["mean"], loss["half_width"], versus["difference"], versus["p"]]
        row += [entry[task]["mean"] for task in TASKS]
        using = uses[name].get(method)
        rows.append(row + [interval(using[use])["mean"] if using else None for use in ("experts", "most")])
    users = "all" if budget.users is None else budget.users
    sizes = f"{users} users, embeddings of {budget.embedding}, layers of {budget.width}"
    return {
        "title": f"movielens: test loss (a times cross-entropy of watched, 1 - a times squared error of the rating), "
        f"means of {n_seeds} seeds with 95 % intervals, paired t-tests ({sizes}, at most {budget.epochs} epochs; "
        f"{chosen})",
        "columns": [
            "loss",
            "method",
            "parameters",
            "test loss",
            "±",
            f"{OURS} minus it",
            "p",
            "cross-entropy",
            "squared error",
            "experts a task",
            "most",
        ],
        "rows": rows,
    }
