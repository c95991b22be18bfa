"""What comparisons of gates share: the networks, how they learn, the choice of a hyper-parameter, the loop over seeds.

Every network learns from the same rows in the same order for the same number of steps, and its last weights are taken.
A gate with a hyper-parameter gets one of three values, chosen once by validation rows of seeds that are not reported
on, so that no gate has more tries than another on those that are.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labelwise.bench.harness import interval, kept
from labelwise.experts import PLE, Extraction, MLPExperts, MultiTaskMixture, SharedBottom, SingleTask
from labelwise.gates import DSelectK, Gate, GumbelSoftmax, LinearRamp, NoisyTopK, Softmax, TopK
from labelwise.progress import progress
from labelwise.runs import RunFolder

OURS = "dselect-k"
GATES = (OURS, "top-k", "noisy top-k", "softmax", "gumbel")
PER_EXAMPLE = ", per example"
_FIRST_TUNED_ON = 1_000_000  # of the seeds for choosing hyper-parameters, far from those reported on
_CHOICES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    OURS: ("entropy", (0.003, 0.01, 0.05)),
    "gumbel": ("last temperature", (0.1, 0.3, 1.0)),
}

Network = Callable[[float | None], nn.Module]
"""Makes a network, given the value of its hyper-parameter; those without one ignore it."""
Fit = Callable[[str, int, float | None], dict[str, Any]]
"""What a method reaches with a seed and a value of its hyper-parameter; `"validation"` is its error there."""


@dataclass(frozen=True)
class Budget:
    """Rows to learn from and to judge by (of validation, and as many of test), and how long is learned.

    `tuned_on`: how many seeds a hyper-parameter is chosen by.
    """

    rows: int
    judged: int
    epochs: int
    batch_size: int
    learning_rate: float
    tuned_on: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * math.ceil(self.rows / self.batch_size)


@dataclass(frozen=True)
class Parts:
    """What networks are made of; every call makes a part anew.

    `experts(n)`: n experts. `bottom(width)`: a network that gives features of that width; with `width` it is built like
    an expert. `head(width)`: what answers from such features. Gates choose `k` of `n_experts`, where they choose.
    """

    experts: Callable[[int], MLPExperts | list[nn.Module]]
    bottom: Callable[[int], nn.Module]
    head: Callable[[int], nn.Module]
    width: int
    n_experts: int = 8
    k: int = 2

    def heads(self, tasks: Sequence[str], width: int | None = None) -> dict[str, nn.Module]:
        """A head a task, for features of this width, `self.width` if None."""
        return {task: self.head(width or self.width) for task in tasks}

    def mixture(self, tasks: Sequence[str], gate: Callable[[], Gate]) -> MultiTaskMixture:
        """All experts, under a gate for each task."""
        return MultiTaskMixture(self.experts(self.n_experts), {task: gate() for task in tasks}, self.heads(tasks))


class Fits(NamedTuple):
    """What came of all fits: `chosen` hyper-parameters by method, and `runs` by method, one a seed."""

    chosen: dict[str, dict[str, Any]]
    runs: dict[str, list[dict[str, Any]]]


def networks(parts: Parts, tasks: Sequence[str], steps: int, in_features: int | None = None) -> dict[str, Network]:
    """The networks to compare, by name: mixtures under gates of every kind, and what they are compared with.

    `steps`: of the whole training, over which schedules of gates stretch. `in_features`: width of what gates per
    example see; they are static if None. (Where both are compared, names of the former end with `PER_EXAMPLE`.)
    """
    n, k, width = parts.n_experts, parts.k, parts.width

    def ours(entropy: float | None) -> nn.Module:
        strength = LinearRamp(entropy or 0.0, math.ceil(0.3 * steps))
        narrowing = LinearRamp(0.0, math.ceil(0.9 * steps), start=1.0)  # no gate ends with more than k experts
        return parts.mixture(tasks, lambda: DSelectK(n, k, in_features, narrowing, strength, "batchmean"))

    def gumbel(temperature: float | None) -> nn.Module:
        cooling = LinearRamp(temperature or 1.0, steps, start=1.0)
        return parts.mixture(tasks, lambda: GumbelSoftmax(n, in_features, cooling))

    def ple(_: float | None) -> nn.Module:
        own = {task: parts.experts(1) for task in tasks}
        return PLE([Extraction(parts.experts(n), own, in_features)], parts.heads(tasks))

    def wide(_: float | None) -> nn.Module:
        """A shared bottom with at least as many parameters as our mixture."""
        wanted, wider = size(ours(None)), width
        while size(SharedBottom(parts.bottom(wider), parts.heads(tasks, wider))) < wanted:
            wider += 1
        return SharedBottom(parts.bottom(wider), parts.heads(tasks, wider))

    return {
        OURS: ours,
        "top-k": lambda _: parts.mixture(tasks, lambda: TopK(n, k, in_features)),
        "noisy top-k": lambda _: parts.mixture(tasks, lambda: NoisyTopK(n, k, in_features)),
        "softmax": lambda _: parts.mixture(tasks, lambda: Softmax(n, in_features)),
        "gumbel": gumbel,
        "ple": ple,
        "shared bottom": lambda _: SharedBottom(parts.bottom(width), parts.heads(tasks)),
        "shared bottom, wide": wide,
        "single task": lambda _: SingleTask({task: parts.bottom(width) for task in tasks}, parts.heads(tasks)),
    }


def learn(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[list[Tensor], Tensor], Tensor],
    budget: Budget,
    generator: torch.Generator,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Train a network by Adam, and leave it in eval mode.

    `inputs` [rows, ...] and `targets` [rows, tasks]; `loss` of what the tasks' heads say and of targets is a mean over
    tasks, to which their mean penalty is added. `generator` draws the order of the rows. After each step, `watch` is
    called with the number of steps so far.
    """
    optimiser = torch.optim.Adam(model.parameters(), budget.learning_rate, fused=True)
    step = 0
    for _ in range(budget.epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(budget.batch_size):
            said = model(inputs[rows])
            outputs = list(said.outputs.values())
            total = loss(outputs, targets[rows]) + said.penalty / len(outputs)
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            step += 1
            if watch is not None:
                watch(step)
    model.eval()


def _kind(method: str) -> str:
    return method.removesuffix(PER_EXAMPLE)


def size(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def fit_all(
    title: str,
    fits: Mapping[str, Fit],
    methods: Sequence[str],
    seeds: Mapping[str, Sequence[int]],
    tuned_on: int,
    measure: str,
    settings: Mapping[str, Any],
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> dict[str, Fits]:
    """Choose hyper-parameters, then fit every method with every seed, in each of the named settings `fits`.

    `seeds`: of each setting. `tuned_on`: how many further seeds hyper-parameters are chosen by. `measure`: what error
    "validation" is, for its name. In the run folder `out`, if given, what a fit gave is kept on the way; `settings` are
    all else that figures depend on. Raises `ValueError` if `out` holds a run of other settings.
    """
    folder = RunFolder.start(out, {"comparison": title, **settings}) if out else None
    tuned = [method for method in methods if _kind(method) in _CHOICES]
    tries = tuned_on * sum(len(_CHOICES[_kind(method)][1]) for method in tuned)
    found = {}
    with progress(title, sum(tries + len(seeds[setting]) * len(methods) for setting in fits), quiet) as advance:

        def reach(setting: str, method: str, seed: int, value: float | None) -> dict[str, Any]:
            path = folder / f"{method}-{setting}-{value}-{seed}.json" if folder else None
            reached = kept(path, partial(fits[setting], method, seed, value))
            advance()
            return reached

        for setting in fits:
            fit = partial(reach, setting)
            chosen = {method: _choose(method, fit, tuned_on, measure) for method in tuned}
            values = {method: choice["value"] for method, choice in chosen.items()}
            runs = {method: [fit(method, seed, values.get(method)) for seed in seeds[setting]] for method in methods}
            found[setting] = Fits(chosen, runs)
    return found


def _choose(method: str, fit: Fit, tuned_on: int, measure: str) -> dict[str, Any]:
    """The value of a method's hyper-parameter with the lowest error on validation rows, and the error of each."""
    what, values = _CHOICES[_kind(method)]
    seeds = range(_FIRST_TUNED_ON, _FIRST_TUNED_ON + tuned_on)
    errors = {value: sum(fit(method, seed, value)["validation"] for seed in seeds) / tuned_on for value in values}
    best = min(errors, key=lambda value: errors[value])
    return {
        "what": what,
        "value": best,
        f"validation_{measure}": {str(value): error for value, error in errors.items()},
    }


def choices(found: Mapping[str, Fits], tuned_on: int) -> str:
    """How hyper-parameters were chosen, and which, in words for a title."""
    picked = "; ".join(
        f"{setting}: "
        + ", ".join(f"{each['what']} of {method} {each['value']:g}" for method, each in fits.chosen.items())
        for setting, fits in found.items()
    )
    return f"chosen by validation rows of {tuned_on} further seeds among three values each: {picked}"


def rows(
    entries: Sequence[Mapping[str, Any]],
    measure: str,
    parameters: Mapping[str, Mapping[str, int]],
    uses: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
    which: Sequence[str],
) -> list[list[Any]]:
    """Rows of a table, from the entries of `harness.compare`, and by task and method parameters and uses of experts.

    Task, method, parameters, mean and half width, how much larger it is for `OURS` and p, means of `which` uses.
    """
    made = []
    for entry in entries:
        task, method, figure = entry["task"], entry["method"], entry[measure]
        versus = figure.get("versus", {"difference": None, "p": None})
        row = [task, method, parameters[task][method], figure["mean"], figure["half_width"]]
        using = uses[task].get(method)
        row += [versus["difference"], versus["p"], *(interval(using[use])["mean"] if using else None for use in which)]
        made.append(row)
    return made
