"""Ways to compute one mixture of experts, all with the same experts under the same gates, and so with equal outputs.

LibMTL's class `DSelect_k` is loaded as it is but for one cast: on NumPy >= 2 it would turn all binary codes into ones.
"""

import importlib
import os
import sys
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.experts import MixtureOutput, MLPExperts, MultiTaskMixture
from labelwise.gates import DSelectK, ask

LIBMTL = "LABELWISE_LIBMTL"
OURS, DENSE, GROUPED, LOOP, THEIRS = "sparse", "dense", "grouped", "plain loop", "LibMTL"
_CAST = (".astype(bool)", ".astype(int).astype(bool)")
_SETTLED = 1e3  # deviation of digits' logits, beside gamma = 1


@dataclass(frozen=True)
class Case:
    """A mixture to time: `tasks` gates that choose k of n two-layer experts of one width for each of `batch` rows."""

    tasks: int
    n: int
    k: int
    width: int
    batch: int = 512


def load_libmtl(checkout: str | os.PathLike[str]) -> Any:
    """The class `DSelect_k` of a checkout of LibMTL, with its cast of binary codes mended.

    Neither the package nor what else it needs has to be installed. Raises `ValueError` if the folder is no checkout, or
    has no such cast.
    """
    folder = Path(checkout) / "LibMTL" / "architecture"
    file = folder / "DSelect_k.py"
    if not file.exists():
        raise ValueError(f"{LIBMTL} names {checkout}, which is no checkout of LibMTL: there is no {file}")
    source = file.read_text(encoding="utf-8")
    if source.count(_CAST[0]) != 1:
        raise ValueError(f"{file}: expected one {_CAST[0]}, to be mended for NumPy >= 2; use another commit")
    before = dict(sys.modules)
    try:
        for name, path in (("LibMTL", folder.parent), ("LibMTL.architecture", folder)):
            package = types.ModuleType(name)  # in place of the real one, which imports everything
            package.__path__ = [str(path)]
            sys.modules[name] = package
        importlib.import_module("LibMTL.architecture.MMoE")
        module = types.ModuleType("LibMTL.architecture.DSelect_k")
        exec(compile(source.replace(*_CAST), str(file), "exec"), module.__dict__)
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "LibMTL"]:
            del sys.modules[name]
        sys.modules.update({name: kept for name, kept in before.items() if name.split(".")[0] == "LibMTL"})
    return module.__dict__["DSelect_k"]


def build(case: Case, theirs: Any = None) -> dict[str, nn.Module]:
    """Ways to compute one mixture, by name: from inputs `[batch, width]` to each task's features, all equal."""
    names = [str(task) for task in range(case.tasks)]
    gates = {name: DSelectK(case.n, case.k, case.width) for name in names}
    for gate in gates.values():
        nn.init.normal_(gate.z_proj.weight, std=_SETTLED)
    model = MultiTaskMixture(
        MLPExperts(case.n, case.width, case.width, case.width), gates, {name: nn.Identity() for name in names}
    )
    loop = _Loop(model)
    ways: dict[str, nn.Module] = {OURS: _Outputs(model), DENSE: _Dense(model), GROUPED: _Grouped(model), LOOP: loop}
    if theirs is not None:
        ways[THEIRS] = _Outputs(_like(theirs, case, model, loop))
    return ways


def weights_of(model: MultiTaskMixture, inputs: Tensor) -> Tensor:
    """What the gates of all tasks say, `[tasks, batch, n]`."""
    said = ask(dict(model.gates.items()), inputs)
    return torch.stack([gate.weights for gate in said.values()])


class _Outputs(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> list[Tensor]:
        said = self.model(inputs)
        return list((said.outputs if isinstance(said, MixtureOutput) else said).values())


class _Dense(nn.Module):
    """Every expert on every row, stacked, and one sum for all tasks."""

    def __init__(self, model: MultiTaskMixture):
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> list[Tensor]:
        weights = weights_of(self.model, inputs)
        return list(torch.einsum("tbn,nbd->tbd", weights, self.model.experts(inputs)))


class _Grouped(_Dense):
    """Every expert on the rows that some task needs it for, by one grouped product a layer."""

    def forward(self, inputs: Tensor) -> list[Tensor]:
        weights = weights_of(self.model, inputs)
        needed = weights.detach().any(0)
        of_expert, row = needed.T.nonzero().unbind(1)
        ends = needed.sum(0).cumsum(0).to(torch.int32)
        outputs = inputs[row]
        experts: Any = self.model.experts
        for weight, bias in zip(experts.weights, experts.biases, strict=True):
            outputs = (F.grouped_mm(outputs, weight, offs=ends) + bias[of_expert]).relu()
        shares = weights[:, row, of_expert].unsqueeze(-1)
        return [torch.zeros_like(inputs).index_add(0, row, share * outputs) for share in shares]


class _Loop(nn.Module):
    """One expert after another and one gate after another, as one would write it down."""

    def __init__(self, model: MultiTaskMixture):
        super().__init__()
        self.gates = model.gates
        self.experts = nn.ModuleList(_separate(model.experts))

    def forward(self, inputs: Tensor) -> list[Tensor]:
        outputs = [expert(inputs) for expert in self.experts]
        mixed = []
        for _, gate in self.gates.items():
            weights = gate(inputs).weights
            mixed.append(sum(weights[:, at, None] * output for at, output in enumerate(outputs)))
        return mixed


def _separate(experts: Any) -> list[nn.Module]:
    """Networks of their own with the weights of stacked ones."""
    networks: list[nn.Module] = []
    for expert in range(len(experts)):
        layers: list[nn.Module] = []
        for weight, bias in zip(experts.weights, experts.biases, strict=True):
            layer = nn.Linear(*weight.shape[1:])
            layer.load_state_dict({"weight": weight[expert].T, "bias": bias[expert]})
            layers += [layer, nn.ReLU()]
        networks.append(nn.Sequential(*layers))
    return networks


def _like(theirs: Any, case: Case, model: MultiTaskMixture, loop: _Loop) -> nn.Module:
    """LibMTL's mixture with the same experts and gates."""
    made = libmtl_mixture(theirs, case, list(model.gates), loop.experts)
    for name, gate in model.gates.items():
        for ours, own in ((gate.z_proj, "_z_logits"), (gate.w_proj, "_w_logits")):
            made.get_submodule(f"{own}.{name}").load_state_dict(ours.state_dict())  # type: ignore[union-attr]
    return made


def libmtl_mixture(theirs: Any, case: Case, names: Sequence[str], experts: Iterable[nn.Module]) -> nn.Module:
    """LibMTL's mixture of these experts, without heads."""
    following = iter(experts)
    made: nn.Module = theirs(
        task_name=list(names),
        encoder_class=lambda: next(following),
        decoders=nn.ModuleDict({name: nn.Identity() for name in names}),
        rep_grad=False,
        multi_input=False,
        device=torch.get_default_device(),
        img_size=[case.width],
        num_experts=[case.n],
        num_nonzeros=case.k,
        kgamma=1.0,
    )
    return made


class Given(nn.Module):
    """An expert that costs nothing."""

    def __init__(self, output: Tensor):
        super().__init__()
        self.output = output

    def forward(self, inputs: Tensor) -> Tensor:
        """The output it was given."""
        return self.output
