"""Confident learning: how the classes are mistaken for each other, as out-of-sample probabilities tell.

Everything here takes `labels` [n] (class indices, -1 = missing) and `probs` [n, classes] (out of sample, float16,
float32 or float64, in memory or memory-mapped). Probabilities are read in blocks and never copied; what is kept beside
them are a few columns of length n, and counts of those pairs of classes that occur. Rows without a label are counted
nowhere and never looked at. Rows must sum to 1 within 1e-3 and are taken as they are. Raises `ValueError`, naming row,
column and value, for other numbers and for labels out of range.

Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 2021 (arXiv 1911.00068); the filters as in Northcutt,
Athalye, Mueller, "Pervasive Label Errors in Test Sets", NeurIPS 2021 (arXiv 2103.14749).
"""

from functools import partial
from typing import Literal, NamedTuple, get_args, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array, csr_array, diags_array

from labelwise.audit.blocks import Rows, check, label_and_probability_arrays, labelled_rows, over

Prior = Literal["cnt", "eqn", "marginal", "marginal_ps"]

SLACK = 1e-6  # a probability this close to a threshold reaches it; a given label this close to the best one stands
_TINY = 1e-100
_DENSE = 1000  # classes up to which a matrix of them is small


class Columns(NamedTuple):
    """What one pass over the probabilities leaves, each [n].

    `given`: the labels, -1 = missing. `own`: the probability of the given label. `best`: the most probable class, the
    lowest of several. `top`: its probability. Where the label is missing, `best` is -1 and the others are 0.
    """

    given: np.ndarray
    own: np.ndarray
    best: np.ndarray
    top: np.ndarray


def read_columns(labels: ArrayLike, probs: ArrayLike) -> tuple[Columns, np.ndarray]:
    """Read and check all probabilities once; give the columns, and the probabilities as an array."""
    given, probabilities = label_and_probability_arrays(labels, probs)
    n, work_type = len(given), np.result_type(probabilities.dtype, np.float32)
    columns = Columns(given, np.zeros(n, work_type), np.full(n, -1, np.int32), np.zeros(n, work_type))

    for rows, (own, best, top) in over(probabilities, labelled_rows(given), _read, given):
        columns.own[rows], columns.best[rows], columns.top[rows] = own, best, top
    return columns, probabilities


def _read(rows: Rows, values: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check(rows, values)
    at, best = np.arange(len(values)), values.argmax(axis=1)
    return values[at, given], best.astype(np.int32), values[at, best]


def class_thresholds(labels: ArrayLike, probs: ArrayLike) -> np.ndarray:
    """How confident the model is, on average, in each class where it is the given label, float64 [classes].

    A class that no row is labelled with gets 2, which no probability reaches.
    """
    columns, probabilities = read_columns(labels, probs)
    return thresholds(columns, probabilities.shape[1])


@overload
def confident_joint(labels: ArrayLike, probs: ArrayLike, calibrate: bool = True) -> np.ndarray: ...


@overload
def confident_joint(
    labels: ArrayLike, probs: ArrayLike, calibrate: bool = True, *, sparse: Literal[True]
) -> csr_array: ...


def confident_joint(
    labels: ArrayLike, probs: ArrayLike, calibrate: bool = True, *, sparse: bool = False
) -> np.ndarray | csr_array:
    """Count the pairs (given class, confidently guessed class), int64 [classes, classes], given classes in rows.

    A class is guessed where its probability reaches its threshold (the most probable, if several do); rows that reach
    none are not counted. With `calibrate`, every row is scaled to as many as are labelled with its class, so that the
    whole sums to the number of labelled rows; a class without a row has zeros. With `sparse` it is a `scipy.sparse`
    array, for many classes.
    """
    columns, probabilities = read_columns(labels, probs)
    joint = count_pairs(columns, confident_guess(columns, probabilities), probabilities.shape[1])
    if calibrate:
        joint = calibrated(joint, columns.given)
    return joint if sparse else joint.toarray()


def estimate_joint(labels: ArrayLike, probs: ArrayLike) -> np.ndarray:
    """Estimate the joint distribution of given (rows) and true class (columns), float64 [classes, classes], sum 1.

    Its trace is the estimated share of correct labels.
    """
    counts = confident_joint(labels, probs)
    return counts / counts.sum()


class NoiseMatrices(NamedTuple):
    """How labels come about, each float64.

    `noise` [given class, true class]: p(given | true), columns sum to 1. `inverse` [true class, given class]:
    p(true | given), columns sum to 1. `prior` [classes]: p(true).
    """

    noise: np.ndarray
    inverse: np.ndarray
    prior: np.ndarray


def noise_matrices(labels: ArrayLike, probs: ArrayLike, prior: Prior = "cnt", converge: bool = False) -> NoiseMatrices:
    """Estimate from the confident joint how true classes turn into given ones, and back.

    `prior` says how p(true) is found: `cnt` by counting, p(true=k | given=k) / p(given=k | true=k) p(given=k); `eqn`
    by solving p(given) = noise p(true) (by least squares where the noise matrix cannot be inverted); `marginal` as the
    column sums of the joint; `marginal_ps` as inverse p(given). It is clipped to [1e-6, 1]. With `converge`, the three
    are computed from each other 3 times 5 times, so that they agree. Classes that do not occur have columns of 0.
    """
    if prior not in get_args(Prior):
        raise ValueError(f"prior must be one of {', '.join(get_args(Prior))}; got {prior!r}")
    joint = confident_joint(labels, probs).astype(np.float64)
    given, true = joint.sum(axis=1), joint.sum(axis=0)
    shares = given / given.sum()
    noise = joint / np.maximum(true, _TINY)
    inverse = joint.T / np.maximum(given, _TINY)
    if prior == "cnt":
        p_true = _counted_prior(noise, inverse, shares)
    elif prior == "eqn":
        p_true = _normalised(np.linalg.lstsq(noise, shares)[0], SLACK)
    elif prior == "marginal":
        p_true = _normalised(true / true.sum(), SLACK)
    else:
        p_true = _normalised(inverse @ shares, SLACK)
    noise, inverse = _clipped(noise), _clipped(inverse)
    if converge:
        for _ in range(3):
            for _ in range(5):
                pairs = noise * p_true
                inverse = _clipped(pairs.T / np.maximum(pairs.sum(axis=1), _TINY))
                p_true = _counted_prior(noise, inverse, shares)
            pairs = (inverse * shares).T
            noise = _clipped(pairs / np.maximum(pairs.sum(axis=0), _TINY))
        p_true = _normalised(p_true, 1e-5)
    return NoiseMatrices(noise, inverse, p_true)


def thresholds(columns: Columns, classes: int) -> np.ndarray:
    """The mean probability of the given label by class, 2 for a class without a row, float64 [classes]."""
    given = columns.given + 1  # missing labels count as class 0, which is dropped
    rows = np.bincount(given, minlength=classes + 1)[1:]
    sums = np.bincount(given, weights=columns.own, minlength=classes + 1)[1:]
    return np.where(rows > 0, np.maximum(sums / np.maximum(rows, 1), 2 * SLACK), 2.0)


def confident_guess(columns: Columns, probs: np.ndarray) -> np.ndarray:
    """The class whose threshold is reached (the most probable, if several), -1 where none is, int32 [n].

    Where the most probable class reaches its threshold it is the guess, whatever else does. Of the others, only such
    rows are read again in which another class could reach one: it has at most the top probability, and at most what
    that leaves.
    """
    cuts = thresholds(columns, probs.shape[1]) - SLACK
    at_best = (columns.best >= 0) & (columns.top >= cuts[columns.best])
    guess = np.where(at_best, columns.best, np.int32(-1))
    rows = np.flatnonzero((columns.best >= 0) & ~at_best)
    top = columns.top[rows]
    rows = rows[np.minimum(top, 1 + 2e-3 - top) >= cuts.min()]

    for part, found in over(probs, rows, partial(_look, cuts), columns.best):
        guess[part] = found
    return guess


def _look(cuts: np.ndarray, rows: Rows, values: np.ndarray, best: np.ndarray) -> np.ndarray:
    """The class that reaches its cut, the best one where several do, -1 where none does."""
    reached = values >= cuts
    times = np.count_nonzero(reached, axis=1)
    return np.where(times > 1, best, np.where(times == 1, reached.argmax(axis=1), -1))


def count_pairs(columns: Columns, guess: np.ndarray, classes: int) -> csr_array:
    """Count (given, guess) where there is a guess, at least 1 on the diagonal, int64 [classes, classes]."""
    counted = np.flatnonzero(guess >= 0)
    given, guessed = columns.given[counted], guess[counted]
    if classes**2 <= len(counted):  # faster, and small
        joint = csr_array(np.bincount(given * classes + guessed, minlength=classes**2).reshape(classes, classes))
    else:
        ones = np.ones(len(counted), np.int64)
        joint = coo_array((ones, (given.astype(np.int32), guessed)), (classes, classes)).tocsr()
    joint += diags_array(np.maximum(1 - joint.diagonal(), 0), dtype=np.int64)
    joint.eliminate_zeros()
    return joint


def calibrated(joint: csr_array, given: np.ndarray) -> csr_array:
    """Scale every row to as many as are labelled with its class, in whole numbers.

    Many entries are equal, so that the last bits and the order of sorting decide which of them are rounded up. Both are
    as in cleanlab (for up to 1000 classes), so that the same rows are found. Classes without a row stay out of it.
    """
    labelled = np.bincount(given + 1, minlength=joint.shape[0] + 1)[1:]
    used = np.flatnonzero(labelled)
    scaled = joint[used][:, used].astype(np.float64)
    row = np.repeat(np.arange(len(used)), np.diff(scaled.indptr))
    scaled.data = scaled.data / scaled.sum(axis=1)[row] * labelled[used][row]
    total = scaled.toarray(order="F").sum() if len(used) <= _DENSE else scaled.data.sum()
    scaled.data = scaled.data / total * labelled.sum()
    counts = _round_rows(scaled)
    everywhere = csr_array((counts, (used[row], used[scaled.indices])), joint.shape)
    everywhere.eliminate_zeros()
    return everywhere


def _round_rows(values: csr_array) -> np.ndarray:
    """Round to integers so that every row keeps its (rounded) total: the entries rounded furthest give way first.

    Gives the entries of `values`, of which no row may be empty. Zeros that it leaves out never have their turn.
    """
    starts, classes = values.indptr, values.shape[1]
    rounded = np.rint(values.data)
    lacking = np.rint(np.add.reduceat(values.data, starts[:-1])) - np.add.reduceat(rounded, starts[:-1])
    for row in np.flatnonzero(lacking):
        part, step, times = slice(*starts[row : row + 2]), int(np.sign(lacking[row])), int(abs(lacking[row]))
        off = values.data[part] - rounded[part]
        if classes <= _DENSE:
            columns, whole, first = values.indices[part], np.zeros(classes), np.zeros(classes, bool)
            whole[columns] = off
            first[np.argsort(whole)[::-step][:times]] = True
            chosen = np.flatnonzero(first[columns])
        else:
            chosen = np.argsort(off, kind="stable")[::-step][:times]
        rounded[part][chosen] += step
    return rounded.astype(np.int64)


def _counted_prior(noise: np.ndarray, inverse: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return _normalised(inverse.diagonal() / np.maximum(noise.diagonal(), _TINY) * shares, SLACK)


def _normalised(values: np.ndarray, low: float) -> np.ndarray:
    values = np.clip(values, low, 1)
    return values / values.sum()


def _clipped(rates: np.ndarray) -> np.ndarray:
    """Clip what is off the diagonal to [0, 0.9999]; every column sums to 1 (or 0) again."""
    clipped = np.clip(rates, 0, 0.9999)
    np.fill_diagonal(clipped, rates.diagonal())
    return clipped / np.maximum(clipped.sum(axis=0), _TINY)
