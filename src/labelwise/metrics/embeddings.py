"""Scores of embeddings: how they lie to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_PAIRS = 2**24  # distances held at a time


def utilization(queries: Tensor, training: Tensor) -> float:
    """Mean squared distance of each query to the nearest training embedding; low where training filled the space.

    Args:
        queries: `[n, d]`, n >= 1.
        training: `[m, d]`, m >= 1.

    Source: Venkataramanan et al., "It Takes Two to Tango" (2022), eq. 17.
    """
    import torch

    rows = max(1, _PAIRS // len(training))
    nearest = [_distances(part, training).amin(1) for part in queries.split(rows)]
    return torch.cat(nearest).double().mean().item()


def alignment(embeddings: Tensor, labels: Tensor) -> float | None:
    """Mean squared distance between two examples of a class, over all such pairs; None if there is none.

    Args:
        embeddings: `[n, d]`, of unit length.
        labels: int64 `[n]`.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning" (2020), eq. 1.
    """
    import torch

    values, members = embeddings.double(), labels.unique(return_inverse=True)[1]
    counts = torch.bincount(members, minlength=1).double()
    pairs = (counts * (counts - 1)).sum()
    if not pairs:
        return None
    # Over ordered pairs of a class, the sum of squared distances is 2 n times the spread around its mean.
    sums = torch.zeros(len(counts), values.shape[1], dtype=torch.float64, device=values.device)
    means = sums.index_add_(0, members, values) / counts[:, None]
    spread = (values - means[members]).square().sum(1)
    return (2 * (counts[members] * spread).sum() / pairs).item()


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean of exp(-2 d^2) over all pairs of examples, at most 0: the lower, the more evenly they lie.

    Args:
        embeddings: `[n, d]`, of unit length, n >= 2.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning" (2020), eq. 2.
    """
    import torch

    n = len(embeddings)
    values = embeddings.double()
    total = torch.stack([torch.exp(-2 * _distances(part, values)).sum() for part in values.split(max(1, _PAIRS // n))])
    return ((total.sum() - n) / (n * (n - 1))).log().item()


def recall_at(embeddings: Tensor, labels: Tensor, k: int = 1, gallery: tuple[Tensor, Tensor] | None = None) -> float:
    """Share of examples with one of their class among their k nearest others, by cosine, in [0, 1].

    Args:
        embeddings: `[n, d]`, n > k without a gallery.
        labels: int64 `[n]`.
        k: >= 1, at most the size of the gallery.
        gallery: embeddings `[m, d]` and labels int64 `[m]` to look for neighbours in; without it the other examples.
    """
    import torch

    hits = [same[:, :k].any(1) for same in _neighbours(embeddings, labels, k, gallery)]
    return torch.cat(hits).double().mean().item()


def map_at_r(embeddings: Tensor, labels: Tensor, gallery: tuple[Tensor, Tensor] | None = None) -> float | None:
    """Mean average precision at R, in [0, 1]: how purely the neighbours of an example are of its class.

    Of an example with R others of its class, the precision among the nearest i, for each i up to R whose own class is
    right, summed and divided by R. Those without any do not count; None if none has any. Takes the same as `recall_at`.

    Source: Musgrave et al., "A Metric Learning Reality Check" (2020), section 3.2.
    """
    import torch

    known = labels if gallery is None else gallery[1]
    others = torch.bincount(known, minlength=int(labels.max()) + 1)[labels] - int(gallery is None)
    if not others.any():
        return None
    most = int(others.max())
    same = torch.cat(list(_neighbours(embeddings, labels, most, gallery)))
    place = torch.arange(1, most + 1, device=same.device)
    right = same & (place <= others[:, None])
    precisions = (right * right.cumsum(1) / place).sum(1, dtype=torch.float64)
    return (precisions / others)[others > 0].mean().item()


def _neighbours(embeddings: Tensor, labels: Tensor, k: int, gallery: tuple[Tensor, Tensor] | None) -> Iterator[Tensor]:
    """Whether the k nearest by cosine, nearest first, are of the same class: bool `[rows, k]`, some rows at a time."""
    import torch

    unit = torch.nn.functional.normalize(embeddings, dim=1)
    among, known = (unit, labels) if gallery is None else (torch.nn.functional.normalize(gallery[0], dim=1), gallery[1])
    for rows in torch.arange(len(unit), device=unit.device).split(max(1, _PAIRS // len(among))):
        similarity = unit[rows] @ among.T
        if gallery is None:
            similarity[torch.arange(len(rows)), rows] = -torch.inf
        yield known[similarity.topk(k, 1).indices] == labels[rows, None]


def neighbour_overlap(queries: Tensor, sets: Tensor, gallery: Tensor, gallery_sets: Tensor) -> float:
    """Mean overlap of the label set of each query with that of its nearest neighbour: labels in both over in either.

    Args:
        queries: `[n, d]`, n >= 1.
        sets: bool `[n, classes]`; two empty sets overlap in full.
        gallery: `[m, d]`, m >= 1.
        gallery_sets: bool `[m, classes]`.

    Source: Alfassy et al., "LaSO" (2019), section 4.3.
    """
    import torch

    rows = max(1, _PAIRS // len(gallery))
    nearest = torch.cat([_distances(part, gallery).argmin(1) for part in queries.split(rows)])
    found = gallery_sets[nearest]
    both, either = (sets & found).sum(1).double(), (sets | found).sum(1).double()
    return torch.where(either > 0, both / either.clamp(min=1), 1).mean().item()


def _distances(one: Tensor, other: Tensor) -> Tensor:
    import torch

    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").square()
