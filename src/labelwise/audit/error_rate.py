"""How sure the estimated share of wrong labels is."""

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit.confident import confident_joint

_DRAWS = 1_000


def error_rate_interval(labels: ArrayLike, probs: ArrayLike, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the share of wrong labels that the confident joint estimates, as (low, high).

    Rows are drawn anew 1,000 times, with the thresholds of the classes held fixed; then only three counts of each given
    class matter (rows that confidently agree, that confidently disagree, and others), which are drawn from their
    multinomial. The interval is that of percentiles. It tells of the number of rows, not of what the models get wrong:
    where they are over-confident or blind, the truth can lie outside. `labels` [n] (-1 = missing), `probs`
    [n, classes] out of sample.
    """
    joint = confident_joint(labels, probs, calibrate=False, sparse=True)
    given = np.asarray(labels)
    sizes = np.bincount(given[given >= 0], minlength=joint.shape[0])
    agree = np.asarray(joint.diagonal(), float)
    counted = np.asarray(joint.sum(axis=1), float).ravel()
    total = int(sizes.sum())
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(total, sizes / total, _DRAWS)
    share_counted = np.clip(counted / np.maximum(sizes, 1), 0, 1)  # the joint counts one row of a class at least
    confident = generator.binomial(drawn, share_counted)
    wrong = generator.binomial(confident, 1 - agree / np.maximum(counted, 1))
    # Of a class without confident rows in a draw nothing is known; it counts as in the data.
    rate = np.where(confident > 0, wrong / np.maximum(confident, 1), 1 - agree / np.maximum(counted, 1))
    low, high = np.quantile((rate * drawn).sum(axis=1) / total, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
