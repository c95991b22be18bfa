"""Regression tasks that come in two groups, from a generator: DSelect-k, other static gates, and plain networks.

Every network learns from the same rows in the same order for the same number of steps, and its last weights are taken.
A gate with a hyper-parameter gets one of three values, chosen once by validation rows of seeds that are not reported
on, so that no gate has more tries than another on those that are.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.bench.harness import compare, interval, kept, versions
from labelwise.bench.networks import CHOICES, GATES, OURS, Networks, choose, chosen_words, size
from labelwise.experts import MixtureOutput, MultiTaskMixture, SingleTask
from labelwise.methods.training import seeded
from labelwise.metrics import expert_recovery, experts_used
from labelwise.progress import progress

FEATURES = 10
GROUPS = 2
_EXPERTS, _K, _WIDTH = 8, 2, 8
_WAVES = 4
_NOISE = 0.1
_TUNED_ON = 4  # seeds for choosing hyper-parameters
_USES = ("experts", "most", "within", "across")


@dataclass(frozen=True)
class Budget:
    """Rows to learn from and to judge by, and how long is learned."""

    rows: int = 4000
    judged: int = 4000
    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 5e-3

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * math.ceil(self.rows / self.batch_size)


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
    """16 tasks, 10 seeds (`full`: 16, 64 and 128 tasks): test error, and which experts the gates choose."""
    return run((16, 64, 128) if full else (16,), range(seed, seed + 10), Budget(), out, quiet)


def run(
    tasks: Sequence[int],
    seeds: Sequence[int],
    budget: Budget,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every method for each number of tasks with every seed; figures are kept in the folder `out` on the way."""
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    uses: dict[str, dict[str, dict[str, list[float]]]] = {}
    parameters: dict[str, dict[str, int]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    tries = _TUNED_ON * sum(len(values) for _, values in CHOICES.values())
    with progress("dselect-k-synthetic", len(tasks) * (tries + len(seeds) * len(_BUILDERS)), quiet) as advance:

        def fit(n_tasks: int, method: str, seed: int, value: float | None = None) -> dict[str, Any]:
            path = Path(out) / f"{method}-{n_tasks}-{value}-{seed}.json" if out else None
            found = kept(path, lambda: _fit(n_tasks, method, seed, value, budget))
            advance()
            return found

        for n_tasks in tasks:
            name = f"{n_tasks} tasks"
            picked = {kind: choose(kind, partial(fit, n_tasks, kind), _TUNED_ON, "mse") for kind in CHOICES}
            found = {
                method: [fit(n_tasks, method, seed, picked.get(method, {}).get("value")) for seed in seeds]
                for method in _BUILDERS
            }
            chosen[name] = picked
            figures[name] = {method: {"mse": [each["test"] for each in runs]} for method, runs in found.items()}
            uses[name] = {
                method: {use: [each[use] for each in runs] for use in _USES}
                for method, runs in found.items()
                if runs[0]["experts"] is not None
            }
            parameters[name] = {method: runs[0]["parameters"] for method, runs in found.items()}
    entries = compare(figures, OURS)
    return {
        "name": "dselect-k-synthetic",
        "about": "Regression tasks in two groups from a generator: static gates of every kind, and plain networks.",
        "data": {"generator": "labelwise.bench.synthetic_tasks.draw", "features": FEATURES, "groups": GROUPS},
        "seeds": list(seeds),
        "budget": {
            "rows": budget.rows,
            "epochs": budget.epochs,
            "rows_a_step": budget.batch_size,
            "steps": budget.steps,
        },
        "chosen": chosen,
        "parameters": parameters,
        "figures": figures,
        "uses": uses,
        "summary": entries,
        "tables": [_table(entries, uses, parameters, chosen, len(seeds), budget)],
        "versions": versions(),
    }


def _fit(n_tasks: int, method: str, seed: int, value: float | None, budget: Budget) -> dict[str, Any]:
    """Errors of one network, means over tasks; its size; and how its gates choose, None where it has none to choose."""
    generator = torch.Generator().manual_seed(seed)
    drawn = draw(n_tasks, generator, budget.rows, budget.judged)
    inputs, targets = drawn.inputs["train"], drawn.targets["train"]
    with seeded(seed):
        model = _BUILDERS[method]([str(task) for task in range(n_tasks)], value, budget.steps)
        optimiser = torch.optim.Adam(model.parameters(), budget.learning_rate, fused=True)
        for _ in range(budget.epochs):
            for rows in torch.randperm(budget.rows, generator=generator).split(budget.batch_size):
                said = model(inputs[rows])
                loss = (_answers(said) - targets[rows]).square().mean() + said.penalty / n_tasks
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    model.eval()
    found: dict[str, Any] = {"parameters": size(model), **dict.fromkeys(_USES)}
    with torch.no_grad():
        for part in ("validation", "test"):
            said = model(drawn.inputs[part])
            found[part] = (_answers(said) - drawn.targets[part]).square().mean().item()
    if isinstance(model, MultiTaskMixture):
        weights = torch.stack([gate.weights for gate in said.gates.values()])
        used = experts_used(weights).double()
        found |= {"experts": used.mean().item(), "most": used.max().item(), **expert_recovery(weights, drawn.groups)}
    return found


def _answers(said: MixtureOutput) -> Tensor:
    return torch.cat(list(said.outputs.values()), 1)


def _networks(names: Sequence[str]) -> Networks:
    return Networks(names, FEATURES, _WIDTH, layers=2, head_layers=1, n_experts=_EXPERTS, k=_K)


class _TrueGroups(nn.Module):
    """What a gate could do that knew the groups: each has its share of the experts for itself, mixed by softmax."""

    def __init__(self, names: Sequence[str]):
        super().__init__()
        self.names = names
        groups = [replace(_networks(names[group::GROUPS]), n_experts=_EXPERTS // GROUPS) for group in range(GROUPS)]
        self.mixtures = nn.ModuleList(group.mixture("softmax") for group in groups)

    def forward(self, inputs: Tensor) -> MixtureOutput:
        said = [mixture(inputs) for mixture in self.mixtures]
        outputs = {name: said[task % GROUPS].outputs[name] for task, name in enumerate(self.names)}
        return MixtureOutput(outputs, inputs.new_zeros(()), {})


def _mixture(kind: str) -> Callable[..., nn.Module]:
    return lambda names, value, steps: _networks(names).mixture(kind, value, steps)


def _wide(names: Sequence[str], value: None, steps: int) -> nn.Module:
    """A shared bottom with at least as many parameters as our mixture."""
    networks = _networks(names)
    wanted = size(networks.mixture(OURS))
    while size(networks.shared_bottom()) < wanted:
        networks = replace(networks, width=networks.width + 1)
    return networks.shared_bottom()


def _single(names: Sequence[str], value: None, steps: int) -> nn.Module:
    networks = _networks(names)
    return SingleTask({name: networks.bottom() for name in names}, networks.heads())


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **{kind: _mixture(kind) for kind in GATES},
    "ple": lambda names, value, steps: _networks(names).ple(),
    "shared bottom": lambda names, value, steps: _networks(names).shared_bottom(),
    "shared bottom, wide": _wide,
    "single task": _single,
    "true groups": lambda names, value, steps: _TrueGroups(names),
}


def _table(
    entries: Sequence[Mapping[str, Any]],
    uses: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    parameters: Mapping[str, Mapping[str, int]],
    chosen: Mapping[str, Mapping[str, Mapping[str, Any]]],
    n_seeds: int,
    budget: Budget,
) -> dict[str, Any]:
    rows = []
    for entry in entries:
        name, method, error = entry["task"], entry["method"], entry["mse"]
        versus = error.get("versus", {"difference": None, "p": None})
        row = [name, method, parameters[name][method], error["mean"], error["half_width"]]
        row += [versus["difference"], versus["p"]]
        using = uses[name].get(method)
        rows.append(row + [interval(using[use])["mean"] if using else None for use in _USES])
    return {
        "title": f"dselect-k-synthetic: mean squared error on noise-free test rows (a perfect answer has 0), means of "
        f"{n_seeds} seeds with 95 % intervals, paired t-tests ({budget.rows} rows, {budget.epochs} epochs; chosen by "
        f"validation rows of {_TUNED_ON} further seeds among three values each: {chosen_words(chosen)})",
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
        "rows": rows,
    }
