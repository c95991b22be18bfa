"""How fast mixtures of experts run: only where a gate asks for them, everywhere, in a plain loop, and in LibMTL.

All run the same experts under the same gates, in one process and in turns, and give equal outputs. Gates have settled,
so that every example has k experts a task, which tasks choose independently of each other.

LibMTL is measured where the environment variable `LABELWISE_LIBMTL` names a checkout of it. Its class `DSelect_k` is
loaded as it is but for one cast: on NumPy >= 2 it would turn all binary codes into ones.
"""

import importlib
import os
import sys
import time
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.bench.harness import versions
from labelwise.experts import Mixture, MixtureOutput, MLPExperts, MultiTaskMixture
from labelwise.functional import binary_codes
from labelwise.gates import DSelectK, Fixed, GateOutput, ask
from labelwise.methods.training import seeded
from labelwise.progress import progress

_LIBMTL = "LABELWISE_LIBMTL"
_CAST = (".astype(bool)", ".astype(int).astype(bool)")
_SETTLED = 1e3  # deviation of digits' logits, beside gamma = 1
OURS, DENSE, LOOP, THEIRS = "sparse", "dense", "plain loop", "LibMTL"
_STEPS = ("inference", "training step")


@dataclass(frozen=True)
class Case:
    """A mixture to time: `tasks` gates that choose k of n two-layer experts of one width for each of `batch` rows."""

    tasks: int
    n: int
    k: int
    width: int
    batch: int = 512


PART = [Case(tasks, n, 2, 256) for tasks in (1, 8) for n in (16, 64)]
FULL = [Case(tasks, n, k, width) for tasks in (1, 8) for width in (256, 1024) for n in (8, 16, 64) for k in (1, 2, 4)]


def experts_speed(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Time mixtures on the CPU: medians of 5 turns (`full`: more sizes, 9 turns).

    Takes the arguments of every comparison; `out` changes nothing here.
    """
    return run(FULL if full else PART, 9 if full else 5, seed, quiet)


def run(cases: Sequence[Case], turns: int, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Time every case, so many turns of each way to compute it, and the gates alone; memory is what a turn adds."""
    theirs = load_libmtl(os.environ[_LIBMTL]) if _LIBMTL in os.environ else None
    figures = []
    with progress("experts-speed", len(cases) + 1, quiet) as advance, seeded(seed):
        for case in cases:
            figures.append(_measure(case, turns, theirs))
            advance()
        gates = [_measure_gates(Case(8, 16, 2, 256), 4 * turns, theirs, entropy) for entropy in (0.0, 1e-6)]
        pruned = _measure_pruned(Case(1, 16, 2, 256), 8 * turns)
        advance()
    return {
        "name": "experts-speed",
        "about": "Mixtures of two-layer experts: time and memory, as ratios to our sparse path.",
        "data": {"random": "normal inputs, settled gates"},
        "seeds": [seed],
        "threads": torch.get_num_threads(),
        "figures": {"mixtures": figures, "gates": gates, "pruned": pruned},
        "tables": [_table(figures, turns, theirs is not None), _parts_table(gates, pruned)],
        "versions": versions(),
    }


def load_libmtl(checkout: str | os.PathLike[str]) -> Any:
    """The class `DSelect_k` of a checkout of LibMTL, with its cast of binary codes mended.

    Neither the package nor what else it needs has to be installed. Raises `ValueError` if the folder is no checkout, or
    has no such cast.
    """
    folder = Path(checkout) / "LibMTL" / "architecture"
    file = folder / "DSelect_k.py"
    if not file.exists():
        raise ValueError(f"{_LIBMTL} names {checkout}, which is no checkout of LibMTL: there is no {file}")
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
    ways: dict[str, nn.Module] = {OURS: _Outputs(model), DENSE: _Dense(model), LOOP: loop}
    if theirs is not None:
        ways[THEIRS] = _Outputs(_like(theirs, case, model, loop))
    return ways


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
        said = ask(dict(self.model.gates.items()), inputs)
        weights = torch.stack([gate.weights for gate in said.values()])
        return list(torch.einsum("tbn,nbd->tbd", weights, self.model.experts(inputs)))


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
    made = _theirs(theirs, case, list(model.gates), loop.experts)
    for name, gate in model.gates.items():
        for ours, own in ((gate.z_proj, "_z_logits"), (gate.w_proj, "_w_logits")):
            made.get_submodule(f"{own}.{name}").load_state_dict(ours.state_dict())  # type: ignore[union-attr]
    return made


def _theirs(theirs: Any, case: Case, names: Sequence[str], experts: Iterable[nn.Module]) -> nn.Module:
    """LibMTL's mixture of these experts, without heads."""
    following = iter(experts)
    made: nn.Module = theirs(
        task_name=list(names),
        encoder_class=lambda: next(following),
        decoders=nn.ModuleDict({name: nn.Identity() for name in names}),
        rep_grad=False,
        multi_input=False,
        device=torch.device("cpu"),
        img_size=[case.width],
        num_experts=[case.n],
        num_nonzeros=case.k,
        kgamma=1.0,
    )
    return made


def _measure(case: Case, turns: int, theirs: Any) -> dict[str, Any]:
    """Milliseconds and bytes of each way to compute a mixture, in inference and in a training step."""
    ways = build(case, theirs)
    inputs = torch.randn(case.batch, case.width)
    found: dict[str, Any] = asdict(case)
    for step in _STEPS:
        calls = {name: _call(way, inputs, step) for name, way in ways.items()}
        found[step] = {name: {"ms": times} for name, times in _take_turns(calls, turns).items()}
        for name, call in calls.items():
            for way in ways.values():
                way.zero_grad()  # the profiler warns of what a call frees and has not made
            found[step][name]["mib"] = peak(call) / 2**20
    return found


def _call(way: nn.Module, inputs: Tensor, step: str) -> Callable[[], None]:
    def infer() -> None:
        way.eval()
        with torch.no_grad():
            way(inputs)

    def learn() -> None:
        way.train()
        way.zero_grad()
        torch.stack(list(way(inputs))).square().mean().backward()

    return infer if step == "inference" else learn


def _take_turns(calls: dict[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Milliseconds of every call in every turn, after one turn to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if turn:
                taken[name].append(1e3 * (time.perf_counter() - begun))
    return taken


def peak(call: Callable[[], None]) -> int:
    """The most bytes of tensors that a call holds at a time, of those that it makes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    results = profiled.profiler.kineto_results
    events = [event for event in results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def _measure_gates(case: Case, turns: int, theirs: Any, entropy: float) -> dict[str, Any]:
    """The gates of all tasks, forward and backward: computed together, one after another, and by LibMTL."""
    narrow = nn.ModuleList(nn.Linear(case.width, 1) for _ in range(case.n))  # so that gates are nearly all there is
    names = [str(task) for task in range(case.tasks)]
    gates = {name: DSelectK(case.n, case.k, case.width, entropy=entropy) for name in names}
    inputs = torch.randn(case.batch, case.width)
    outputs = torch.stack([network(inputs) for network in narrow]).detach()[..., 0].T

    def together() -> list[GateOutput]:
        return list(ask(gates, inputs).values())

    def in_turn() -> list[GateOutput]:
        return [gate(inputs) for gate in gates.values()]

    def learn(say: Callable[[], list[GateOutput]], learner: nn.Module) -> Callable[[], None]:
        def call() -> None:
            learner.zero_grad()
            said = say()
            loss = torch.stack([(gate.weights * outputs).sum(1) for gate in said]).square().mean()
            (loss + torch.stack([gate.penalty for gate in said]).sum() if entropy else loss).backward()

        return call

    kept = nn.ModuleList(gates.values())
    calls = {"together": learn(together, kept), "one after another": learn(in_turn, kept)}
    if theirs is not None:
        model = _theirs(theirs, case, names, [_Given(column) for column in outputs.T[..., None]])
        # In training mode it back-propagates the entropy of the last task's gate within its forward pass.
        model.train(entropy > 0)

        def call() -> None:
            model.zero_grad()
            torch.stack(list(model(inputs).values())).square().mean().backward()

        calls[THEIRS] = call
    return asdict(case) | {"entropy": entropy, "ms": _take_turns(calls, turns)}


class _Given(nn.Module):
    """An expert that costs nothing."""

    def __init__(self, output: Tensor):
        super().__init__()
        self.output = output

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output


def _measure_pruned(case: Case, turns: int) -> dict[str, Any]:
    """A settled static mixture, whole and pruned, beside k experts alone and all experts; inference."""
    gate = DSelectK(case.n, case.k)
    with torch.no_grad():
        codes = binary_codes(case.n)[torch.randperm(case.n)[: case.k]]
        gate.z_logits.copy_(torch.where(codes, 1.0, -1.0))
    whole = Mixture(MLPExperts(case.n, case.width, case.width, case.width), gate).eval()
    pruned = whole.prune()
    alone = Mixture(MLPExperts(case.k, case.width, case.width, case.width), Fixed([1 / case.k] * case.k)).eval()
    inputs = torch.randn(case.batch, case.width)

    def every() -> Tensor:
        return torch.einsum("n,nbd->bd", whole.gate().weights, whole.experts(inputs))

    def quietly(answer: Callable[[], Any]) -> Callable[[], None]:
        return torch.no_grad()(answer)

    calls = {
        "pruned": quietly(lambda: pruned(inputs)),
        "k experts alone": quietly(lambda: alone(inputs)),
        "not pruned": quietly(lambda: whole(inputs)),
        DENSE: quietly(every),
    }
    return asdict(case) | {"ms": _take_turns(calls, turns)}


def _table(figures: Sequence[dict[str, Any]], turns: int, with_theirs: bool) -> dict[str, Any]:
    others = [DENSE, LOOP] + [THEIRS] * with_theirs
    rows = []
    for found in figures:
        for step in _STEPS:
            ours = found[step][OURS]
            row: list[Any] = [found["tasks"], found["n"], found["k"], found["width"], step, median(ours["ms"])]
            row += [median(found[step][name]["ms"]) / median(ours["ms"]) for name in others]
            row += [ours["mib"], *(found[step][name]["mib"] / ours["mib"] for name in others)]
            rows.append(row)
    mended = f"; {THEIRS} as it is, but for its cast of binary codes, mended for NumPy >= 2" if with_theirs else ""
    return {
        "title": f"experts-speed: gates per example, settled, each task's choice independent of the others', "
        f"{figures[0]['batch']} rows, two-layer experts; medians of {turns} turns on the CPU, "
        f"threads: {torch.get_num_threads()}; how many times the time and memory of the sparse path others take"
        f"{mended}",
        "columns": ["tasks", "n", "k", "width", "step", "sparse ms"]
        + [f"{name} ×" for name in others]
        + ["sparse MiB"]
        + [f"{name} × MiB" for name in others],
        "rows": rows,
    }


def _parts_table(gates: Sequence[dict[str, Any]], pruned: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for what, found in (
        *((f"{each['tasks']} gates, n = {each['n']}, k = {each['k']}, {_work(each)}", each) for each in gates),
        (f"static mixture, n = {pruned['n']}, k = {pruned['k']}, inference", pruned),
    ):
        first = median(next(iter(found["ms"].values())))
        rows += [[what, how, median(times), median(times) / first] for how, times in found["ms"].items()]
    return {
        "title": f"experts-speed: gates alone and pruned mixtures, {pruned['batch']} rows of {pruned['width']} "
        f"features; {THEIRS} has the entropy term for the last task alone",
        "columns": ["what", "how", "ms", "× the first"],
        "rows": rows,
    }


def _work(gates: dict[str, Any]) -> str:
    return "forward + backward" + (", with the entropy term" if gates["entropy"] else "")
