"""What k, gamma and the entropy term of DSelect-k do, and what goes wrong at both ends of each.

Tasks and networks are those of `synthetic_tasks`. One setting is changed at a time; the others are those of `Setting`.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelwise.bench.gated_tasks import Budget, learn
from labelwise.bench.harness import interval, kept, paired, versions
from labelwise.bench.synthetic_tasks import BUDGET, FEATURES, GROUPS, PARTS, draw, mse
from labelwise.experts import MultiTaskMixture
from labelwise.gates import DSelectK, LinearRamp, ask
from labelwise.methods.training import seeded
from labelwise.metrics import experts_used
from labelwise.progress import progress
from labelwise.runs import short_hash

_TASKS = 16
_EARLY = 10  # steps after which `health` can still tell a gate that died from one that has learned
_SURE = 1 - 1e-5  # weight of an expert from which a selector counts as settled on it
_MEASURES = ("mse", "used", "settled", "over", "early", "late")


@dataclass(frozen=True)
class Setting:
    """A way to set the gates of all tasks.

    `entropy` is the strength of the entropy term once it has risen, evenly over the share `ramp` of training. With
    `falls`, gamma falls to 0 over that share. `permute`: each selector learns over `ramp` which expert a number stands
    for. `blind`: digits are settled at random before training, and stay so.
    """

    k: int = 2
    gamma: float = 1.0
    entropy: float = 0.05
    ramp: float = 0.3
    falls: float | None = None
    permute: bool = False
    blind: bool = False

    def gate(self, steps: int) -> DSelectK:
        """A gate set so, for a training of `steps` steps."""
        gamma = LinearRamp(0.0, math.ceil(self.falls * steps), start=self.gamma) if self.falls else self.gamma
        ramp = max(1, math.ceil(self.ramp * steps))
        entropy = LinearRamp(self.entropy, ramp)
        gate = DSelectK(PARTS.n_experts, self.k, None, gamma, entropy, permute=self.permute, permute_steps=ramp)
        if self.blind:
            gate.z_logits.data.sign_().mul_(self.gamma)
        return gate


USUAL = Setting()
BLIND = "settled at random before training"
SWEEPS: Mapping[str, Mapping[str, Setting]] = {
    "gamma": {f"{gamma:g}": Setting(gamma=gamma) for gamma in (0.001, 0.01, 0.1, 1.0, 5.0, 10.0)},
    "entropy": {f"{entropy:g}": Setting(entropy=entropy) for entropy in (0.0, 0.001, 0.01, 0.05, 0.25, 1.0, 5.0)},
    "k": {f"{k}": Setting(k=k) for k in (1, 2, 4, 8)} | {f"{k} permuted": Setting(k=k, permute=True) for k in (2, 4)},
    "schedule": {
        "entropy rises": USUAL,
        "entropy at once": Setting(ramp=0.0),
        "no entropy": Setting(entropy=0.0),
        "no entropy, gamma falls until half-way": Setting(entropy=0.0, falls=0.5),
        "no entropy, gamma falls until the end": Setting(entropy=0.0, falls=1.0),
        "entropy rises, gamma falls until the end": Setting(falls=1.0),
        BLIND: Setting(blind=True),
    },
}


def gate_settings(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """16 tasks, 8 seeds, 30 epochs (`full`: 20 seeds, 60 epochs): test error, and whether and when gates settle."""
    seeds = range(seed, seed + (20 if full else 8))
    return run(SWEEPS, seeds, replace(BUDGET, epochs=60 if full else 30), out, quiet)


def run(
    sweeps: Mapping[str, Mapping[str, Setting]],
    seeds: Sequence[int],
    budget: Budget,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit every setting once with every seed; figures are kept in the folder `out` on the way."""
    settings = {setting: None for sweep in sweeps.values() for setting in sweep.values()} | {USUAL: None}
    fits: dict[Setting, list[dict[str, Any]]] = {}
    with progress("gate-settings", len(settings) * len(seeds), quiet) as advance:
        for setting in settings:
            fits[setting] = []
            for seed in seeds:
                file = Path(out) / f"{short_hash(setting, seed, budget)}.json" if out else None
                fits[setting].append(kept(file, partial(_fit, setting, seed, budget)))
                advance()
    figures = {
        sweep: {
            value: {measure: [fit[measure] for fit in fits[setting]] for measure in _MEASURES}
            for value, setting in values.items()
        }
        for sweep, values in sweeps.items()
    }
    traces = {
        sweep: {
            value: torch.tensor([fit["trace"] for fit in fits[setting]]).mean(0).tolist()
            for value, setting in values.items()
        }
        for sweep, values in sweeps.items()
    }
    usual = [fit["mse"] for fit in fits[USUAL]]
    return {
        "name": "gate-settings",
        "about": "What k, gamma and the entropy term of DSelect-k do, and what goes wrong at both ends of each.",
        "data": {"generator": "labelwise.bench.synthetic_tasks.draw", "features": FEATURES, "groups": GROUPS},
        "seeds": list(seeds),
        "budget": {
            "rows": budget.rows,
            "epochs": budget.epochs,
            "rows_a_step": budget.batch_size,
            "steps": budget.steps,
            "learning_rate": budget.learning_rate,
        },
        "usual": asdict(USUAL),
        "figures": figures,
        "traces": traces,
        "tables": [_table(sweep, values, usual, budget) for sweep, values in figures.items()],
        "versions": versions(),
    }


def _fit(setting: Setting, seed: int, budget: Budget) -> dict[str, Any]:
    """What became of one network.

    `mse` on the test rows; `used`, experts that a task uses; `settled`, share of gates all of whose selectors have
    settled; `over`, share of gates that use more than k; `early` and `late`, share of gates that `health` finds a
    fault with after ten steps, and at the end; `trace`, experts that a task uses before training and after each epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = draw(_TASKS, generator, budget.rows, budget.judged)
    with seeded(seed):
        model = PARTS.mixture([str(task) for task in range(_TASKS)], lambda: setting.gate(budget.steps))
        trace, early = [_used(model).mean().item()], 0.0

        def watch(step: int) -> None:
            nonlocal early
            if step == _EARLY:
                early = _faulty(model)
            if step * budget.epochs % budget.steps == 0:
                trace.append(_used(model).mean().item())

        learn(model, drawn.inputs["train"], drawn.targets["train"], mse, budget, generator, watch)
    with torch.no_grad():
        said = model(drawn.inputs["test"])
    selectors = torch.stack([gate.selectors for gate in said.gates.values() if gate.selectors is not None])
    return {
        "mse": mse(list(said.outputs.values()), drawn.targets["test"]).item(),
        "used": trace[-1],
        "settled": (selectors.amax(-1) >= _SURE).all(-1).double().mean().item(),
        "over": (_used(model) > setting.k).double().mean().item(),
        "early": early,
        "late": _faulty(model),
        "trace": trace,
    }


@torch.no_grad()
def _used(model: MultiTaskMixture) -> Tensor:
    """How many experts each task uses now, [tasks]."""
    said = ask(dict(model.eval().gates.items()))
    model.train()
    return experts_used(torch.stack([gate.weights for gate in said.values()])).double()


def _faulty(model: MultiTaskMixture) -> float:
    gates = [gate for _, gate in model.gates.items() if isinstance(gate, DSelectK)]
    return sum(bool(gate.health()) for gate in gates) / len(gates)


def _table(
    sweep: str, values: Mapping[str, Mapping[str, Any]], usual: Sequence[float], budget: Budget
) -> dict[str, Any]:
    rows = []
    for value, measured in values.items():
        error, versus = interval(measured["mse"]), paired(measured["mse"], usual)
        shares = [interval(measured[name])["mean"] for name in _MEASURES[1:]]
        rows.append([value, error["mean"], error["half_width"], versus["difference"], versus["p"], *shares])
    return {
        "title": f"gate-settings, {sweep}: mean squared error on noise-free test rows, means of {len(usual)} seeds "
        f"with 95 % intervals, paired t-tests against k {USUAL.k}, gamma {USUAL.gamma:g}, entropy {USUAL.entropy:g} "
        f"({budget.rows} rows, {budget.epochs} epochs of {budget.steps // budget.epochs} steps, learning rate "
        f"{budget.learning_rate:g}); shares of gates that have settled, that use more than k experts, and that "
        f"health() finds a fault with after {_EARLY} steps and at the end",
        "columns": [
            sweep,
            "test MSE",
            "±",
            "minus usual",
            "p",
            "experts a task",
            "settled",
            "more than k",
            f"faulty after {_EARLY} steps",
            "at the end",
        ],
        "rows": rows,
    }
