"""Experts that live in several processes, each running its own for the rows of all."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from labelwise.experts._mlp import MLPExperts
from labelwise.experts._run import local_bank, run_each


class ParallelExperts(nn.Module):
    """The experts of all processes of a group, of which each process holds its own.

    Give it to `Mixture` or `MultiTaskMixture` in place of experts. Each process brings a part of the batch and the
    same gates; rows travel to the processes whose experts they need, and outputs back. All processes must go forward
    and backward together.

    The gradients of experts are those of the mean of the processes' losses, as `DistributedDataParallel` makes the
    gradients of everything else; it must leave the experts alone, see `keep_local`.

    Args:
        local: this process's experts; any number, which may differ between processes. Experts are numbered through
            the processes in order of rank. All outputs must have equal shape.
        group: process group; the default one if None, which must have been set up.

    Raises `RuntimeError` if there is no process group.
    """

    def __init__(self, local: MLPExperts | Iterable[nn.Module], group: dist.ProcessGroup | None = None):
        super().__init__()
        if not dist.is_initialized():
            raise RuntimeError("there is no process group; call torch.distributed.init_process_group first")
        self.local = local_bank(local)
        self.group = group
        sizes: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(sizes, len(self.local), group)
        self.sizes = cast(list[int], sizes)  # number of experts of each process

    def __len__(self) -> int:
        return sum(self.sizes)

    def forward(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """What experts say of their rows, in the same order.

        Args:
            rows: rows of this process's batch, those of the first expert first: `[sum(counts), ...]`.
            counts: number of rows of each expert of all processes.
        """
        processes, here = len(self.sizes), len(self.local)
        ends = list(accumulate(self.sizes, initial=0))
        sent = [sum(counts[start:end]) for start, end in pairwise(ends)]
        # How many rows each process brings to each of our experts.
        brought = torch.empty(processes * here, dtype=torch.int64, device=rows.device)
        asked = torch.tensor(counts, device=rows.device)
        dist.all_to_all_single(brought, asked, [here] * processes, self.sizes, group=self.group)
        received = cast(list[int], brought.view(processes, here).sum(1).tolist())
        ours = cast(list[int], brought.view(processes, here).sum(0).tolist())
        # They arrive by process, then expert; put together what is for the same expert.
        expert = torch.arange(here, device=rows.device).repeat(processes).repeat_interleave(brought)
        order = expert.argsort(stable=True)
        arrived = _exchange(rows, sent, received, self.group).index_select(0, order)
        arrived = cast(Tensor, _ScaleGradient.apply(arrived, processes))
        said = run_each(self.local, arrived, expert.index_select(0, order), ours)
        said = _ScaleGradient.apply(said, 1 / processes).index_select(0, order.argsort())
        return _exchange(said, received, sent, self.group)

    def extra_repr(self) -> str:
        """What `print` shows of the experts."""
        return f"experts of each process: {self.sizes}"


def keep_local(model: nn.Module) -> None:
    """Make `DistributedDataParallel` leave alone the experts that processes hold for themselves.

    Call it on the module that will be wrapped (in Lightning, the `LightningModule`) before it is.
    """
    names = [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        if isinstance(module, ParallelExperts)
        for name in module.state_dict()
    ]
    nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


class _Exchange(torch.autograd.Function):
    """All-to-all of rows; backward sends the gradients where the rows came from."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, sent: list[int], received: list[int], group: dist.ProcessGroup | None
    ) -> Tensor:
        ctx.settings = sent, received, group
        arrived = rows.new_empty(sum(received), *rows.shape[1:])
        dist.all_to_all_single(arrived, rows.contiguous(), received, sent, group=group)
        return arrived

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        sent, received, group = ctx.settings
        returned = gradient.new_empty(sum(sent), *gradient.shape[1:])
        dist.all_to_all_single(returned, gradient.contiguous(), sent, received, group=group)
        return returned, None, None, None


def _exchange(rows: Tensor, sent: list[int], received: list[int], group: dist.ProcessGroup | None) -> Tensor:
    return cast(Tensor, _Exchange.apply(rows, sent, received, group))


class _ScaleGradient(torch.autograd.Function):
    """The same values, with gradients times a factor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
