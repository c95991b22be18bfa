"""Partners with near labels."""

import math

import torch
from torch import Tensor

# Of strips, in standard deviations; beyond, a pair weighs below 1e-13 of an equal one.
_EDGES = (-8, -5, -3, -2, -1, 0, 1, 2, 3, 5, 8)
_ANCHORS = 20_000  # with single targets, at a time
_PAIRS = 2**22  # with several targets, at a time


def label_density_pairs(
    targets: Tensor, anchors: Tensor, bandwidth: float, generator: torch.Generator | None = None
) -> Tensor:
    """Draw for each anchor i a row j with probability proportional to exp(-|y_i - y_j|^2 / (2 bandwidth^2)).

    A row may be its own partner. There is never a matrix of all pairs: with single targets rows are found by sorting,
    in about n log n; with several, some anchors are compared with all rows at a time.

    Args:
        targets: y, `[n]` or `[n, k]`, finite.
        anchors: int64 `[m]`, rows.
        bandwidth: > 0, in units of the targets; inf draws any row.
        generator: where random numbers come from; torch's global ones without it.

    Returns:
        int64 `[m]`, rows.

    Raises `ValueError` for targets that are not finite and a bandwidth that is not above 0.

    Source: Yao et al., "C-Mixup" (2022), eq. 6.
    """
    if not bandwidth > 0:
        raise ValueError(f"bandwidth must be above 0, in units of the targets; got {bandwidth}")
    if not targets.isfinite().all():
        row = int((~targets.isfinite()).reshape(len(targets), -1).any(1).nonzero()[0])
        raise ValueError(f"targets must be finite; row {row} holds {targets[row].tolist()}; leave it out")
    device = targets.device if generator is None else generator.device
    if math.isinf(bandwidth):
        return torch.randint(len(targets), (len(anchors),), generator=generator, device=device).to(targets.device)
    scaled = targets.detach().double().reshape(len(targets), -1).to(device) / bandwidth
    anchors = anchors.to(device)
    draw = _by_sorting if scaled.shape[1] == 1 else _by_comparing
    return draw(scaled, anchors, generator).to(targets.device)


def _by_comparing(scaled: Tensor, anchors: Tensor, generator: torch.Generator | None) -> Tensor:
    drawn = []
    for rows in anchors.split(max(1, _PAIRS // len(scaled))):
        chances = torch.exp(-0.5 * torch.cdist(scaled[rows], scaled).square()).cumsum(1)
        at = torch.rand(len(rows), 1, generator=generator, dtype=torch.float64, device=scaled.device) * chances[:, -1:]
        drawn.append(torch.searchsorted(chances, at, right=True).clamp(max=len(scaled) - 1)[:, 0])
    return torch.cat(drawn) if drawn else anchors


def _by_sorting(scaled: Tensor, anchors: Tensor, generator: torch.Generator | None) -> Tensor:
    ordered, order = scaled[:, 0].sort()
    values, places = scaled[anchors, 0].sort()  # in order, so that neighbouring searches touch the same memory
    partner = torch.empty_like(anchors)
    for value, place in zip(values.split(_ANCHORS), places.split(_ANCHORS), strict=True):
        partner[place] = order[_in_strips(ordered, value, generator)]
    return partner


def _in_strips(ordered: Tensor, values: Tensor, generator: torch.Generator | None) -> Tensor:
    """Places int64 `[m]` in the ordered targets: a strip of one unit of distance by its largest possible weight, then
    any place in it, kept with the share of that weight that it really has, else all anew."""
    edges = torch.tensor(_EDGES, dtype=torch.float64, device=ordered.device)
    nearest = torch.minimum(edges[:-1].abs(), edges[1:].abs())
    starts = torch.stack([torch.searchsorted(ordered, values + edge) for edge in _EDGES], 1)
    counts = starts.diff(dim=1)
    passed = (counts * torch.exp(-0.5 * nearest**2)).cumsum(1)
    found = torch.empty(len(values), dtype=torch.int64, device=ordered.device)
    waiting = torch.arange(len(values), device=ordered.device)
    while len(waiting):
        chances = torch.rand(3, len(waiting), generator=generator, dtype=torch.float64, device=ordered.device)
        at = (chances[0] * passed[waiting, -1])[:, None]
        strip = torch.searchsorted(passed[waiting], at, right=True)[:, 0].clamp(max=len(nearest) - 1)
        place = starts[waiting, strip] + (chances[1] * counts[waiting, strip]).long()
        distance = (ordered[place.clamp(max=len(ordered) - 1)] - values[waiting]).abs()
        share = torch.exp(-0.5 * (distance**2 - nearest[strip] ** 2))
        kept = (chances[2] < share) & (counts[waiting, strip] > 0)
        found[waiting[kept]] = place[kept]
        waiting = waiting[~kept]
    return found
