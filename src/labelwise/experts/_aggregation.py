"""Making one gradient of the gradients of several tasks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.experts._balance import Balance, DynamicWeightAverage, GradNorm, Uncertainty, Weighted, jacobian

# Name of the class in `torchjd.aggregation`, and its arguments given the number of tasks.
AGGREGATORS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "aligned-mtl": ("AlignedMTL", lambda tasks: {}),
    "cagrad": ("CAGrad", lambda tasks: {"c": 0.5}),
    "config": ("ConFIG", lambda tasks: {}),
    "dualproj": ("DualProj", lambda tasks: {}),
    "graddrop": ("GradDrop", lambda tasks: {}),
    "gradvac": ("GradVac", lambda tasks: {}),
    "imtl-g": ("IMTLG", lambda tasks: {}),
    "mgda": ("MGDA", lambda tasks: {}),
    "nash-mtl": ("NashMTL", lambda tasks: {"n_tasks": tasks}),
    "pcgrad": ("PCGrad", lambda tasks: {}),
    "upgrad": ("UPGrad", lambda tasks: {}),
}
BALANCES: dict[str, type[Balance]] = {
    "dynamic-weight-average": DynamicWeightAverage,
    "equal": Weighted,
    "gradnorm": GradNorm,
    "uncertainty": Uncertainty,
}


class Aggregation(Balance):
    """Makes one gradient of the tasks' gradients, where they conflict, for the parameters that they share.

    The scalar that is returned has the value of the sum of losses. Back-propagating it gives shared parameters the
    aggregated gradient, and all others that of the sum. It costs a backward pass a task through the shared part, and
    one gradient of the shared parameters a task in memory. Under data-parallel training, each process aggregates the
    gradients of its own examples.

    Args:
        tasks: names of the tasks.
        aggregator: name of one, see `AGGREGATORS`; or a function from the tasks' gradients `[tasks, size]` to one
            `[size]`, such as any aggregator of `torchjd.aggregation`.

    Raises `ValueError` for an unknown name, `ImportError` if a package that the aggregator needs is not installed.
    """

    def __init__(self, tasks: Iterable[str], aggregator: str | Callable[[Tensor], Tensor]):
        super().__init__(tasks)
        self.aggregator = aggregator if callable(aggregator) else _aggregator(aggregator, len(self.tasks))

    def _one(self, losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        joint = losses.sum()
        if not (self.training and torch.is_grad_enabled()):
            return joint
        shared = [parameter for parameter in shared if parameter.requires_grad]
        gradients = jacobian(losses, shared)
        if not gradients.any():  # some aggregators fail at that
            return joint
        # The sum of losses gives the sum of gradients; a linear term of value 0 adds what is missing.
        missing = (self.aggregator(gradients) - gradients.sum(0)).split([parameter.numel() for parameter in shared])
        for parameter, part in zip(shared, missing, strict=True):
            linear = (part.view_as(parameter) * parameter).sum()
            joint = joint + (linear - linear.detach())
        return joint


def make_balance(balance: str | Mapping[str, float] | Balance, tasks: Iterable[str]) -> Balance:
    """A balance by its name, by given weights of tasks, or as it is.

    Raises `ValueError` for an unknown name, and for weights of other tasks.
    """
    if isinstance(balance, Balance):
        return balance
    if isinstance(balance, Mapping):
        return Weighted(tasks, balance)
    if balance in BALANCES:
        return BALANCES[balance](tasks)
    if balance in AGGREGATORS:
        return Aggregation(tasks, balance)
    raise ValueError(f"unknown balance {balance!r}; choose from {', '.join(sorted([*BALANCES, *AGGREGATORS]))}")


def _aggregator(name: str, tasks: int) -> Callable[[Tensor], Tensor]:
    if name not in AGGREGATORS:
        raise ValueError(f"unknown aggregator {name!r}; choose from {', '.join(AGGREGATORS)}")
    class_name, arguments = AGGREGATORS[name]
    try:
        from torchjd import aggregation

        return getattr(aggregation, class_name)(**arguments(tasks))
    except ImportError as error:
        raise ImportError(
            f"{name!r} needs the package torchjd: pip install 'labelwise[aggregation]' ({error})"
        ) from error
