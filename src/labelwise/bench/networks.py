"""Networks that comparisons of gates set side by side: mixtures under each kind of gate, PLE, and plain ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from labelwise.experts import PLE, Extraction, MLPExperts, MultiTaskMixture, SharedBottom
from labelwise.gates import DSelectK, Gate, GumbelSoftmax, LinearRamp, NoisyTopK, Softmax, TopK

OURS = "dselect-k"
_FIRST_TUNED_ON = 1_000_000  # the first of the seeds for choosing hyper-parameters, far from those reported on

_RAMP = 0.3  # share of the steps over which the entropy term rises

# Given the number of experts, k, the width of what a gate per example sees (else None), the hyper-parameter, the steps.
GATES: Mapping[str, Callable[[int, int, int | None, float | None, int], Gate]] = {
    OURS: lambda n, k, seen, entropy, steps: DSelectK(
        n, k, seen, entropy=LinearRamp(entropy or 0.0, math.ceil(_RAMP * steps)), reduction="batchmean"
    ),
    "top-k": lambda n, k, seen, value, steps: TopK(n, k, seen),
    "noisy top-k": lambda n, k, seen, value, steps: NoisyTopK(n, k, seen),
    "softmax": lambda n, k, seen, value, steps: Softmax(n, seen),
    "gumbel": lambda n, k, seen, temperature, steps: GumbelSoftmax(
        n, seen, temperature=LinearRamp(temperature or 1.0, steps, start=1.0)
    ),
}
CHOICES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    OURS: ("entropy", (0.01, 0.05, 0.25)),
    "gumbel": ("last temperature", (0.1, 0.3, 1.0)),
}
"""What is chosen by validation rows, for gates that have a hyper-parameter, and the values it may have."""


@dataclass(frozen=True)
class Networks:
    """Makes networks of one size for the same tasks, each with one output a task; all layers have the same width.

    `in_features`: width of the inputs. `layers`: of an expert, each followed by ReLU. `head_layers`: of a head, the
    last one gives the output. `n_experts` and `k`: of a mixture.
    """

    tasks: Sequence[str]
    in_features: int
    width: int
    layers: int
    head_layers: int
    n_experts: int
    k: int

    def mixture(
        self, kind: str, value: float | None = None, steps: int = 1, per_example: bool = False
    ) -> MultiTaskMixture:
        """Experts under a gate a task, of a kind in `GATES`, whose schedules end after `steps` steps."""
        seen = self.in_features if per_example else None
        experts = self.experts(self.n_experts)
        gates = {task: GATES[kind](self.n_experts, self.k, seen, value, steps) for task in self.tasks}
        return MultiTaskMixture(experts, gates, self.heads())

    def ple(self, per_example: bool = False) -> PLE:
        """As many shared experts as in a mixture, and one more for each task alone."""
        shared, own = self.experts(self.n_experts), {task: self.experts(1) for task in self.tasks}
        return PLE([Extraction(shared, own, self.in_features if per_example else None)], self.heads())

    def shared_bottom(self) -> SharedBottom:
        """One expert for all."""
        return SharedBottom(self.bottom(), self.heads())

    def experts(self, n: int) -> MLPExperts:
        """n experts."""
        return MLPExperts(n, self.in_features, [self.width] * (self.layers - 1), self.width)

    def bottom(self) -> nn.Sequential:
        """What an expert is, as a network of its own."""
        return _relu_layers(self.in_features, self.width, self.layers)

    def heads(self) -> dict[str, nn.Module]:
        """A head a task."""
        return {task: self._head() for task in self.tasks}

    def _head(self) -> nn.Sequential:
        return _relu_layers(self.width, self.width, self.head_layers - 1).append(nn.Linear(self.width, 1))


def choose(kind: str, fit: Callable[[int, float], Mapping[str, float]], n_seeds: int, measure: str) -> dict[str, Any]:
    """The value of a gate's hyper-parameter with the lowest error on validation rows, and the error of each.

    `fit(seed, value)["validation"]` is an error, called `measure`; it is averaged over seeds that are kept for this.
    """
    what, values = CHOICES[kind]
    seeds = range(_FIRST_TUNED_ON, _FIRST_TUNED_ON + n_seeds)
    errors = {value: sum(fit(seed, value)["validation"] for seed in seeds) / n_seeds for value in values}
    best = min(errors, key=lambda value: errors[value])
    return {"what": what, "value": best, f"validation_{measure}": {str(value): each for value, each in errors.items()}}


def chosen_words(chosen: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """What was chosen for each method of each task, in words for the title of a table."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{each['what']} of {method} {each['value']:g}" for method, each in methods.items())
        for name, methods in chosen.items()
    )


def size(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def _relu_layers(in_features: int, width: int, layers: int) -> nn.Sequential:
    pairs = pairwise([in_features, *[width] * layers])
    return nn.Sequential(*(layer for before, after in pairs for layer in (nn.Linear(before, after), nn.ReLU())))
