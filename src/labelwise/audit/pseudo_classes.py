"""Classes whose members look like those of another one: a typing error, or a name used in two ways."""

from collections.abc import Iterator

import numpy as np

from labelwise.audit.blocks import best_classes
from labelwise.audit.confident import confident_joint
from labelwise.audit.data_issues import SHOWN, DataIssue
from labelwise.audit.neighbours import Neighbours
from labelwise.labels import Task

_FEWEST = 5  # rows of a class that can be said anything of
_MOST_OF_IT = 0.5
_MIXED = 0.5


def pseudo_class_issues(
    task: Task, labels: np.ndarray, probability: np.ndarray, neighbours: Neighbours | None, rows: np.ndarray
) -> Iterator[DataIssue]:
    """Give one issue for each class that seems to be another one under a name of its own, kind `pseudo_class`.

    `labels` [n], out-of-sample `probability` [n, classes]; `neighbours` are those of `rows`, as positions in `rows`. A
    class a of five rows or more is named if, for one other class b,

    - the confident joint says that at least half of a belongs to b, and b is the larger one;
    - among the neighbours of a's members that are of a or b, the share of b is at least half of what it would be if
      rows of a and b were mixed at random, n_b / (n_a + n_b - 1). Without neighbours that is not asked.

    Models that know nothing guess the largest class everywhere, so b must also be guessed for members of a at least
    twice as often as for all other rows outside b. The score is the share of a that belongs to b. Source:
    pseudo-classes of Hu et al., "Noisy Ostracods", NeurIPS 2024; the joint of Northcutt, Jiang, Chuang, JAIR 2021.
    """
    joint = confident_joint(labels, probability, sparse=True)
    counts = np.bincount(labels[labels >= 0], minlength=len(task.classes))
    guess = best_classes(probability)
    for a in np.flatnonzero(counts >= _FEWEST):
        others = joint[[a]].toarray()[0]
        others[a] = -1
        b = int(others.argmax())
        share = others[b] / counts[a]
        if share < _MOST_OF_IT or counts[b] <= counts[a]:
            continue
        members = labels == a
        elsewhere = (labels >= 0) & ~members & (labels != b)
        if not elsewhere.any() or (guess[members] == b).mean() < 2 * (guess[elsewhere] == b).mean():
            continue
        why = f"{share:.0%} of its {counts[a]} rows belong to {task.classes[b]!r}, say models that did not see them"
        if neighbours is not None:
            near = labels[rows[neighbours.rows[members[rows]]]]
            own, other = (near == a).sum(), (near == b).sum()
            mixed = other / max(own + other, 1) / (counts[b] / (counts[a] + counts[b] - 1))
            if mixed < _MIXED:
                continue
            shares = f"{(near == b).mean():.0%} of their nearest examples are labelled so, {(near == a).mean():.0%}"
            why += f"; {shares} as they are"
        first = np.flatnonzero(members)[np.argsort(-probability[members, b], kind="stable")[:SHOWN]]
        yield DataIssue(
            "pseudo_class", task.name, task.classes[a], int(counts[a]), float(share), why, tuple(first.tolist())
        )
