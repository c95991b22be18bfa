"""How true classes turn into given ones: from the confident joint, from anchor points, from consensus of neighbours.

Each estimate is a `labelwise.labels.Transition` between `classes`, their names; without names they are "0", "1", ...
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.blocks import check, over
from labelwise.audit.confident import confident_joint
from labelwise.audit.consensus import consensus, labelled_neighbours
from labelwise.labels import Transition


def fit_transition(
    first: np.ndarray, second: np.ndarray, third: np.ndarray, steps: int = 1501, seed: int = 0
) -> Transition:
    """Find the transition that best explains how often labels of a row and of its neighbours go together.

    `first` [classes], `second` [classes, classes], `third` [classes, classes, classes] are shares of labels, pairs and
    triples. If neighbours share the true class i, these are sums over i of p_i T_ia, p_i T_ia T_ib and p_i T_ia T_ib
    T_ic; what remains is made small by Adam from a start near the identity, and the best step counts.

    Source: Zhu, Song, Liu, "Clusterability as an Alternative to Anchor Points When Learning with Noisy Labels", ICML
    2021 (arXiv 2102.05291).
    """
    import torch

    wanted = [torch.as_tensor(each, dtype=torch.float64) for each in (first, second, third)]
    classes = len(first)
    generator = torch.Generator().manual_seed(seed)
    logits = (5 * torch.eye(classes, dtype=torch.float64) - 1).requires_grad_()
    start = 1 / classes + 0.1 * torch.rand(classes, generator=generator, dtype=torch.float64)
    prior_logits = start.requires_grad_()
    optimizer = torch.optim.Adam([logits, prior_logits], lr=0.1)
    least, best = float("inf"), (np.eye(classes), np.full(classes, 1 / classes))
    for _ in range(steps):
        matrix, prior = logits.softmax(dim=1), prior_logits.softmax(dim=0)
        weighted = prior[:, None] * matrix
        pairs = matrix[:, :, None] * matrix[:, None, :]
        found = [
            weighted.sum(dim=0),
            weighted.T @ matrix,
            (weighted.T @ pairs.flatten(1)).view(classes, classes, classes),
        ]
        loss = torch.stack([torch.linalg.vector_norm(a - b) for a, b in zip(found, wanted, strict=True)]).sum()
        if loss.item() < least:
            least, best = loss.item(), (matrix.detach().numpy().copy(), prior.detach().numpy().copy())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Transition(best[0], _names(None, classes), best[1])


def confident_transition(labels: ArrayLike, probs: ArrayLike, classes: Sequence[str] | None = None) -> Transition:
    """Estimate p(given | true) and p(true) by `confident_joint`, the calibrated one.

    `labels` [n] are class indices, -1 = missing; `probs` [n, classes] out-of-sample probabilities. Raises as
    `confident_joint` does.
    """
    joint = confident_joint(labels, probs)
    return Transition.from_counts(joint.T, _names(classes, len(joint)))


def hoc(
    embeddings: ArrayLike,
    labels: ArrayLike,
    rounds: int = 50,
    steps: int = 1501,
    seed: int = 0,
    quiet: bool = False,
    classes: Sequence[str] | None = None,
) -> Transition:
    """Estimate p(given | true) from how often the labels of a row and its two nearest neighbours agree.

    No anchor points and no model are needed, only that neighbours mostly share the true class, and that fewer than half
    of the labels of each class are wrong. `embeddings` [n, d], compared by their cosine; `labels` [n], class indices,
    -1 = missing. In each of `rounds` 0.7 n rows are drawn and counted. Memory grows with classes cubed, of which there
    may be 500. Classes beyond the last that is given are never mistaken.

    Raises `ValueError` for fewer than 3 labelled rows, and for embeddings that are not finite or are all zeros. Source:
    Zhu, Song, Liu, ICML 2021 (arXiv 2102.05291).
    """
    if rounds < 1 or steps < 1:
        raise ValueError(f"rounds and steps must be at least 1; got {rounds} and {steps}")
    _, given, near = labelled_neighbours(embeddings, labels, 12, 3, quiet)
    if classes is not None and given.max() >= len(classes):
        raise ValueError(f"classes must name all that are given; got {len(classes)} names and class {given.max()}")
    counts = consensus(near.rows, given, rounds, np.random.default_rng(seed))
    found = fit_transition(*counts, steps=steps, seed=seed)
    if classes is None:
        return found
    names = tuple(classes)
    prior = np.zeros(len(names))
    prior[: len(found.classes)] = found.prior
    known = Transition(found.matrix, names[: len(found.classes)])
    return Transition(known.for_classes(names).matrix, names, prior)


def anchor_points(probs: ArrayLike, discard: float = 0.0, classes: Sequence[str] | None = None) -> Transition:
    """Estimate p(given | true) from rows that surely are of a class.

    Row i is the row of `probs` [n, classes] (of a model of the given labels) with the largest probability of class i,
    after the share `discard` in [0, 1) of the largest is left out, as these may be outliers. Raises `ValueError`,
    naming row, column and value, for numbers that are no probabilities.

    Source: Patrini et al., "Making Deep Neural Networks Robust to Label Noise", CVPR 2017 (arXiv 1609.03683).
    """
    probabilities = np.asarray(probs)
    if probabilities.ndim != 2 or probabilities.size == 0 or not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"probs must be floats [n, classes]; got {probabilities.dtype} {list(probabilities.shape)}")
    if not 0 <= discard < 1:
        raise ValueError(f"discard must be in [0, 1); got {discard}")
    deque(over(probabilities, slice(None), check), maxlen=0)
    left_out = int(discard * len(probabilities))
    place = len(probabilities) - 1 - left_out
    rows = [np.argpartition(column, place)[place] for column in probabilities.T]
    matrix = probabilities[rows].astype(np.float64)
    return Transition(matrix / matrix.sum(axis=1, keepdims=True), _names(classes, len(matrix)))


def _names(classes: Sequence[str] | None, number: int) -> tuple[str, ...]:
    return tuple(map(str, range(number))) if classes is None else tuple(classes)
