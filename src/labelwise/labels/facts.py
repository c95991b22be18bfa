"""What there is to say of a label table, as plain dictionaries."""

import json
import warnings
from typing import Any

import numpy as np
import pyarrow as pa

from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task

RARE = 10  # rows; a class with fewer is called rare
_SAMPLE = 100_000  # rows that column statistics are taken from


def describe(table: LabelTable) -> dict[str, Any]:
    """Facts about rows, groups, splits and the classes of each task of kind `single`, fit for JSON."""
    groups = None
    if table.groups is not None:
        sizes = np.bincount(np.unique(table.groups, return_inverse=True)[1])
        groups = {"column": table.group, "number": len(sizes), "largest": int(sizes.max(initial=0))}
    splits = None
    if table.split is not None:
        counts = {part: len(table.rows(part)) for part in ("train", "validation", "test")}
        splits = {part: count for part, count in counts.items() if count}
    tasks = [_describe_task(table, task) for task in table.tasks]
    return {"rows": len(table), "source": table.source, "groups": groups, "splits": splits, "tasks": tasks}


def _describe_task(table: LabelTable, task: Task) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": task.name, "kind": task.kind, "parent": task.parent, "classes": len(task.classes)}
    missing = table.data[task.name].null_count
    facts |= {"labelled": len(table) - missing, "missing": missing}
    if task.kind != "single":
        return facts
    codes = table.labels(task.name)
    counts = np.bincount(codes[codes >= 0], minlength=len(task.classes))
    present = counts[counts > 0]
    shares = present / max(1, present.sum())
    return facts | {
        "counts": dict(zip(task.classes, counts.tolist(), strict=True)),
        "imbalance_factor": float(present.max() / present.min()) if len(present) else None,
        "effective_classes": float(np.exp(-np.sum(shares * np.log(shares)))) if len(present) else None,
        "empty": [name for name, count in zip(task.classes, counts, strict=True) if count == 0],
        "rare": int((present < RARE).sum()),
    }


def column_statistics(table: LabelTable) -> dict[str, Any]:
    """Statistics of the feature columns that hold one number, word, date or truth value a row, by skrub.

    `{"rows": rows looked at, "sampled": whether these are a sample, "columns": {name: statistics}}`.
    """
    import skrub

    features = table.features
    scalar = [field.name for field in features.schema if is_scalar(field.type)]
    if table.media is not None and table.media[1] == "text":
        scalar = [name for name in scalar if name != table.media[0]]
    data = features.select(scalar)
    sampled = len(data) > _SAMPLE
    if sampled:
        rows = np.sort(np.random.default_rng(0).choice(len(data), _SAMPLE, replace=False))
        data = data.take(pa.array(rows))
    if not scalar or not len(data):
        return {"rows": len(data), "sampled": sampled, "columns": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # infinite numbers have no deviation; it is null below
        report = skrub.TableReport(data.to_pandas(), plot_distributions=False, compute_associations=False, verbose=0)
        facts = json.loads(report.json(), parse_constant=lambda _: None)
    columns = {}
    for column in facts["columns"]:
        name = column.pop("name")
        for useless in ("position", "idx", "plot_names"):
            column.pop(useless, None)
        columns[name] = column
    return {"rows": len(data), "sampled": sampled, "columns": columns}


def is_scalar(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one number, word, date or truth value a row."""
    tests = (
        pa.types.is_null,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_dictionary,
        pa.types.is_temporal,
        pa.types.is_decimal,
    )
    return any(test(kind) for test in tests)
