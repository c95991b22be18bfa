"""Examples and their labels."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelwise.labels.nearest import nearest
from labelwise.labels.task import Task
from labelwise.runs import free_name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class LabelTable:
    """n examples: what is known of each (features), and what people said of it (labels, one column a task).

    `data` holds every column: numbers, text, encoded images (binary), pictures or vectors (Arrow fixed-shape tensors),
    audio samples (lists). `tasks` say which columns are labels. `group` names the column of examples that belong
    together and must never be split (a patient, a recording); `split` the one with "train", "validation" or "test";
    `id` the one that identifies rows (else the row number does). `media` names the one column that holds the image,
    audio or text to learn from, if there is one: ("photo", "image"). All other columns are features. `source` is used
    in messages; `unreadable` maps rows that could not be read to the reason.

    Label columns of kind `single` hold class names; `multi` lists of class names; `soft` and `count` lists of one
    number a class; `real` numbers. A null is a missing label, in every kind.
    """

    data: pa.Table
    tasks: tuple[Task, ...] = ()
    group: str | None = None
    split: str | None = None
    id: str | None = None
    media: tuple[str, str] | None = None
    source: str = "table"
    unreadable: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        names = [task.name for task in self.tasks]
        named = [*names, self.group, self.split, self.id, self.media[0] if self.media else None]
        for name in filter(None, named):
            self.check_column(name)
        for task in self.tasks:
            if task.parent is not None and task.parent not in names:
                raise ValueError(
                    f"parent of task {task.name!r} must be another task ({', '.join(names)}); got {task.parent!r}"
                )
            self._check_values(task)
        self._check_tree()

    def __repr__(self) -> str:
        told = (f"{len(task.classes)} classes" if task.classes else task.kind for task in self.tasks)
        tasks = ", ".join(f"{task.name} ({what})" for task, what in zip(self.tasks, told, strict=True)) or "no tasks"
        media = f", {self.media[1]} in {self.media[0]}" if self.media else ""
        features = len(self.feature_names)
        return f"LabelTable({self.source}: {len(self)} rows; {tasks}; {features} feature columns{media})"

    def __len__(self) -> int:
        return self.data.num_rows

    def check_column(self, name: str) -> None:
        """Raise `ValueError` that suggests the nearest name, if there is no column `name`."""
        columns = self.data.column_names
        if name not in columns:
            shown = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
            raise ValueError(f"{self.source} has no column {name!r}{nearest(name, columns)} (columns: {shown})")

    def task(self, name: str | None = None) -> Task:
        """The task called `name`; without a name, the only one. Raises `ValueError` if there is no such one."""
        if name is None and len(self.tasks) == 1:
            return self.tasks[0]
        for task in self.tasks:
            if task.name == name:
                return task
        raise ValueError(f"name one of the tasks {', '.join(t.name for t in self.tasks) or '(none)'}; got {name!r}")

    @property
    def feature_names(self) -> list[str]:
        """Columns that are neither label, group, split nor id."""
        other = {task.name for task in self.tasks} | {self.group, self.split, self.id}
        return [name for name in self.data.column_names if name not in other]

    @property
    def features(self) -> pa.Table:
        """The feature columns."""
        return self.data.select(self.feature_names)

    @property
    def ids(self) -> np.ndarray:
        """What identifies each row, as text, [n]: the `id` column, else the row number."""
        return self.id_column.to_numpy(zero_copy_only=False).astype(str)

    @property
    def id_column(self) -> pa.Array | pa.ChunkedArray:
        """The same as Arrow text, which takes far less memory."""
        if self.id is None:
            return pc.cast(pa.array(np.arange(len(self))), pa.string())
        return pc.cast(self.data[self.id], pa.string()).fill_null("")

    @property
    def groups(self) -> np.ndarray | None:
        """Group of each row as int64 codes, [n]; None without a group column. A row without group is its own."""
        if self.group is None:
            return None
        column = self.data[self.group].combine_chunks().dictionary_encode()
        codes = np.asarray(column.indices.fill_null(-1), dtype=np.int64)
        lonely = codes == -1
        codes[lonely] = len(column.dictionary) + np.arange(lonely.sum())
        return codes

    def labels(self, name: str | None = None) -> np.ndarray:
        """Labels of a task as numbers.

        `single`: class indices, int64 [n], missing -1. `multi`: 0/1, int8 [n, classes], rows of -1 where missing.
        `soft`, `count`: float64 [n, classes], and `real`: float64 [n], nan where missing.
        """
        task = self.task(name)
        column = self.data[task.name].combine_chunks()
        if task.kind == "real":
            return np.asarray(pc.cast(column, pa.float64()).fill_null(np.nan))
        if task.kind == "single":
            indices = pc.index_in(pc.cast(column, pa.string()), value_set=pa.array(task.classes, pa.string()))
            return np.asarray(indices.fill_null(-1), dtype=np.int64)
        lengths = np.asarray(pc.list_value_length(column).fill_null(0))
        rows = np.repeat(np.arange(len(self)), lengths)
        missing = np.asarray(column.is_null())
        values = column.flatten()
        if task.kind == "multi":
            sets = np.zeros((len(self), len(task.classes)), np.int8)
            sets[rows, np.asarray(pc.index_in(values, value_set=pa.array(task.classes, pa.string())))] = 1
            sets[missing] = -1
            return sets
        shares = np.full((len(self), len(task.classes)), np.nan)
        shares[~missing] = np.asarray(pc.cast(values, pa.float64())).reshape(-1, len(task.classes))
        return shares

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split ("train", "validation", "test"); none if the table has no split column."""
        if self.split is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.asarray(pc.equal(self.data[self.split], split).fill_null(False)))

    def select(self, rows: Sequence[int] | np.ndarray) -> "LabelTable":
        """The table of these rows, in this order; a boolean mask is taken as well."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        positions = np.flatnonzero(np.isin(rows, list(self.unreadable))) if self.unreadable else ()
        unreadable = {int(at): self.unreadable[int(rows[at])] for at in positions}
        return replace(self, data=self.data.take(pa.array(rows)), unreadable=unreadable)

    def with_labels(self, name: str, codes: np.ndarray) -> "LabelTable":
        """The same table with other labels for the `single` task `name`, given as class indices [n] (-1 = missing)."""
        task = self.task(name)
        codes = np.asarray(codes)
        if task.kind != "single":
            raise ValueError(f"only labels of kind 'single' can be set as class indices; {name!r} is {task.kind!r}")
        if codes.shape != (len(self),) or codes.dtype.kind not in "iu":
            raise ValueError(
                f"labels of {name!r} must be one integer a row, [{len(self)}]; got {codes.dtype} {list(codes.shape)}"
            )
        _check_codes(codes, task, self.source)
        column = pa.array(task.classes, pa.string()).take(pa.array(codes, mask=codes < 0))
        return replace(self, data=self.data.set_column(self.data.column_names.index(name), name, column))

    def with_split(self, parts: np.ndarray) -> "LabelTable":
        """The same table split in these parts, "train", "validation" or "test", [n] (see `split`)."""
        parts = np.asarray(parts).astype(str)
        unknown = np.setdiff1d(parts, ["train", "validation", "test"])
        if parts.shape != (len(self),) or len(unknown):
            raise ValueError(
                f"a split must be train, validation or test for each of {len(self)} rows; got "
                + (repr(str(unknown[0])) if len(unknown) else f"{list(parts.shape)}")
            )
        name = self.split
        if name is not None:
            return replace(self, data=self.data.set_column(self.data.column_names.index(name), name, pa.array(parts)))
        name = free_name("split", self.data.column_names)
        return replace(self, data=self.data.append_column(name, pa.array(parts)), split=name)

    def with_tasks(self, tasks: Iterable[Task]) -> "LabelTable":
        """The same columns under other tasks, for instance with parents named."""
        return replace(self, tasks=tuple(tasks))

    def fingerprint(self, columns: Sequence[str] | None = None) -> str:
        """Sixteen hexadecimal digits that depend on the content of `columns` alone (default: the features)."""
        digest = hashlib.sha256()
        data = self.data.select(self.feature_names if columns is None else list(columns)).combine_chunks()
        sink = pa.PythonFile(_Hasher(digest), mode="w")
        with pa.ipc.new_stream(sink, data.schema.remove_metadata()) as writer:
            writer.write_table(data.replace_schema_metadata(), max_chunksize=65_536)
        return digest.hexdigest()[:16]

    def to_pandas(self) -> "pd.DataFrame":
        """All columns as a pandas DataFrame."""
        return self.data.to_pandas()

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], tasks: Iterable[Task], **roles: Any) -> "LabelTable":
        """A table from arrays of equal length, by name; `roles` are the other fields of the class.

        A NumPy array of two or more dimensions becomes a fixed-shape tensor column. Labels of kind `single` may be
        class indices (-1 = missing) or class names.
        """
        tasks = tuple(tasks)
        arrays = {name: _to_arrow(values) for name, values in columns.items()}
        for task in tasks:
            column = arrays.get(task.name)
            if column is not None and task.kind == "single" and pa.types.is_integer(column.type):
                codes = np.asarray(column)
                _check_codes(codes, task, str(roles.get("source", "table")))
                arrays[task.name] = pa.array(task.classes, pa.string()).take(pa.array(codes, mask=codes < 0))
        return cls(pa.table(arrays), tasks, **roles)

    def _check_tree(self) -> None:
        parents = {task.name: task.parent for task in self.tasks}
        for start in parents:
            line = [start]
            while (above := parents[line[-1]]) is not None:
                if above in line:
                    raise ValueError(f"tasks cannot be their own ancestors: {' -> '.join([*line, above])}")
                line.append(above)

    def _check_values(self, task: Task) -> None:
        column = self.data[task.name]
        if task.kind == "single":
            if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
                raise ValueError(
                    f"labels of {task.name!r} must be one class name a row; the column holds {column.type}"
                )
            known = pc.is_in(pc.cast(column, pa.string()), value_set=pa.array(task.classes, pa.string()))
            self._refuse(task, pc.and_(pc.invert(known), column.is_valid()), f"one of its {len(task.classes)} classes")
        elif task.kind == "real":
            if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
                raise ValueError(f"labels of {task.name!r} must be numbers; the column holds {column.type}")
            numbers = pc.cast(column, pa.float64())
            infinite = pc.invert(pc.is_finite(numbers)).fill_null(False)
            self._refuse(task, infinite, "finite numbers, or null if missing")
        else:
            self._check_lists(task, column)

    def _check_lists(self, task: Task, column: pa.ChunkedArray) -> None:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            raise ValueError(f"labels of {task.name!r} ({task.kind}) must be lists; the column holds {column.type}")
        if task.kind == "multi":
            inside = pc.is_in(pc.list_flatten(column), value_set=pa.array(task.classes, pa.string()))
            rows = np.asarray(pc.list_parent_indices(column.combine_chunks()))
            bad = np.bincount(rows[~np.asarray(inside)], minlength=len(self)) > 0
            self._refuse(task, bad, f"names among its {len(task.classes)} classes")
        else:
            lengths = pc.list_value_length(column)
            wrong = pc.not_equal(lengths, len(task.classes)).fill_null(False)
            self._refuse(task, wrong, f"{len(task.classes)} numbers")
            shares = self.labels(task.name)
            missing = np.asarray(column.is_null())
            negative = ~np.all(np.isfinite(shares) & (shares >= 0), axis=1) & ~missing
            self._refuse(task, negative, "finite numbers of 0 or more")
            if task.kind == "soft":
                off = np.abs(np.nan_to_num(shares).sum(axis=1) - 1) > 1e-3
                self._refuse(task, off & ~missing, "shares that sum to 1")

    def _refuse(self, task: Task, bad: Any, expected: str) -> None:
        rows = np.flatnonzero(np.asarray(bad))
        if len(rows):
            value = self.data[task.name][int(rows[0])].as_py()
            more = f" ({len(rows)} rows are so)" if len(rows) > 1 else ""
            raise ValueError(
                f"labels must be {expected}; got {value!r} at row {rows[0]} ({self.source}, column {task.name}){more}"
            )


class _Hasher:
    """A file that only digests what is written to it."""

    closed = False

    def __init__(self, digest: Any):
        self.digest = digest

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _to_arrow(values: Any) -> Any:
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    return pa.array(values, from_pandas=True)


def _check_codes(codes: np.ndarray, task: Task, source: str) -> None:
    bad = np.flatnonzero((codes < -1) | (codes >= len(task.classes)))
    if len(bad):
        raise ValueError(
            f"labels must be integers in [0, {len(task.classes)}), or -1 if missing; got {codes[bad[0]]} at row "
            f"{bad[0]} ({source}, column {task.name})"
        )
