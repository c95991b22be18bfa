"""How fast mixtures of experts run: only where a gate asks for them, everywhere, in a plain loop, and in LibMTL.

All run the same experts under the same gates, in one process and in turns, and give equal outputs. Gates have settled,
so that every example has k experts a task, which tasks choose independently of each other. The limit is the time that
the products of the rows that some task needs would take at the rate of one large product.

A GPU is used if there is one. LibMTL is measured where the environment variable `LABELWISE_LIBMTL` names a checkout.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from labelwise.bench.harness import versions
from labelwise.bench.mixture_ways import (
    DENSE,
    GROUPED,
    LIBMTL,
    LOOP,
    OURS,
    THEIRS,
    Case,
    Given,
    build,
    libmtl_mixture,
    load_libmtl,
    weights_of,
)
from labelwise.experts import Mixture, MLPExperts
from labelwise.functional import binary_codes
from labelwise.gates import DSelectK, Fixed, GateOutput, ask
from labelwise.methods.training import seeded
from labelwise.progress import progress

_STEPS = {"inference": 1, "training step": 3}  # and how many times the products of a forward pass each takes
_LARGE = 2048  # rows and columns of the product that the limit is taken from


PART = [Case(tasks, n, 2, 256) for tasks in (1, 8) for n in (16, 64)]
FULL = [Case(tasks, n, k, width) for tasks in (1, 8) for width in (256, 1024) for n in (8, 16, 64) for k in (1, 2, 4)]


def experts_speed(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Time mixtures on the GPU if there is one, else on the CPU: medians of 10 turns (`full`: more sizes).

    Takes the arguments of every comparison; `out` changes nothing here.
    """
    return run(FULL if full else PART, 10, seed, quiet)


def run(cases: Sequence[Case], turns: int, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Time every case, so many turns of each way to compute it, and the gates alone; memory is what a turn adds."""
    theirs = load_libmtl(os.environ[LIBMTL]) if LIBMTL in os.environ else None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures = []
    with progress("experts-speed", len(cases) + 1, quiet) as advance, seeded(seed), device:
        for case in cases:
            figures.append(_measure(case, turns, theirs))
            advance()
        gates = [_measure_gates(Case(8, 16, 2, 256), 4 * turns, theirs, entropy) for entropy in (0.0, 1e-6)]
        pruned = _measure_pruned(Case(1, 16, 2, 256), 8 * turns)
        advance()
    used = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
    return {
        "name": "experts-speed",
        "about": "Mixtures of two-layer experts: time and memory, as ratios to our sparse path.",
        "data": {"random": "normal inputs, settled gates"},
        "seeds": [seed],
        "device": used,
        "threads": torch.get_num_threads(),
        "figures": {"mixtures": figures, "gates": gates, "pruned": pruned},
        "tables": [_table(figures, turns, used, theirs is not None), _parts_table(gates, pruned)],
        "versions": versions(),
    }


def _measure(case: Case, turns: int, theirs: Any) -> dict[str, Any]:
    """Milliseconds and bytes of each way to compute a mixture, in inference and in a training step, and the limit."""
    ways = build(case, theirs)
    inputs = torch.randn(case.batch, case.width)
    rows = _rows_needed(ways[OURS], inputs)
    large = torch.randn(_LARGE, _LARGE)
    found: dict[str, Any] = asdict(case)
    for step, passes in _STEPS.items():
        calls = {name: _call(way, inputs, step) for name, way in ways.items()}
        times = _take_turns({**calls, "large": lambda: large @ large}, turns)
        share_of_large = passes * 2 * rows * case.width**2 / _LARGE**3  # two layers
        found[step] = {"limit": {"ms": [share_of_large * ms for ms in times.pop("large")]}}
        found[step] |= {name: {"ms": taken} for name, taken in times.items()}
        for name, call in calls.items():
            for way in ways.values():
                way.zero_grad()  # the profiler warns of what a call frees and has not made
            found[step][name]["mib"] = peak(call) / 2**20
    return found


@torch.no_grad()
def _rows_needed(way: nn.Module, inputs: Tensor) -> int:
    """How many pairs of example and expert have weight for some task."""
    return int(weights_of(way.model, inputs).any(0).sum())  # type: ignore[arg-type]


def _call(way: nn.Module, inputs: Tensor, step: str) -> Callable[[], None]:
    way.train(step == "training step")

    @torch.no_grad()
    def infer() -> None:
        way(inputs)

    def learn() -> None:
        way.zero_grad()
        torch.stack(list(way(inputs))).square().mean().backward()

    return infer if step == "inference" else learn


def _take_turns(calls: dict[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    """Milliseconds of every call in every turn, after one turn to warm up.

    Every other turn goes backwards, so that none always finds the caches as the same other one left them.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in reversed(calls.items()) if turn % 2 else calls.items():
            begun = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                taken[name].append(1e3 * (time.perf_counter() - begun))
    return taken


def peak(call: Callable[[], None]) -> int:
    """The most bytes of tensors that a call holds at a time, of those that it makes."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
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
        model = libmtl_mixture(theirs, case, names, [Given(column) for column in outputs.T[..., None]])
        # In training mode it back-propagates the entropy of the last task's gate within its forward pass.
        model.train(entropy > 0)

        def call() -> None:
            model.zero_grad()
            torch.stack(list(model(inputs).values())).square().mean().backward()

        calls[THEIRS] = call
    return asdict(case) | {"entropy": entropy, "ms": _take_turns(calls, turns)}


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


def _table(figures: Sequence[dict[str, Any]], turns: int, device: str, with_theirs: bool) -> dict[str, Any]:
    others = [DENSE, GROUPED, LOOP] + [THEIRS] * with_theirs
    rows = []
    for found in figures:
        for step in _STEPS:
            ours = found[step][OURS]
            row: list[Any] = [found["tasks"], found["n"], found["k"], found["width"], step, median(ours["ms"])]
            row += [median(found[step][name]["ms"]) / median(ours["ms"]) for name in ("limit", *others)]
            row += [ours["mib"], *(found[step][name]["mib"] / ours["mib"] for name in others)]
            rows.append(row)
    mended = f"; {THEIRS} as it is, but for its cast of binary codes, mended for NumPy >= 2" if with_theirs else ""
    return {
        "title": f"experts-speed: gates per example, settled, each task's choice independent of the others', "
        f"{figures[0]['batch']} rows, two-layer experts; medians of {turns} turns on {device}, "
        f"threads: {torch.get_num_threads()}; how many times the time and memory of the sparse path others take"
        f"{mended}",
        "columns": ["tasks", "n", "k", "width", "step", "sparse ms"]
        + [f"{name} ×" for name in ("limit", *others)]
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
