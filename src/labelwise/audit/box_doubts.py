"""Which boxes are probably wrong, given what a detector found in pictures that it had not seen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from labelwise.labels import Boxes
from labelwise.labels.boxes import overlaps

_SAME = 0.5  # overlap from which two boxes are about the same thing
_NEAR = 0.1  # overlap from which a found box may say where a given one should be


class Doubt(NamedTuple):
    """A box that is probably wrong.

    `picture` is its row and `box` its number in that picture, -1 where there should be one and is none. `kind` is
    `label` (probably of another class), `spurious_box` (around nothing), `misplaced_box` or `missing_box`; `score` in
    [0, 1], 1 worst, is comparable within a kind. `suggested` is the index of the likely class and `corners`, float32
    [4], where the detector sees the thing, None where it has nothing to say.
    """

    picture: int
    box: int
    kind: str
    score: float
    suggested: int | None
    corners: np.ndarray | None


LEAST = {"label": 0.2, "spurious_box": 0.7, "misplaced_box": 0.3, "missing_box": 0.5}
"""Scores from which a doubt is worth a look, by kind."""


def box_doubts(given: Sequence[Boxes], found: Sequence[Boxes], least: Mapping[str, float] = LEAST) -> list[Doubt]:
    """Rank what is wrong with given boxes by those found out of sample, in the same pictures; scores of at least those.

    With s the score of a found box and o its overlap with the given one, the scores are

    - `label`: the largest s of another class with o >= 1/2, times one minus the largest of its own class.
    - `misplaced_box`: s (1 - o) of the found box of its class that fits best, by s o, of those that overlap no other
      given box more, and this one by at least 1/10.
    - `spurious_box`: one minus support over its median among the boxes of that class; so a class that is hard to find
      is not under suspicion as a whole. Support is the largest s o², or the s of the box that fits best.
    - `missing_box`: s (1 - o) of a found box, o its largest overlap with any given box, where it is below 1/2; those
      that fit a given box best are none. Of found boxes that overlap by more than 1/2 the surest counts.

    Raises `ValueError` for another number of pictures, and found boxes without scores.

    Source: after Tkachenko et al., "ObjectLab: Automated Diagnosis of Mislabeled Images in Object Detection Data"
    (2023), which scores pictures for overlooked, badly located and swapped boxes.
    """
    if len(given) != len(found):
        raise ValueError(f"given and found boxes must be of the same pictures; got {len(given)} and {len(found)}")
    pairs = []
    for picture, (own, guessed) in enumerate(zip(given, found, strict=True)):
        if guessed.scores is None:
            raise ValueError(f"found boxes need scores; those of picture {picture} have none")
        pairs.append((own, surest(guessed)))
    typical = _typical_support(pairs)
    doubts = [
        doubt
        for picture, pair in enumerate(pairs)
        for doubt in _doubts(picture, *pair, typical)
        if doubt.score >= least.get(doubt.kind, 0.0)
    ]
    return sorted(doubts, key=lambda doubt: (-doubt.score, doubt.picture, doubt.box))


def surest(found: Boxes) -> Boxes:
    """Found boxes without those that overlap a surer one of their class by more than half."""
    assert found.scores is not None
    order = np.argsort(-found.scores, kind="stable")
    sorted_ = Boxes(found.corners[order], found.labels[order], found.scores[order])
    alike = (overlaps(sorted_.corners, sorted_.corners) > _SAME) & (sorted_.labels[:, None] == sorted_.labels)
    alone = ~np.tril(alike, -1).any(1)
    return Boxes(sorted_.corners[alone], sorted_.labels[alone], found.scores[order][alone])


def _fit(given: Boxes, found: Boxes) -> np.ndarray:
    """How well each found box fits each given one of its class, [n, m]; 0 where it overlaps another given box more."""
    shared = overlaps(given.corners, found.corners)
    nearest = shared == shared.max(0, initial=0)
    return found.scores * shared * nearest * (shared >= _NEAR) * (given.labels[:, None] == found.labels)


def _support(given: Boxes, found: Boxes) -> np.ndarray:
    """How sure the detector is that there is something in each given box, [n] in [0, 1]."""
    around = (found.scores * overlaps(given.corners, found.corners) ** 2).max(1, initial=0)
    fit = _fit(given, found)
    if not fit.size:
        return around
    best = fit.argmax(1)
    return np.maximum(around, np.asarray(found.scores)[best] * (fit.max(1) > 0))


def _typical_support(pairs: Sequence[tuple[Boxes, Boxes]]) -> np.ndarray:
    """The median support of the given boxes of each class, [classes]."""
    labels = np.concatenate([given.labels for given, _ in pairs])
    support = np.concatenate([_support(given, found) for given, found in pairs])
    if not len(labels):
        return np.zeros(0)
    return np.array([np.median(own) if len(own := support[labels == k]) else 0.0 for k in range(labels.max() + 1)])


def _doubts(picture: int, given: Boxes, found: Boxes, typical: np.ndarray) -> Iterator[Doubt]:
    shared = overlaps(given.corners, found.corners)
    same = given.labels[:, None] == found.labels
    about = shared >= _SAME
    scores = np.asarray(found.scores)
    support = (scores * (about & same)).max(1, initial=0)
    anything = _support(given, found)
    rival = scores * (about & ~same)
    fit = _fit(given, found)
    explained = np.zeros(len(scores), bool)
    for box, label in enumerate(given.labels.tolist()):
        if typical[label] > 0:
            yield Doubt(picture, box, "spurious_box", max(0.0, 1 - anything[box] / typical[label]), None, None)
        if not len(scores):
            continue
        other = int(rival[box].argmax())
        suggested = int(found.labels[other])
        yield Doubt(picture, box, "label", rival[box, other] * (1 - support[box]), suggested, found.corners[other])
        best = int(fit[box].argmax())
        if fit[box, best] > 0:
            explained[best] = True
            score = scores[best] * (1 - shared[box, best])
            yield Doubt(picture, box, "misplaced_box", float(score), label, found.corners[best])
    largest = shared.max(0, initial=0)
    for at in np.flatnonzero(~explained & (largest < _SAME)).tolist():
        score = float(scores[at] * (1 - largest[at]))
        yield Doubt(picture, -1, "missing_box", score, int(found.labels[at]), found.corners[at])
