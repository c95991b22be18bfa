"""How true classes turn into given ones."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from labelwise.labels.table import LabelTable
from labelwise.runs import write_json


@dataclass(frozen=True, eq=False)
class Transition:
    """The probabilities p(given | true) between named classes.

    `matrix` [true, given] is float64, its rows sum to 1; `classes` names rows and columns; `prior` [classes] is p(true)
    where that is known. Estimates come from `labelwise.audit`: `confident_transition`, `anchor_points` and `hoc`.

    Raises `ValueError` for a matrix that is not square, of other size than there are names, or whose rows are no
    distributions (within 1e-6).
    """

    matrix: np.ndarray
    classes: tuple[str, ...]
    prior: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        object.__setattr__(self, "matrix", np.asarray(self.matrix, np.float64))
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes of a transition must differ; got {', '.join(self.classes)}")
        if self.matrix.shape != (len(self.classes),) * 2:
            raise ValueError(
                f"the matrix of a transition between {len(self.classes)} classes must be [true, given]; "
                f"got {list(self.matrix.shape)}"
            )
        _check_rows(self.matrix, "row {} of a transition", self.classes)
        if self.prior is not None:
            object.__setattr__(self, "prior", np.asarray(self.prior, np.float64))
            if self.prior.shape != (len(self.classes),):
                raise ValueError(f"the prior must have {len(self.classes)} shares; got {list(self.prior.shape)}")
            _check_rows(self.prior[None], "the prior", self.classes)

    @classmethod
    def identity(cls, classes: Sequence[str]) -> Self:
        """The transition without noise."""
        return cls(np.eye(len(classes)), tuple(classes))

    @classmethod
    def from_counts(cls, counts: np.ndarray, classes: Sequence[str]) -> Self:
        """The transition of these `counts` [true, given], at least 0; a class without any is never mistaken.

        For a confident joint, whose rows are the given classes, hand over its transpose.
        """
        counts = np.asarray(counts, np.float64)
        totals = counts.sum(axis=1, keepdims=True)
        matrix = np.where(totals > 0, counts / np.where(totals > 0, totals, 1), np.eye(len(counts)))
        return cls(matrix, tuple(classes), totals[:, 0] / totals.sum() if totals.sum() > 0 else None)

    @classmethod
    def measured(cls, table: LabelTable, true: str, given: str) -> Self:
        """Count how the labels of task `true` turned into those of task `given`, where both are known.

        Classes are joined by name: those of `given` in their order, then those that only `true` has. A class without a
        row is never mistaken. Raises `ValueError` for a task that is not there or not of kind `single`.
        """
        tasks = [table.task(name) for name in (true, given)]
        for task in tasks:
            if task.kind != "single":
                raise ValueError(f"a transition is measured between tasks of kind 'single'; {task.name!r} is not")
        classes = tuple(dict.fromkeys([*tasks[1].classes, *tasks[0].classes]))
        place = {name: at for at, name in enumerate(classes)}
        codes = [np.append([place[name] for name in task.classes], -1)[table.labels(task.name)] for task in tasks]
        known = (codes[0] >= 0) & (codes[1] >= 0)
        counts = np.zeros((len(classes),) * 2)
        np.add.at(counts, (codes[0][known], codes[1][known]), 1)
        return cls.from_counts(counts, classes)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `write` wrote. Raises `ValueError` that names the file if it is something else."""
        try:
            found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
            prior = found.get("prior")
            return cls(np.array(found["matrix"]), tuple(found["classes"]), None if prior is None else np.array(prior))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is no transition ({error}); it should hold `classes` (names), `matrix` (a row for each true "
                "class, sum 1) and perhaps `prior`, as JSON"
            ) from None

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the transition as JSON, whole or not at all."""
        prior = None if self.prior is None else self.prior.tolist()
        write_json(path, {"classes": list(self.classes), "matrix": self.matrix.tolist(), "prior": prior})

    def for_classes(self, classes: Sequence[str]) -> Self:
        """The same transition between these classes, joined by name.

        Classes that it does not know are never mistaken; what went to classes left out is spread over the others of the
        row. A row of which nothing is left is never mistaken either. The prior is kept only if the classes are the
        same.
        """
        names = tuple(map(str, classes))
        place = {name: at for at, name in enumerate(self.classes)}
        here = [at for at, name in enumerate(names) if name in place]
        there = [place[names[at]] for at in here]
        counts = np.zeros((len(names),) * 2)
        counts[np.ix_(here, here)] = self.matrix[np.ix_(there, there)]
        prior = self.prior[there] if self.prior is not None and set(names) == set(self.classes) else None
        return type(self)(type(self).from_counts(counts, names).matrix, names, prior)

    def noise_rate(self) -> float:
        """The share of wrong labels; where p(true) is not known, with all classes equally frequent."""
        right = self.matrix.diagonal()
        return float(1 - (right.mean() if self.prior is None else self.prior @ right))

    def posterior(self) -> np.ndarray:
        """p(true | given), float64 [true, given]; columns sum to 1, but for a class that is never given, with 0.

        Where p(true) is not known, all classes count as equally frequent.
        """
        prior = np.full(len(self.classes), 1 / len(self.classes)) if self.prior is None else self.prior
        joint = prior[:, None] * self.matrix
        given = joint.sum(axis=0)
        return joint / np.where(given > 0, given, 1)


def _check_rows(rows: np.ndarray, what: str, classes: Sequence[str]) -> None:
    bad = ~(np.isfinite(rows).all(axis=1) & (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) < 1e-6))
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(f"{what.format(repr(classes[at]))} must be shares that sum to 1; got {rows[at].tolist()[:20]}")
