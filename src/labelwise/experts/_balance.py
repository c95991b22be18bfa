"""Making one loss of the losses of several tasks."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

TINY = 1e-12  # below any loss or gradient norm that means something; keeps ratios finite


class Balance(nn.Module):
    """Makes one scalar of the losses of tasks: back-propagate it, and training is balanced between them.

    Balances may learn, and count calls in training mode; in eval mode they change nothing. Give their parameters, if
    any, to the optimiser with those of the network, without weight decay.

    Args:
        tasks: names of the tasks, at least one.

    Raises `ValueError` if there is no task, or at a call if the losses are not those of the tasks, one scalar each.
    """

    def __init__(self, tasks: Iterable[str]):
        super().__init__()
        self.tasks = tuple(tasks)
        if not self.tasks:
            raise ValueError("tasks must name at least one task; got none")

    def forward(self, losses: Mapping[str, Tensor], shared: Iterable[nn.Parameter] = ()) -> Tensor:
        """The scalar to back-propagate.

        Args:
            losses: a scalar a task.
            shared: parameters that tasks share, for balances that look at their gradients.
        """
        if set(losses) != set(self.tasks) or any(loss.ndim for loss in losses.values()):
            shapes = {task: list(loss.shape) for task, loss in losses.items()}
            raise ValueError(f"losses must be one scalar for each of the tasks {sorted(self.tasks)}; got {shapes}")
        return self._one(torch.stack([losses[task] for task in self.tasks]), list(shared))

    def _one(self, losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        """The scalar, from losses `[tasks]`."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """What `print` shows of the balance."""
        return f"tasks={list(self.tasks)}"


class Weighted(Balance):
    """The sum of the losses with given weights, all 1 unless given.

    Raises `ValueError` if the weights are of other tasks.
    """

    weights: Tensor

    def __init__(self, tasks: Iterable[str], weights: Mapping[str, float] | None = None):
        super().__init__(tasks)
        if weights is not None and set(weights) != set(self.tasks):
            raise ValueError(f"weights must be given for the tasks {sorted(self.tasks)}; got {sorted(weights)}")
        values = torch.tensor([1.0 if weights is None else weights[task] for task in self.tasks])
        self.register_buffer("weights", values, persistent=False)

    def _one(self, losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        return (self.weights * losses).sum()


class Uncertainty(Balance):
    """Learns how noisy each task is, and weighs it down accordingly.

    The sum over tasks of `exp(-s) loss + s / 2`, with `s` the learned logarithm of the noise variance, which starts at
    0; tasks of `regression` (squared errors) have `exp(-s) loss / 2` instead.

    Raises `ValueError` if `regression` names other tasks.

    Source: Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics"
    (2018), eqs. 7 and 10.
    """

    scales: Tensor

    def __init__(self, tasks: Iterable[str], regression: Collection[str] = ()):
        super().__init__(tasks)
        if not set(regression) <= set(self.tasks):
            raise ValueError(f"regression must name some of the tasks {sorted(self.tasks)}; got {sorted(regression)}")
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))
        scales = torch.tensor([0.5 if task in regression else 1.0 for task in self.tasks])
        self.register_buffer("scales", scales, persistent=False)

    def _one(self, losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        return (self.scales * torch.exp(-self.log_variances) * losses + self.log_variances / 2).sum()


class DynamicWeightAverage(Balance):
    """Gives more weight to tasks whose loss falls more slowly.

    Over spans of `steps` calls in training mode, losses are averaged; the weights are the number of tasks times
    softmax(ratio / temperature), with the ratio of the averages of the last two spans. They are 1 in the first two.

    Args:
        tasks: names of the tasks, whose losses must be above 0.
        steps: calls in a span, >= 1; as published, the batches of an epoch.
        temperature: > 0; large values give nearly equal weights.

    Raises `ValueError` for arguments out of range.

    Source: Liu et al., "End-to-End Multi-Task Learning with Attention" (2019), eq. 7.
    """

    weights: Tensor
    sums: Tensor
    before: Tensor
    step: Tensor

    def __init__(self, tasks: Iterable[str], steps: int = 100, temperature: float = 2.0):
        super().__init__(tasks)
        if steps < 1:
            raise ValueError(f"steps must be at least 1; got {steps}")
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0; got {temperature}")
        self.steps = steps
        self.temperature = temperature
        self.register_buffer("weights", torch.ones(len(self.tasks)))
        self.register_buffer("sums", torch.zeros(len(self.tasks)))  # of losses in this span
        self.register_buffer("before", torch.zeros(len(self.tasks)))  # and in the span before
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def _one(self, losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        joint = (self.weights * losses).sum()
        if self.training:
            self.step += 1
            self.sums += losses.detach()
            if self.step % self.steps == 0:
                if self.step > self.steps:
                    ratios = self.sums / self.before.clamp(min=TINY)
                    self.weights = len(self.tasks) * torch.softmax(ratios / self.temperature, 0)
                self.before, self.sums = self.sums, torch.zeros_like(self.sums)
        return joint


class GradNorm(Balance):
    """Learns weights with which all tasks pull about equally hard at the shared parameters, slow learners harder.

    The norms of the weighted losses' gradients are drawn towards their mean times `rate ** alpha`, where `rate` is the
    task's loss relative to its first, over the mean of that ratio over tasks. The scalar that is returned has the value
    of the weighted sum of losses, but back-propagating it also gives the weights the gradient of the distance of the
    norms to their goals. The weights, kept above 0.001 and with the number of tasks as their sum, are a parameter and
    learn with the optimiser's rate.

    Args:
        tasks: names of the tasks, whose losses must be above 0.
        alpha: >= 0; how much harder slow learners are to pull.

    Raises `ValueError` if `alpha` is below 0, or at a call without shared parameters.

    Source: Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks"
    (2018), eqs. 1 and 2.
    """

    first: Tensor

    def __init__(self, tasks: Iterable[str], alpha: float = 1.5):
        super().__init__(tasks)
        if not alpha >= 0:
            raise ValueError(f"alpha must be at least 0; got {alpha}")
        self.alpha = alpha
        self.weights = nn.Parameter(torch.ones(len(self.tasks)))
        self.register_buffer("first", torch.zeros(len(self.tasks)))  # losses at the first call; 0 before it

    def _one(self, losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return (self.weights.detach() * losses).sum()
        with torch.no_grad():
            self.weights.clamp_(min=1e-3).mul_(len(self.tasks) / self.weights.sum())
            if not self.first.any():
                self.first.copy_(losses)
            rates = losses / self.first.clamp(min=TINY)
            rates /= rates.mean().clamp(min=TINY)
        norms = jacobian(losses, shared).norm(dim=1).to(self.weights.dtype)
        pulls = self.weights * norms
        distance = (pulls - pulls.detach().mean() * rates**self.alpha).abs().sum()
        return (self.weights.detach() * losses).sum() + distance - distance.detach()


def jacobian(losses: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
    """Gradients of losses `[tasks]` with respect to the shared parameters, flat and side by side: `[tasks, size]`.

    Raises `ValueError` if no parameter learns. The graph is kept, so that the losses can be back-propagated afterwards.
    """
    shared = [parameter for parameter in shared if parameter.requires_grad]
    if not shared:
        raise ValueError("this balance looks at gradients; give it the parameters that tasks share, as `shared`")
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([gradient.flatten() for gradient in found]))
    return torch.stack(rows)
