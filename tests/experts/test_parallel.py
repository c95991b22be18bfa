import gc
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from labelwise.experts import Mixture, MLPExperts, MultiTaskMixture, ParallelExperts, keep_local
from labelwise.gates import DSelectK, Fixed, Gate, TopK

TASKS = ("a", "b")


def make(gate: str, stacked: bool = True) -> nn.Module:
    """A backbone under a mixture of five experts, the same in every process."""
    torch.manual_seed(0)
    gates: dict[str, Gate] = {
        "top-k": lambda: {task: TopK(5, 2, 4) for task in TASKS},
        "dselect-k": lambda: {"a": DSelectK(5, 2, 4, gamma=0.1, reduction="batchmean"), "b": DSelectK(5, 2)},
        "one": lambda: {task: Fixed([0.0, 1.0, 0.0, 0.0, 0.0]) for task in TASKS},
    }[gate]()
    for parameter in nn.ModuleList(gates.values()).parameters():
        nn.init.normal_(parameter, std=0.5)
    experts = MLPExperts(5, 4, 6, 4) if stacked else [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)]
    mixture = MultiTaskMixture(experts, gates, {task: nn.Linear(4, 1) for task in TASKS})
    return nn.ModuleDict({"backbone": nn.Linear(3, 4), "mixture": mixture}).double()


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    return inputs, torch.randn(2, 12, 1, dtype=torch.float64, generator=generator)


class Loss(nn.Module):
    """The loss of a model, as a module that can be wrapped."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        out = self.model["mixture"](self.model["backbone"](inputs))
        losses = {task: (out.outputs[task] - targets[i]).square().mean() for i, task in enumerate(TASKS)}
        return self.model["mixture"].joint_loss(losses) + out.penalty


def alone(gate: str, stacked: bool) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients on all rows, in one process."""
    whole = Loss(make(gate, stacked))
    loss = whole(*rows())
    loss.backward()
    # A separate expert that nobody used has no gradient.
    return loss.item(), {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in whole.named_parameters()}


def in_parallel(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for gate in ("top-k", "dselect-k", "one"):
        for stacked in (True, False):
            compare_with_one(rank, gate, stacked)
    assert len(ParallelExperts([nn.Identity()] * (rank + 1))) == 3
    with pytest.raises(ValueError, match="several processes cannot be pruned"):
        Mixture(ParallelExperts([nn.Identity()]), Fixed([0.5, 0.5])).prune()
    # A wrapped model that outlives the group takes it down while it holds Python's lock, and can wait for ever.
    gc.collect()
    dist.destroy_process_group()


def compare_with_one(rank: int, gate: str, stacked: bool) -> None:
    own = [[0, 1, 2], [3, 4]][rank]
    inputs, targets = rows()
    here = slice(0, 6) if rank == 0 else slice(6, 12)
    loss, gradients = alone(gate, stacked)
    model = make(gate, stacked)
    experts = model["mixture"].experts
    model["mixture"].experts = ParallelExperts(experts.only(own) if stacked else [experts[i] for i in own])
    part = Loss(model)
    keep_local(part)
    wrapped = DistributedDataParallel(part)
    found = wrapped(inputs[here], targets[:, here])
    found.backward()
    mean = found.detach().clone()
    dist.all_reduce(mean)
    assert mean.item() / 2 == pytest.approx(loss, rel=1e-12)
    for name, parameter in part.named_parameters():
        if ".experts.local." not in name:
            expected = gradients[name]
        elif stacked:
            expected = gradients[name.replace(".local", "")][own]
        else:
            at, rest = name.split(".local.")[1].split(".", 1)
            expected = gradients[f"{name.split('.local.')[0]}.{own[int(at)]}.{rest}"]
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=1e-10, msg=f"{gate} {stacked} {name}")


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs torch with gloo")
def test_experts_in_two_processes_give_the_loss_and_gradients_of_one(tmp_path):
    torch.multiprocessing.spawn(in_parallel, (str(tmp_path),), nprocs=2)


def test_without_a_process_group_the_remedy_is_named():
    with pytest.raises(RuntimeError, match=r"call torch\.distributed\.init_process_group first"):
        ParallelExperts([nn.Identity()])


def fit(stacked: bool, devices: int, strategy: str, folder: str) -> nn.Module:
    """A model after three steps of plain gradient descent, each process on its share of the rows."""
    import lightning.pytorch as pl  # here, as the processes of the other test do without

    class Learner(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.loss = Loss(make("top-k", stacked))

        def training_step(self, batch: Tensor) -> Tensor:
            inputs, targets = rows()
            size = len(inputs) // self.trainer.world_size
            here = slice(self.global_rank * size, (self.global_rank + 1) * size)
            return self.loss(inputs[here], targets[:, here])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

        def train_dataloader(self) -> list[Tensor]:
            return [torch.zeros(1)] * 3

    learner = Learner()
    options = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        max_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(learner)
    return learner


def in_lightning(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    for stacked in (True, False):
        # Which separate experts get a gradient depends on a process's rows.
        strategy = "ddp" if stacked else "ddp_find_unused_parameters_true"
        learner = fit(stacked, 2, strategy, folder)
        torch.save(learner.state_dict(), Path(folder) / f"{rank}-{stacked}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs torch with gloo")
def test_lightning_trains_in_two_processes_as_in_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(in_lightning, (str(tmp_path), port), nprocs=2)
    for stacked in (True, False):
        expected = fit(stacked, 1, "auto", str(tmp_path)).state_dict()
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{rank}-{stacked}", weights_only=True)
            torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)
