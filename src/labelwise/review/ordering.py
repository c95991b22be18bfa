"""What to ask first: arithmetic on arrays.

The order is by severity times expected gain, summed over the questions of an item, whose questions stand together; the
items of a random sample are mixed in.
"""

import numpy as np

EVERY = 10
"""One item in so many is of the random sample, as long as that lasts."""

_NUMBERS = 2**22  # probabilities in memory at once


def severities(score: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Make scores [n] comparable across groups [n] (kind and task), within which alone they are.

    Gives the rank within the group, from 1 (worst) down to 0; equal scores share theirs.
    """
    severity = np.zeros(len(score))
    for each in np.unique(group):
        rows = np.flatnonzero(group == each)
        _, of, size = np.unique(score[rows], return_inverse=True, return_counts=True)
        severity[rows] = (np.cumsum(size) - size / 2)[of] / len(rows)
    return severity


def gains(probabilities: np.ndarray, rows: np.ndarray, given: np.ndarray, suggested: np.ndarray) -> np.ndarray:
    """What it is worth to follow a suggestion: (1 + the probability of the suggested class - that of the given) / 2.

    `probabilities` [models, examples, classes], of which the mean counts, may be on disk; `rows`, `given` and
    `suggested` are integers [n], classes -1 where there are none: the likeliest then counts as suggested, and none as
    given has the probability 0.
    """
    gain = np.empty(len(rows))
    step = max(1, _NUMBERS // (probabilities.shape[0] * probabilities.shape[2]))
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        mean = probabilities[:, rows[some]].mean(axis=0, dtype=np.float64)
        at = np.arange(len(mean))
        better = np.where(suggested[some] >= 0, mean[at, suggested[some]], mean.max(axis=1))
        gain[some] = (1 + better - np.where(given[some] >= 0, mean[at, given[some]], 0)) / 2
    return gain


def positions(item: np.ndarray, worth: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """Where each question stands, a permutation, int64 [n].

    `item` [n] says what each question is about, `worth` [n] is its severity times gain, `sampled` [n] whether it was
    drawn at random. After every nine items comes one of which nothing but drawn questions is known, in the order of the
    draw. The questions of an item stand together, those worth most first.
    """
    items, of = np.unique(item, return_inverse=True)
    drawn = np.bincount(of, ~sampled, minlength=len(items)) == 0
    place = np.empty(len(items))
    found = np.flatnonzero(~drawn)
    place[found[np.argsort(-np.bincount(of, worth, minlength=len(items))[found], kind="stable")]] = np.arange(
        len(found)
    )
    first = np.unique(of, return_index=True)[1]
    in_turn = np.flatnonzero(drawn)[np.argsort(first[drawn])]
    place[in_turn] = (np.arange(len(in_turn)) + 1) * (EVERY - 1) - 0.5
    position = np.empty(len(item), np.int64)
    position[np.lexsort((-worth, of, place[of]))] = np.arange(len(item))
    return position
