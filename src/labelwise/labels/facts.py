"""What there is to say of a label table, as plain dictionaries."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labelwise.labels.kinds import CATEGORICAL, NUMERIC, numbers_of, scalar_columns
from labelwise.labels.table import LabelTable
from labelwise.labels.task import Task

if TYPE_CHECKING:
    import pandas as pd

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


def column_statistics(table: LabelTable, kinds: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Statistics of the feature columns that hold one number, word, date or truth value a row, by skrub.

    `{"rows": rows looked at, "sampled": whether these are a sample, "repeated": how many of them equal an earlier one
    in all features, None if not all of these are such columns, "columns": {name: statistics}}`. To skrub's are
    added the `kind` of the column (as in `kinds`, else by its looks: `labels.kinds.KINDS`); of numbers the `skewness`
    and the shares of `zeros` and of `outliers` (beyond 1.5 interquartile ranges from the quartiles); of categories the
    `entropy` in nats and the share of rows with `rare` values (of fewer than ten rows). What is missing or infinite
    counts in none of these.
    """
    import skrub

    columns = scalar_columns(table, _SAMPLE, kinds)
    facts: dict[str, Any] = {"rows": len(columns.rows), "sampled": len(columns.rows) < len(table)}
    whole = bool(columns.kinds) and len(columns.kinds) == len(table.feature_names)
    facts |= {"repeated": int(columns.frame.duplicated().sum()) if whole else None, "columns": {}}
    if not len(columns.frame) or not columns.kinds:
        return facts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # infinite numbers have no deviation; it is null below
        report = skrub.TableReport(columns.frame, plot_distributions=False, compute_associations=False, verbose=0)
        told = json.loads(report.json(), parse_constant=lambda _: None)
    for column in told["columns"]:
        name = column.pop("name")
        for useless in ("position", "idx", "plot_names"):
            column.pop(useless, None)
        kind = columns.kinds[name]
        facts["columns"][name] = column | {"kind": kind} | _shape(columns.frame[name], kind)
    return facts


def _shape(values: pd.Series, kind: str) -> dict[str, float | None]:
    """What skrub does not tell of a column of this kind."""
    if kind in NUMERIC:
        numbers = numbers_of(values).dropna()
        if not len(numbers):
            return {}
        low, high = numbers.quantile([0.25, 0.75])
        reach = 1.5 * (high - low)
        outliers = (numbers < low - reach) | (numbers > high + reach)
        skewness: Any = numbers.skew()
        return {
            "skewness": float(skewness) if np.isfinite(skewness) else None,
            "zeros": float((numbers == 0).mean()),
            "outliers": float(outliers.mean()),
        }
    if kind in CATEGORICAL:
        counts = values.value_counts().to_numpy()
        shares = counts / counts.sum()
        return {
            "entropy": float(-np.sum(shares * np.log(shares))),
            "rare": float(counts[counts < RARE].sum() / counts.sum()),
        }
    return {}


def file_facts(source: str) -> dict[str, Any] | None:
    """Name, bytes and SHA-256 of the file that a table was read from; None if the source is no file."""
    path = Path(source)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
