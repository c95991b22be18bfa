"""Wrong labels without training: neighbours in a space of embeddings vote, again and again on parts of the rows.

Source: Zhu, Dong, Liu, "Detecting Corrupted Labels Without Training a Model to Predict", ICML 2022 (arXiv 2110.06283);
the limits and the confidence as in Hu et al., "Noisy Ostracods", NeurIPS 2024 (arXiv 2412.02313).
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.consensus import consensus, draw, first_drawn, labelled_neighbours
from labelwise.audit.neighbours import Neighbours
from labelwise.audit.transition import fit_transition
from labelwise.progress import progress

_SPARE = 4  # times as many neighbours are found as are asked for, as some are not drawn
_RATES = (0.05, 0.95)  # of a class whose estimated share of wrong labels is 0 or less, or 1 or more
_CELLS = 4_000_000  # rows x classes counted at a time


class SimiFeat(NamedTuple):
    """What neighbours say of each of n labels.

    `flags`, bool [n]. `share`, float64 [n]: how often the label was flagged when its row was drawn, (flagged + 1) /
    (drawn + 2). `suggestion`, int64 [n]: the class suggested most often, another than the given one. `confidence`,
    float64 [n]: `share` times the share of that suggestion among all classes. Of missing labels nothing is said: False,
    nan, -1, nan.
    """

    flags: np.ndarray
    share: np.ndarray
    suggestion: np.ndarray
    confidence: np.ndarray


def simifeat(
    embeddings: ArrayLike,
    labels: ArrayLike,
    mode: Literal["vote", "rank"] = "vote",
    k: int = 10,
    epochs: int = 35,
    confidence: float = 0.2,
    seed: int = 0,
    quiet: bool = False,
) -> SimiFeat:
    """Flag labels that the nearest neighbours do not share.

    `embeddings` [n, d], compared by their cosine; `labels` [n] are class indices, -1 = missing (such rows are left
    out). In each of `epochs` 0.7 n rows are drawn. The `k` nearest of these, the row itself among them, count by 1 -
    distance; the row's own distance is 2 d1 - d2 of its first two neighbours, so that it counts a little more than
    they. `vote` flags a row if another class has most; `rank` those of each class whose own class has the least, as
    many as `hoc` estimates to be wrong. At the end a row is flagged if it was in more than half of its epochs, and with
    more than this `confidence` for one other class.

    Time and memory are those of the search for neighbours, exact up to 100,000 rows and approximate beyond (see
    `neighbours.nearest`), n x 4 k x 16 bytes for what it finds, and 8 bytes for each time that a row is flagged.
    Raises `ValueError` for fewer than k + 1 labelled rows, and for embeddings that are not finite or are all zeros.
    """
    if mode not in ("vote", "rank"):
        raise ValueError(f"mode must be vote or rank; got {mode!r}")
    if k < 3 or epochs < 1:
        raise ValueError(f"k must be at least 3 and epochs at least 1; got {k} and {epochs}")
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence must be in [0, 1]; got {confidence}")
    rows, given, near = labelled_neighbours(embeddings, labels, _SPARE * k, k + 1, quiet)
    n, classes = len(rows), int(given.max()) + 1
    generator = np.random.default_rng(seed)
    wrong = np.zeros(classes)
    if mode == "rank":
        estimate = fit_transition(*consensus(near.rows, given, 50, generator), seed=seed)
        marginal = np.bincount(given, minlength=classes) / n
        right = estimate.matrix.diagonal() * estimate.prior / np.maximum(marginal, 1e-12)
        wrong = 1 - np.minimum(right, 1)
        wrong = np.where(wrong <= 0, _RATES[0], np.where(wrong >= 1, _RATES[1], wrong))
    drawn, flagged = np.zeros(n), np.zeros(n)
    suggested = []  # row x classes + class, for each flag
    with progress("simifeat", epochs, quiet) as advance:
        for _ in range(epochs):
            sample = draw(n, generator)
            slots, _ = first_drawn(near.rows, sample, n, k - 1)
            best, own = np.empty(len(sample), np.int64), np.empty(len(sample))
            block = max(1, _CELLS // classes)
            for at in (slice(start, start + block) for start in range(0, len(sample), block)):
                shares = _soft_counts(near, given, sample[at], slots[at], classes)
                best[at] = shares.argmax(axis=1)
                own[at] = np.take_along_axis(shares, given[sample[at], None], axis=1)[:, 0]
            if mode == "vote":
                hit = best != given[sample]
            else:
                hit = _worst_of_each_class(-np.log(own + 1e-8), given[sample], wrong)
            drawn[sample] += 1
            flagged[sample] += hit
            suggested.append(sample[hit] * classes + best[hit])
            advance()
    share = (flagged + 1) / (drawn + 2)
    suggestion, votes = _most_suggested(np.concatenate(suggested), given, classes)
    sure = (votes + 1) / (flagged + classes) * share
    total = len(np.asarray(labels))
    found = SimiFeat(np.zeros(total, bool), np.full(total, np.nan), np.full(total, -1), np.full(total, np.nan))
    for column, values in zip(found, ((share > 0.5) & (sure > confidence), share, suggestion, sure), strict=True):
        column[rows] = values
    return found


def _most_suggested(suggested: np.ndarray, given: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The class other than the given one that each row was suggested most often, and how often, int64 [n].

    `suggested` holds row x classes + class. Of equally frequent classes it is the first, of no suggestion too.
    """
    suggestion, votes = np.where(given == 0, min(1, classes - 1), 0), np.zeros(len(given), np.int64)
    keys, counts = np.unique(suggested, return_counts=True)
    rows, names = np.divmod(keys, classes)
    other = names != given[rows]
    rows, names, counts = rows[other], names[other], counts[other]
    order = np.lexsort((names, -counts, rows))
    rows, first = np.unique(rows[order], return_index=True)
    suggestion[rows], votes[rows] = names[order][first], counts[order][first]
    return suggestion, votes


def _soft_counts(
    near: Neighbours, given: np.ndarray, sample: np.ndarray, slots: np.ndarray, classes: int
) -> np.ndarray:
    """The weight of each class around each of `sample`, of length 1, [sample, classes].

    `slots` [sample, neighbours] are the columns of the neighbours that count, nearest first.
    """
    others = np.take_along_axis(near.rows[sample], slots, axis=1)
    apart = np.take_along_axis(near.distances[sample], slots, axis=1) ** 2 / 2  # of the chord: 1 - cosine
    own = 2 * apart[:, :1] - apart[:, 1:2]
    at = np.arange(len(sample))[:, None] * classes
    keys = np.concatenate([at + given[sample][:, None], at + given[others]], axis=1)
    weights = 1 - np.concatenate([own, apart], axis=1)
    counts = np.bincount(keys.ravel(), weights.ravel(), minlength=len(sample) * classes)
    counts = counts.reshape(len(sample), classes)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)


def _worst_of_each_class(scores: np.ndarray, given: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Mark the share `wrong` [classes] of the rows of each class that have the highest score, bool."""
    hit = np.zeros(len(given), bool)
    for k in np.unique(given):
        members = np.flatnonzero(given == k)
        hit[members] = scores[members] >= np.percentile(scores[members], 100 * (1 - wrong[k]))
    return hit
