"""How long mixing takes, beside `torch.lerp`, a copy, the formulas in which others write it, and kornia.

All mix the same batches, with one share and one box a batch or with one each example, in one process and in turns;
CPU time of one thread, medians over the turns; a turn calls each way for a fiftieth of a second at least, since a
single call with a small batch says little. What no way that pairs at random can do without is timed by itself: drawing
partners and a share, gathering the partners, and adding these in place. The formulas of timm are written here as timm
has them, on the reversed batch: mixup once in place on the caller's batch, CutMix by a slice with one box a batch, or a
loop over examples. kornia is measured where it is installed.
"""

import math
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from timeit import timeit
from typing import Any

import torch
from torch import Tensor

from labelwise.bench.harness import versions
from labelwise.functional import cut_boxes
from labelwise.methods.training import seeded
from labelwise.mixing import CutMix, Mixup
from labelwise.progress import progress

LERP, COPY = "torch.lerp", "copy"
_TURN = 0.02  # seconds that each way is called in a turn, at least
SHAPES = ((256, 3, 224, 224), (512, 1, 28, 28))


def mixing_speed(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Time mixup and CutMix of 256 photos and of 512 digits, 7 turns (`full`: 31).

    Takes the arguments of every comparison; `out` changes nothing here.
    """
    return run(SHAPES, 31 if full else 7, seed, quiet)


def run(shapes: tuple[tuple[int, ...], ...], turns: int, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Time every way to mix batches of these shapes, in so many turns, after a call to warm up."""
    figures: dict[str, dict[str, list[float]]] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with progress("mixing-speed", 2 * len(shapes) * (turns + 1), quiet) as advance, seeded(seed):
            for shape in shapes:
                pixels = torch.randint(256, shape, dtype=torch.uint8)
                for kind, inputs in (("float32", pixels.float() / 255), ("uint8", pixels)):
                    figures[f"{' x '.join(map(str, shape))}, {kind}"] = _time(_ways(inputs), turns, advance)
    finally:
        torch.set_num_threads(threads)
    return {
        "name": "mixing-speed",
        "about": "Mixup and CutMix: CPU time, as ratios to the time of torch.lerp and of a copy of the same batch.",
        "data": {"random": "even pixels"},
        "seeds": [seed],
        "figures": figures,
        "tables": [_table(figures, turns)],
        "versions": versions(),
    }


def _ways(inputs: Tensor) -> dict[str, Callable[[], Any]]:
    """Ways to mix a batch; of bytes only those that add nothing."""
    partner = torch.randperm(len(inputs))
    ways: dict[str, Callable[[], Any]] = {
        COPY: inputs.clone,
        "drawing alone": lambda: Mixup(1.0).draw(inputs, None, None),
        "gathering alone": lambda: inputs.index_select(0, partner),
        "CutMix, ours": partial(CutMix(1.0), inputs),
        "CutMix, timm": lambda: _timm_cutmix(inputs),
        "CutMix a box each, ours": partial(CutMix(1.0, mode="example"), inputs),
        "CutMix a box each, timm": lambda: _timm_cutmix_each(inputs),
    }
    if not inputs.is_floating_point():
        return ways
    other, weights = inputs.flip(0).contiguous(), torch.rand(len(inputs)).reshape(-1, 1, 1, 1)
    scratch = inputs.clone()
    ways |= {
        LERP: lambda: torch.lerp(other, inputs, weights),
        f"gathering and {LERP}": lambda: inputs.index_select(0, partner).lerp_(inputs, weights),
        "mixup, ours": partial(Mixup(1.0), inputs),
        "mixup, timm (in place)": lambda: _timm_mixup(scratch),
        "mixup a share each, ours": partial(Mixup(1.0, mode="example"), inputs),
    }
    if find_spec("kornia"):
        from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

        labels = torch.zeros(len(inputs), dtype=torch.int64)
        mixup, cutmix = (each(p=1.0, data_keys=["input", "class"]) for each in (RandomMixUpV2, RandomCutMixV2))
        ways["mixup a share each, kornia"] = lambda: mixup(inputs, labels)
        ways["CutMix a box each, kornia"] = lambda: cutmix(inputs, labels)
    return ways


def _timm_mixup(inputs: Tensor) -> None:
    share = float(torch.rand(()))
    flipped = inputs.flip(0).mul_(1 - share)
    inputs.mul_(share).add_(flipped)


def _timm_cutmix(inputs: Tensor) -> Tensor:
    mixed = inputs.clone()  # timm pastes in place; here the caller's batch stays, as with ours
    top, bottom, left, right = _boxes(inputs, 1)[0]
    mixed[:, :, top:bottom, left:right] = inputs.flip(0)[:, :, top:bottom, left:right]
    return mixed


def _timm_cutmix_each(inputs: Tensor) -> Tensor:
    mixed = inputs.clone()
    for at, (top, bottom, left, right) in enumerate(_boxes(inputs, len(inputs))):
        mixed[at, :, top:bottom, left:right] = inputs[len(inputs) - at - 1, :, top:bottom, left:right]
    return mixed


def _boxes(inputs: Tensor, n: int) -> list[list[int]]:
    height, width = inputs.shape[2:]
    row, column = torch.randint(height, (n,)), torch.randint(width, (n,))
    boxes: list[list[int]] = cut_boxes(height, width, torch.rand(n), row, column).tolist()
    return boxes


def _time(ways: dict[str, Callable[[], Any]], turns: int, advance: Callable[[], None]) -> dict[str, list[float]]:
    """Milliseconds of processor time of a call of each way, by turn."""
    calls: dict[str, int] = {}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        way()  # warms up
        calls[name] = math.ceil(_TURN / timeit(way, timer=time.process_time, number=1))
    advance()
    for _ in range(turns):
        for name, way in ways.items():
            taken[name].append(1000 * timeit(way, timer=time.process_time, number=calls[name]) / calls[name])
        advance()
    return taken


def _table(figures: dict[str, dict[str, list[float]]], turns: int) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for batch, ways in figures.items():
        copied = median(ways[COPY])
        added = median(ways[LERP]) if LERP in ways else None
        for name, times in ways.items():
            rows.append([batch, name, median(times), median(times) / copied, added and median(times) / added])
    return {
        "title": f"mixing-speed: CPU time on one thread, medians of {turns} turns",
        "columns": ["batch", "way", "ms", "× copy", "× torch.lerp"],
        "rows": rows,
    }
