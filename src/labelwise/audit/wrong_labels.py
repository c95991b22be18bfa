"""Wrong labels: what confident learning and the vote of several models say together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelwise.audit import arrays
from labelwise.audit.blocks import best_classes
from labelwise.audit.confident import confident_joint
from labelwise.audit.error_rate import error_rate_interval
from labelwise.audit.filters import find_label_issues
from labelwise.audit.findings import Finding
from labelwise.audit.quality import quality_of
from labelwise.audit.votes import Vote, necv
from labelwise.labels import Task

_IMPROBABLE = 0.25  # of the mean probability of given labels
_LIKELY = 0.5


class Verdict(NamedTuple):
    """Which labels of a task are probably wrong.

    `flags`, bool [n]. `probability`, floats [n, classes]: the mean over models, mapped from a file where there is one.
    `predicted`, int64 [models, n]: the most probable class of each, and `vote` on these. `by_joint`, bool [n]: what
    confident learning flags by itself.
    """

    flags: np.ndarray
    probability: np.ndarray
    predicted: np.ndarray
    vote: Vote
    by_joint: np.ndarray


def wrong_labels(labels: np.ndarray, probabilities: np.ndarray, store: Path | None = None) -> Verdict:
    """Flag labels [n] (-1 = missing) that out-of-sample probabilities [models, n, classes] contradict.

    With one model that is confident learning (`prune_by_noise_rate`). With several a label is flagged if most models
    predict another class (`necv`), and besides either confident learning on their mean probability flags it, or that
    gives it less than a quarter of what it gives to labels on average. Digits with planted noise and four other data
    sets chose this rule: the vote alone finds most but flags whatever is hard, confident learning alone misses examples
    that look like no class. Of a class of one or two rows the most probable one is never flagged.

    Probabilities may be mapped from disk and are read in blocks. Their mean over several models, rounded to their
    precision, goes to the file `store`, from which it is mapped; without one it is held in memory. So with `store` the
    memory beside what is mapped is that of some columns: 8 bytes a row and model, and about 80 bytes a row.
    """
    mean = _mean(probabilities, store)
    by_joint = find_label_issues(labels, mean)
    predicted = np.stack([best_classes(each) for each in probabilities])
    vote = necv(predicted, labels)
    flags = by_joint.copy()
    rows = np.flatnonzero(labels >= 0)
    own = mean[rows, labels[rows]].astype(np.float64)
    if len(probabilities) > 1:
        improbable = np.zeros(len(labels), bool)
        improbable[rows] = own < _IMPROBABLE * own.mean()
        flags = vote.flags & (by_joint | improbable)
    counts = np.bincount(labels[rows], minlength=mean.shape[1])
    for k in np.flatnonzero((counts > 0) & (counts <= 2)):
        members = np.flatnonzero(labels == k)
        flags[members[mean[members, k].argmax()]] = False
    return Verdict(flags, mean, predicted, vote, by_joint)


def _mean(probabilities: np.ndarray, store: Path | None) -> np.ndarray:
    if len(probabilities) == 1:
        whole: np.ndarray = probabilities[0]
        return whole
    blocks = (probabilities[:, rows] for rows in arrays.row_blocks(probabilities.shape))
    slabs = (block.mean(axis=0, dtype=np.float64).astype(probabilities.dtype) for block in blocks)
    if store is None:
        return np.concatenate(list(slabs))
    arrays.write(store, probabilities.shape[1:], slabs)
    return arrays.read(store, probabilities.shape[1:])


def label_findings(task: Task, labels: np.ndarray, verdict: Verdict) -> Iterator[Finding]:
    """Give one finding for each flagged label, kind `label`.

    The score is 1 - the normalised margin of the mean probability. Suggested is the class that most models predict,
    or None if no class is likely (none has a mean probability of 1/2 or more): the example may support no label.
    """
    flagged = np.flatnonzero(verdict.flags)
    quality = quality_of(labels, verdict.probability, flagged, "normalized_margin")
    n_models = len(verdict.predicted)
    for row, believable in zip(flagged, quality, strict=True):
        probability, voted = verdict.probability[row], verdict.vote.suggestion[row]
        best = probability.argmax()
        likely = probability[best] >= _LIKELY
        said = f"the model predicts {task.classes[voted]!r}"
        if n_models > 1:
            votes = verdict.predicted[:, row]
            against = int((votes != labels[row]).sum())
            said = f"{int((votes == voted).sum())} of {n_models} models predict {task.classes[voted]!r}"
            said += f", {against} another class than the given one" if against > (votes == voted).sum() else ""
        why = f"{said}; probability of the given label {probability[labels[row]]:.2f}"
        if verdict.by_joint[row]:
            why += "; confident learning counts it as wrong"
        if not likely:
            why += f"; no class is likely ({task.classes[best]!r} has {probability[best]:.2f}), so none is suggested"
        suggested = task.classes[voted] if likely else None
        yield Finding(int(row), task.name, "label", float(1 - believable), task.classes[labels[row]], suggested, why)


def label_metrics(labels: np.ndarray, verdict: Verdict) -> dict[str, Any]:
    """Figures of a task: flagged labels, estimated share of wrong ones with its 95 % interval, share that the models
    predict."""
    labelled = np.flatnonzero(labels >= 0)
    joint = confident_joint(labels, verdict.probability, sparse=True)
    return {
        "flagged": int(verdict.flags.sum()),
        "estimated_error_rate": float(1 - joint.trace() / joint.sum()),
        "estimated_error_interval": list(error_rate_interval(labels, verdict.probability)),
        "accuracy_out_of_sample": float((best_classes(verdict.probability) == labels)[labelled].mean()),
    }
