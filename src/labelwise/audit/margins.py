"""Wrong labels from how a model learns: labels that it never comes to prefer."""

import os
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike
from scipy.special import expit

from labelwise.audit.blocks import Rows, label_and_probability_arrays, labelled_rows, over
from labelwise.audit.findings import Finding
from labelwise.labels import LabelTable, Task
from labelwise.runs import EXAMPLES, PREDICTIONS, RunFolder, free_name

_ENOUGH = 20  # labels in both; fewer can be alike, or not, by luck


def area_under_margin(logits: Iterable[ArrayLike], labels: ArrayLike) -> np.ndarray:
    """The mean over epochs of how far the given label's logit is above the largest other one, float64 [n].

    `logits` gives an array [n, classes] an epoch, of the rows in the same order, as seen in training on `labels` [n]
    (class indices, -1 = missing: nan); it may be an array [epochs, n, classes], or make one after the other. Low values
    are suspicious: other rows of the class pull the logits away from a wrong label.

    Raises `ValueError` without any epoch, for arrays of other shapes, and for logits that are nan.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS 2020 (arXiv
    2001.10528).
    """
    total, epochs = np.zeros(np.shape(labels)), 0
    for each in logits:
        given, values = label_and_probability_arrays(labels, each)
        margins = np.full(len(given), np.nan)
        for rows, found in over(values, labelled_rows(given), _margins, given):
            margins[rows] = found
        unfit = np.flatnonzero(np.isnan(margins) & (given >= 0))
        if len(unfit):
            raise ValueError(f"logits must be numbers; those of epoch {epochs} give no margin at row {unfit[0]}")
        total += margins
        epochs += 1
    if epochs == 0:
        raise ValueError("logits must hold at least one epoch")
    return total / epochs


def _margins(rows: Rows, values: np.ndarray, given: np.ndarray) -> np.ndarray:
    at = np.arange(len(values))
    others = values.copy()
    others[at, given] = -np.inf
    margins: np.ndarray = values[at, given] - others[at, others.argmax(axis=1)]
    return margins


def recorded_margins(folder: str | os.PathLike[str], task: str | None = None) -> np.ndarray:
    """The area under the margin of each row, float64 [rows of the table], as `labelwise fit` noted it in `folder`.

    As of `area_under_margin`, from margins in half precision, over the epochs that noted one: methods that mix examples
    may leave rows out. It is nan for rows that were not trained on or have no label. Without `task` the only one is
    taken. Raises `ValueError` if the folder notes no margins of such a task.
    """
    run = RunFolder(folder)
    names = [one["name"] for one in run.config.get("tasks", [])]
    task = names[0] if task is None and len(names) == 1 else task
    column = free_name(f"{task}_margin", names)
    path = run / EXAMPLES
    noted = pq.read_schema(path).names if path.is_file() else []
    if task not in names or column not in noted:
        raise ValueError(
            f"{folder} notes no margins of task {task!r} (tasks: {', '.join(names) or 'none'}); fit a method that "
            "does, such as cross-entropy, and name a task"
        )
    table = pq.read_table(path, columns=[free_name("example", names), column])
    lists = table[column].combine_chunks()
    margins = np.asarray(lists.flatten().fill_null(np.nan), np.float64).reshape(len(table), -1)
    areas = np.full(run.config["data"]["rows"], np.nan)
    areas[table[0].to_numpy()] = noted_mean(margins, 1)
    return areas


def noted_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what was noted, [rows, epochs], over one of the two, without what is nan; of nothing else it is nan."""
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.nansum(values, axis=axis) / (~np.isnan(values)).sum(axis=axis)
    return mean


def given_margins(table: LabelTable, folder: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The recorded margins by task of `table` that were noted in a folder of `labelwise fit` to the same rows.

    Raises `ValueError` if the folder notes margins of none of its tasks, or was fitted to other rows: to another number
    of them, or to labels that are hardly more like those of the table than by chance.
    """
    fitted = [one["name"] for one in RunFolder(folder).config.get("tasks", [])]
    if not fitted:
        raise ValueError(f"{folder} is no folder of `labelwise fit`; margins are noted where a network learned")
    names = [task.name for task in table.tasks if task.kind == "single" and task.name in fitted]
    if not names:
        raise ValueError(
            f"{folder} was fitted to {', '.join(fitted)}, none of which {table.source} has with one class a row"
        )
    found = {name: recorded_margins(folder, name) for name in names}
    rows = len(found[names[0]])
    if rows != len(table):
        raise ValueError(f"{folder} was fitted to {rows} rows, and {table.source} has {len(table)}; give the same data")
    noted = pq.read_table(RunFolder(folder) / PREDICTIONS, columns=[free_name("example", fitted), *names])
    for name in names:
        codes = pc.fill_null(pc.index_in(noted[name], pa.array(table.task(name).classes)), -1)
        if _by_chance(np.asarray(codes), table.labels(name)[noted[0].to_numpy()]):
            raise ValueError(
                f"{folder} was fitted to rows in another order, or to others: its labels of {name!r} are like those of "
                f"{table.source} only by chance; give the same data"
            )
    return found


def _by_chance(fitted: np.ndarray, given: np.ndarray) -> bool:
    """Whether labels [n] (-1 = missing), enough of them to tell, have a Cohen's kappa below 1/4."""
    both = (fitted >= 0) & (given >= 0)
    one, other = fitted[both], given[both]
    if len(one) < _ENOUGH:
        return False
    counts = [np.bincount(each, minlength=1 + max(one.max(), other.max())) / len(one) for each in (one, other)]
    chance = counts[0] @ counts[1]
    return bool((one == other).mean() < chance + (1 - chance) / 4)


def with_margins(
    findings: Iterable[Finding], task: Task, labels: np.ndarray, areas: np.ndarray | None
) -> Iterator[Finding]:
    """Add to findings of wrong labels what training saw, and labels that training alone contradicts.

    `areas` [n] are areas under the margin (nan = not known), of which negative ones say that another class was
    preferred on average over training. A label that only training contradicts has 1 / (1 + exp(area)) as its score: the
    share of the other class in the probability of both, as it is with the normalised margin. Nothing is suggested for
    it, as no class is noted. Without areas the findings stay as they are.
    """
    seen: Mapping[int, float] = {} if areas is None else {int(row): areas[row] for row in np.flatnonzero(areas < 0)}
    known = set()
    for each in findings:
        known.add(each.example)
        area = seen.get(each.example)
        yield each if area is None else each._replace(why=f"{each.why}; {_contradicted(area)}")
    for row, area in seen.items():
        if row not in known and labels[row] >= 0:
            score = float(expit(-area))
            yield Finding(row, task.name, "label", score, task.classes[labels[row]], None, _contradicted(area))


def _contradicted(area: float) -> str:
    return f"in training another class was preferred on average (area under the margin {area:.2f})"
