"""A recipe of noise, applied to a table, with the truth of what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from labelwise.labels.nesting import parent_classes
from labelwise.labels.noise import codes
from labelwise.labels.noise.pictures import feature_matrix, spoil_rows
from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task
from labelwise.labels.transition import Transition

if TYPE_CHECKING:
    import pandas as pd

_SHARES = ("symmetric", "pair", "instance", "spoil")


def plant(
    table: LabelTable,
    task: str | None,
    recipe: Mapping[str, Any],
    *,
    rows: np.ndarray | None = None,
    flows: Mapping[str, str] | None = None,
    carry: bool = True,
    seed: int = 0,
) -> tuple[LabelTable, "pd.DataFrame"]:
    """Make labels of one task wrong in known ways; hands back the noisy table and the truth.

    `recipe` may hold, in any order:

    - "symmetric": share of labels changed to any other class;
    - "pair": share changed to the class that each is mistaken for, see `flows`;
    - "instance": share changed where the example looks like another class, to that class;
    - "transition": a `Transition` that each label is drawn from, joined by class name; rows hit by other kinds keep
      theirs;
    - "spoil": share of rows whose image is ruined, so that it supports no label;
    - "pseudo_class": how many rows of one class get an invented one, "NAME?"; (class, number) to say which class, else
      one is drawn among those with rows enough;
    - "open_set": names of classes taken away, whose rows get labels of those that are left.

    Shares are in [0, 1], of the labelled rows. Only `rows` (bool [n], default all) are hit, none twice; open-set noise
    alone takes all rows of its classes. `flows` maps class to class (default: to the one that looks most alike by
    features, or the next one if there are none). Without `task` the one with most classes is taken. With `carry` the
    labels of linked parent tasks follow a changed label: who takes a 3 for an 8 miscounts its loops as well.

    The truth is a pandas DataFrame, sorted by `example`, with the columns `example` (row), `task`, `kind` ("symmetric",
    "pair", "instance", "transition", "spoiled", "pseudo_class" or "open_set"), `clean` (class name; None where a
    picture was spoiled) and `given`. A parent task has rows of its own where its label is wrong too. The table that was
    handed in is not changed, and in the new one only what the truth tells of.

    Raises `ValueError` if more rows are to be hit than there are, for an unknown class, or to spoil what is no image.
    """
    _check_recipe(recipe)
    chosen = _chosen(table, task)
    labels = table.labels(chosen.name)
    may = np.ones(len(table), bool) if rows is None else np.asarray(rows, bool)
    if may.shape != labels.shape:
        raise ValueError(f"rows must be one truth value for each of the {len(table)} rows; got {list(may.shape)}")
    removed = recipe.get("open_set", ())
    removed = [_code(chosen, name) for name in ([removed] if isinstance(removed, str) else removed)]
    generator = np.random.default_rng(seed)
    plan = _Plan(labels, len(chosen.classes), removed, may, generator)
    hits = {name: round(recipe.get(name, 0.0) * int((may & (labels >= 0)).sum())) for name in _SHARES}
    if removed:
        plan.take(codes.open_set(plan.noisy, removed, plan.classes, generator), "open_set")
    pseudo = None
    if recipe.get("pseudo_class"):
        pseudo, size = plan.pseudo(chosen, recipe["pseudo_class"])
        plan.take(codes.pseudo_class(plan.noisy, pseudo, plan.classes, size, generator, plan.free), "pseudo_class")
    features = feature_matrix(table) if hits["instance"] or (hits["pair"] and flows is None) else None
    if hits["pair"]:
        ways = {_code(chosen, a): _code(chosen, b) for a, b in flows.items()} if flows else plan.flows(features)
        plan.take(codes.pair(plan.noisy, ways, hits["pair"], generator, plan.free), "pair")
    if hits["instance"]:
        if features is None:
            raise ValueError(f"{table.source} has no images or numbers for noise to depend on; leave out 'instance'")
        plan.take(plan.instance(features, hits["instance"]), "instance")
    if hits["symmetric"]:
        plan.take(plan.symmetric(hits["symmetric"]), "symmetric")
    if "transition" in recipe:
        plan.take(plan.through(recipe["transition"], chosen), "transition")
    noisy = table
    if hits["spoil"]:
        readable = plan.free & (labels >= 0)
        readable[list(table.unreadable)] = False
        ruined = np.sort(codes.choose(np.flatnonzero(readable), hits["spoil"], generator, "rows with an image"))
        plan.kinds[ruined] = "spoiled"
        noisy = spoil_rows(table, ruined, generator)
    noisy = _with_classes(noisy, chosen, plan, None if pseudo is None else chosen.classes[pseudo])
    if carry:
        noisy = _carried(table, noisy, chosen, plan)
    return noisy, _truth(table, noisy, chosen, plan)


@dataclass
class _Plan:
    """Noisy labels as they grow, and the kind of noise that hit each row ("" = none)."""

    labels: np.ndarray
    classes: int
    removed: list[int]
    may: np.ndarray
    generator: np.random.Generator

    def __post_init__(self) -> None:
        self.noisy = self.labels.copy()
        self.kinds = np.full(len(self.labels), "", dtype="<U12")
        self.left = np.setdiff1d(np.arange(self.classes), self.removed)

    @property
    def free(self) -> np.ndarray:
        return self.may & (self.kinds == "")

    def take(self, changed: np.ndarray, kind: str) -> None:
        self.kinds[changed != self.noisy] = kind
        self.noisy = changed

    def pseudo(self, task: Task, wanted: int | tuple[str, int]) -> tuple[int, int]:
        """The class that loses rows to an invented one, and how many."""
        if not isinstance(wanted, int):
            return _code(task, wanted[0]), wanted[1]
        rows = np.bincount(self.noisy[self.free & (self.noisy >= 0)], minlength=self.classes)
        enough = np.flatnonzero(rows > wanted)
        if not len(enough):
            raise ValueError(f"no class of {task.name!r} has more than {wanted} rows for a pseudo-class")
        return int(self.generator.choice(enough)), wanted

    def known(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the classes that are left; others count as missing."""
        return np.where(np.isin(labels, self.left), labels, -1)

    def flows(self, features: np.ndarray | None) -> dict[int, int]:
        if features is None:
            return dict(zip(self.left.tolist(), np.roll(self.left, -1).tolist(), strict=True))
        return codes.look_alikes(features, self.known(self.labels), self.classes)

    def instance(self, features: np.ndarray, flips: int) -> np.ndarray:
        """Noise that depends on the example, among the classes that are left."""
        known = self.known(self.labels)
        changed = codes.instance_dependent(known, features, self.classes, flips, self.generator, self.free)
        return np.where(changed != known, changed, self.noisy)

    def symmetric(self, flips: int) -> np.ndarray:
        """Symmetric noise among the classes that are left, counted 0, 1, ... meanwhile."""
        place = np.full(self.classes, -1)
        place[self.left] = np.arange(len(self.left))
        known = self.known(self.noisy)
        flipped = codes.symmetric(
            np.where(known >= 0, place[known], -1), len(self.left), flips, self.generator, self.free
        )
        return np.where(flipped >= 0, self.left[flipped], self.noisy)

    def through(self, transition: Transition, task: Task) -> np.ndarray:
        """Noise by a transition among the classes that are left; what it would send to another stays in the row."""
        matrix = np.eye(self.classes)
        matrix[np.ix_(self.left, self.left)] = transition.for_classes([task.classes[k] for k in self.left]).matrix
        known = self.known(self.noisy)
        drawn = codes.through(known, matrix, self.generator, self.free)
        return np.where(known >= 0, drawn, self.noisy)


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    known = (*_SHARES, "pseudo_class", "open_set", "transition")
    for name, value in recipe.items():
        if name not in known:
            raise ValueError(f"a recipe of noise may hold {', '.join(known)}; got {name!r}")
        if name in _SHARES and not 0 <= value <= 1:
            raise ValueError(f"{name!r} must be a share of the labelled rows, in [0, 1]; got {value}")


def _chosen(table: LabelTable, name: str | None) -> Task:
    singles = [task for task in table.tasks if task.kind == "single"]
    if name is None and singles:
        return max(singles, key=lambda task: len(task.classes))
    task = table.task(name)
    if task.kind != "single":
        raise ValueError(f"noise can be planted in labels of kind 'single'; {task.name!r} is {task.kind!r}")
    return task


def _code(task: Task, name: str) -> int:
    if name not in task.classes:
        raise ValueError(f"{name!r} is not a class of {task.name!r} ({', '.join(task.classes[:20])})")
    return task.classes.index(name)


def _with_classes(table: LabelTable, task: Task, plan: _Plan, pseudo: str | None) -> LabelTable:
    """The table with the noisy labels, without the classes taken away and with the invented one."""
    names = np.array([*task.classes, f"{pseudo}?"], dtype=object)
    while pseudo is not None and names[-1] in task.classes:
        names[-1] += "?"
    column = pa.array(names[plan.noisy], pa.string(), mask=plan.noisy < 0)
    classes = [task.classes[k] for k in plan.left] + ([names[-1]] if pseudo is not None else [])
    data = table.data.set_column(table.data.column_names.index(task.name), task.name, column)
    tasks = [replace(one, classes=tuple(classes)) if one.name == task.name else one for one in table.tasks]
    return replace(table, data=data, tasks=tuple(tasks))


def _carried(clean: LabelTable, noisy: LabelTable, task: Task, plan: _Plan) -> LabelTable:
    """Let the labels of parent tasks follow the changed ones, by what most clean rows of the new class have."""
    rows = np.flatnonzero(np.isin(plan.kinds, ["symmetric", "pair", "instance", "transition", "open_set"]))
    given = plan.noisy[rows]
    while task.parent is not None:
        above = parent_classes(clean, task)[given]
        task = clean.task(task.parent)
        labels = clean.labels(task.name)
        follows = (above >= 0) & (labels[rows] >= 0)
        rows, given = rows[follows], above[follows]
        labels[rows] = given
        noisy = noisy.with_labels(task.name, labels)
    return noisy


def _truth(clean: LabelTable, noisy: LabelTable, task: Task, plan: _Plan) -> "pd.DataFrame":
    import pandas as pd

    tables = []
    line: Task | None = task
    while line is not None:
        before = np.asarray(clean.data[line.name].to_pylist(), dtype=object)
        after = np.asarray(noisy.data[line.name].to_pylist(), dtype=object)
        spoiled = (plan.kinds == "spoiled") & np.asarray(noisy.data[line.name].is_valid())
        rows = np.flatnonzero((before != after) | spoiled)
        before[spoiled] = None
        columns = {
            "example": rows,
            "task": line.name,
            "kind": plan.kinds[rows],
            "clean": before[rows],
            "given": after[rows],
        }
        tables.append(pd.DataFrame(columns).astype({"kind": object, "clean": object, "given": object}))
        line = clean.task(line.parent) if line.parent is not None else None
    return pd.concat(tables).sort_values("example", kind="stable", ignore_index=True)
