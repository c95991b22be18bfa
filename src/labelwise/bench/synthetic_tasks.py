"""Regression tasks that come in two groups, from a generator: DSelect-k, other static gates, and plain networks.

How networks learn, and how hyper-parameters are chosen, is said in `gated_tasks`.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.bench.gated_tasks import OURS, Budget, Network, Parts, choices, fit_all, learn, networks, rows, size
from labelwise.bench.harness import compare, versions
from labelwise.experts import MixtureOutput, MLPExperts, MultiTaskMixture
from labelwise.gates import Softmax
from labelwise.methods.training import seeded
from labelwise.metrics import expert_recovery, experts_used

FEATURES = 10
GROUPS = 2
BUDGET = Budget(rows=4000, judged=4000, epochs=60, batch_size=256, learning_rate=5e-3, tuned_on=4)
_WIDTH = 8
_WAVES = 4
_NOISE = 0.1
_USES = ("experts", "most", "within", "across")


@dataclass(frozen=True)
class Drawn:
    """Tasks from the generator, with inputs `[rows, 10]` and targets `[rows, tasks]` of each part.

    Parts are "train", "validation" and "test"; only targets of "train" have noise. `directions` `[tasks, 10]` are what
    the targets look at, `phases` `[groups, 4]` those of their waves, `groups` `[tasks]` the true groups.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    directions: Tensor
    phases: Tensor
    groups: Tensor


def draw(n_tasks: int, generator: torch.Generator, rows: int = 4000, judged: int = 4000, rho: float = 0.9) -> Drawn:
    """Draw regression tasks in two groups, the tasks of a group looking at nearly the same direction of the input.

    With orthonormal u a group and a unit vector v a task that is orthogonal to them, a task's direction is
    w = rho u + sqrt(1 - rho^2) v, and its target, for h = 1.5 w.x, is h plus the sum over i = 1..4 of
    sin(0.8 i h + b_i), where the phases b_i belong to the group. Targets are divided by their deviation over the
    training rows.

    Args:
        n_tasks: task t is of group t mod 2.
        generator: source of all that is random.
        rows: training rows.
        judged: validation rows, and as many test rows.
        rho: in [0, 1]; the cosine of two directions of a group is at least 2 rho^2 - 1, on average rho^2.

    Source: in the spirit of Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts" (2018), section 3.2.
    """
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    groups = torch.arange(n_tasks) % GROUPS
    shared = torch.linalg.qr(normal(FEATURES, GROUPS))[0].T
    own = normal(n_tasks, FEATURES)
    own = own - own @ shared.T @ shared
    directions = rho * shared[groups] + math.sqrt(1 - rho**2) * own / own.norm(dim=1, keepdim=True)
    phases = 2 * math.pi * torch.rand(GROUPS, _WAVES, generator=generator, dtype=torch.float64)
    sizes = {"train": rows, "validation": judged, "test": judged}
    inputs = {part: normal(size, FEATURES) for part, size in sizes.items()}
    targets = {}
    for part, given in inputs.items():
        h = 1.5 * given @ directions.T
        waves = [torch.sin(0.8 * (i + 1) * h + phases[groups, i]) for i in range(_WAVES)]
        targets[part] = h + torch.stack(waves).sum(0)
    scale = targets["train"].std(0)
    targets = {part: given / scale for part, given in targets.items()}
    targets["train"] = targets["train"] + _NOISE * normal(rows, n_tasks)
    return Drawn(
        {part: given.float() for part, given in inputs.items()},
        {part: given.float() for part, given in targets.items()},
        directions,
        phases,
        groups,
    )


def synthetic(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """16 tasks, 20 seeds (`full`: 64 and 128 tasks too, 5 seeds each): test error, and which experts gates choose."""
    seeds = {16: 20, 64: 5, 128: 5} if full else {16: 20}
    return run({tasks: range(seed, seed + number) for tasks, number in seeds.items()}, BUDGET, out, quiet)


def run(
    seeds: Mapping[int, Sequence[int]],
    budget: Budget,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every method for each number of tasks with its seeds; figures are kept in the folder `out` on the way."""
    settings = {f"{n_tasks} tasks": partial(_fit, n_tasks, budget=budget) for n_tasks in seeds}
    by_setting = dict(zip(settings, seeds.values(), strict=True))
    methods = list(_networks((), 1))
    found = fit_all(
        "dselect-k-synthetic", settings, methods, by_setting, budget.tuned_on, "mse", asdict(budget), out, quiet
    )
    figures = {
        name: {method: {"mse": [each["test"] for each in runs]} for method, runs in fits.runs.items()}
        for name, fits in found.items()
    }
    uses = {
        name: {
            method: {use: [each[use] for each in runs] for use in _USES}
            for method, runs in fits.runs.items()
            if runs[0]["experts"] is not None
        }
        for name, fits in found.items()
    }
    parameters = {
        name: {method: runs[0]["parameters"] for method, runs in fits.runs.items()} for name, fits in found.items()
    }
    entries = compare(figures, OURS)
    numbers = ", ".join(f"{name}: {len(those)}" for name, those in by_setting.items())
    table = {
        "title": f"dselect-k-synthetic: mean squared error on noise-free test rows (a perfect answer has 0), means "
        f"over seeds ({numbers}) with 95 % intervals, paired t-tests ({budget.rows} rows, {budget.epochs} epochs; "
        f"{choices(found, budget.tuned_on)})",
        "columns": [
            "tasks",
            "method",
            "parameters",
            "test MSE",
            "±",
            f"{OURS} minus it",
            "p",
            "experts a task",
            "most",
            "Jaccard within groups",
            "across",
        ],
        "rows": rows(entries, "mse", parameters, uses, _USES),
    }
    return {
        "name": "dselect-k-synthetic",
        "about": "Regression tasks in two groups from a generator: static gates of every kind, and plain networks.",
        "data": {"generator": "labelwise.bench.synthetic_tasks.draw", "features": FEATURES, "groups": GROUPS},
        "seeds": {name: list(those) for name, those in by_setting.items()},
        "budget": {
            "rows": budget.rows,
            "epochs": budget.epochs,
            "rows_a_step": budget.batch_size,
            "steps": budget.steps,
        },
        "chosen": {name: fits.chosen for name, fits in found.items()},
        "parameters": parameters,
        "figures": figures,
        "uses": uses,
        "summary": entries,
        "tables": [table],
        "versions": versions(),
    }


def _fit(n_tasks: int, method: str, seed: int, value: float | None, budget: Budget) -> dict[str, Any]:
    """Errors of one network, means over tasks; its size; and how its gates choose, None where it has none to choose."""
    generator = torch.Generator().manual_seed(seed)
    drawn = draw(n_tasks, generator, budget.rows, budget.judged)
    with seeded(seed):
        model = _networks([str(task) for task in range(n_tasks)], budget.steps)[method](value)
        learn(model, drawn.inputs["train"], drawn.targets["train"], mse, budget, generator)
    found: dict[str, Any] = {"parameters": size(model), **dict.fromkeys(_USES)}
    with torch.no_grad():
        for part in ("validation", "test"):
            said = model(drawn.inputs[part])
            found[part] = mse(list(said.outputs.values()), drawn.targets[part]).item()
    if isinstance(model, MultiTaskMixture):
        weights = torch.stack([gate.weights for gate in said.gates.values()])
        used = experts_used(weights).double()
        found |= {"experts": used.mean().item(), "most": used.max().item(), **expert_recovery(weights, drawn.groups)}
    return found


def mse(outputs: list[Tensor], targets: Tensor) -> Tensor:
    """Mean squared error over rows and tasks, of outputs [rows, 1] by task and targets [rows, tasks]."""
    return (torch.cat(outputs, 1) - targets).square().mean()


def _experts(n: int) -> MLPExperts:
    return MLPExperts(n, FEATURES, _WIDTH, _WIDTH)


def _bottom(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


PARTS = Parts(_experts, _bottom, lambda width: nn.Linear(width, 1), _WIDTH)


def _networks(names: Sequence[str], steps: int) -> dict[str, Network]:
    return networks(PARTS, names, steps) | {"true groups": lambda _: _TrueGroups(names)}


class _TrueGroups(nn.Module):
    """What a gate could do that knew the groups: each has its share of the experts for itself, mixed by softmax."""

    def __init__(self, names: Sequence[str]):
        super().__init__()
        parts = replace(PARTS, n_experts=PARTS.n_experts // GROUPS)
        self.names = names
        self.mixtures = nn.ModuleList(
            parts.mixture(names[group::GROUPS], lambda: Softmax(parts.n_experts)) for group in range(GROUPS)
        )

    def forward(self, inputs: Tensor) -> MixtureOutput:
        said = [mixture(inputs) for mixture in self.mixtures]
        outputs = {name: said[task % GROUPS].outputs[name] for task, name in enumerate(self.names)}
        return MixtureOutput(outputs, inputs.new_zeros(()), {})
