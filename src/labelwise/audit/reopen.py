"""A finished audit, opened again: its labels with the findings in effect."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from labelwise import runs
from labelwise.audit import findings
from labelwise.audit.correct import apply_corrections
from labelwise.labels import LabelTable, Task, read
from labelwise.runs import RunFolder, free_name, read_json, writing


def corrected(run: str | PathLike[str], *, quiet: bool = False) -> LabelTable:
    """The audited examples, read from their source again, with corrected labels; for training. Raises as `examples`."""
    return apply_corrections(examples(run, quiet=quiet), findings.read(RunFolder(run) / runs.ISSUES))


def examples(run: str | PathLike[str], *, quiet: bool = False) -> LabelTable:
    """The audited examples, read from their source again, with the labels as they were given.

    Raises `ValueError` if the run is not finished, or if the source has changed since; `FileNotFoundError` if the
    source is no file, or is gone.
    """
    folder, given = finished(run)
    config = folder.config
    roles = {role: config[role] for role in ("group", "split", "id")}
    try:
        kinds = config.get("label_kinds", {})
        labels = [f"{name}={kinds[name]}" if name in kinds else name for name in config["labels"]]
        table = read(config["source"], labels, **roles, parents=config["parents"], quiet=quiet)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"the audit in {run} is of {config['source']!r}, which cannot be read again; put the file back, or in "
            "Python give the findings and the table that was audited to `labelwise.audit.apply_corrections`"
        ) from None
    for task in given.tasks:
        if table.task(task.name).classes != task.classes or not np.array_equal(
            table.labels(task.name), given.labels(task.name)
        ):
            raise ValueError(
                f"labels of {task.name!r} in {config['source']} have changed since the audit in {run}; audit again"
            )
    return table


def export_corrected(run: str | PathLike[str], file: str | PathLike[str]) -> dict[str, dict[str, int]]:
    """Write the corrected labels as Parquet or CSV (by the name of `file`), one row an example, in the source's order.

    The columns are `id`, each task (the corrected class, null where it was removed or missing), and each task's label
    as it was given, `given_TASK`; a task of such a name keeps it, and the other is written with a "_" at its end. Needs
    the run folder alone. Gives how many labels changed by task:
    {"relabelled": ..., "removed": ...}. Raises `ValueError` if the run is not finished, or for another kind of file.
    """
    folder, given = finished(run)
    table = apply_corrections(given, findings.read(folder / runs.ISSUES))
    write_corrected(given, table, file)
    return count_changes(given, table)


def write_corrected(
    given: LabelTable, table: LabelTable, file: str | PathLike[str], more: Mapping[str, pa.Array] | None = None
) -> None:
    """Write the labels of `table` beside those of `given`, see `export_corrected`, and then the columns `more`."""
    names = [task.name for task in table.tasks]
    columns: dict[str, Any] = {free_name("id", names): table.id_column}
    columns |= {task.name: table.data[task.name] for task in table.tasks}
    columns |= {free_name(f"given_{task.name}", names): given.data[task.name] for task in given.tasks}
    for name, column in (more or {}).items():
        columns[free_name(name, columns)] = column
    write_columns(file, columns)


def write_columns(file: str | PathLike[str], columns: Mapping[str, Any]) -> None:
    """Write columns as Parquet or CSV by the name of `file`; raises `ValueError` for another kind of file."""
    check_suffix(file)
    with writing(file) as temporary:
        if temporary.suffix == ".csv":
            pa.csv.write_csv(pa.table(columns), temporary)
        else:
            pq.write_table(pa.table(columns), temporary)


def check_suffix(file: str | PathLike[str]) -> None:
    """Raise `ValueError` unless the file's name ends as one that labels can be written to."""
    if Path(file).suffix not in (".parquet", ".csv"):
        raise ValueError(f"corrected labels are written as .parquet or .csv; got {Path(file).name!r}")


def count_changes(given: LabelTable, table: LabelTable) -> dict[str, dict[str, int]]:
    """How many labels of `given` are others in `table`, by task: {"relabelled": ..., "removed": ...}."""
    changed = {}
    for task in given.tasks:
        before, after = given.labels(task.name), table.labels(task.name)
        changed[task.name] = {
            "relabelled": int(((after != before) & (after >= 0)).sum()),
            "removed": int(((after < 0) & (before >= 0)).sum()),
        }
    return changed


def finished(run: str | PathLike[str]) -> tuple[RunFolder, LabelTable]:
    """The folder of a finished audit, and the labels as they were given, without features.

    Raises `ValueError` if it is no audit or not finished.
    """
    folder = RunFolder(run)
    if "labels" not in folder.config:
        raise ValueError(
            f"{run} is not a run of `labelwise audit`, so it holds no findings; give the folder of an audit"
        )
    if not (folder / runs.ISSUES).is_file():
        raise ValueError(f"the audit in {run} is not finished; run its command again, it goes on where it was")
    facts = read_json(folder / "describe.json")["tasks"]
    tasks = [
        Task(each["name"], classes=tuple(each["counts"]), parent=each["parent"])
        for each in facts
        if each["kind"] == "single"
    ]
    names = [each["name"] for each in facts]
    split = free_name("split", names) if folder.config["split"] else None
    data = pq.read_table(folder / runs.LABELS)
    return folder, LabelTable(data, tuple(tasks), id=free_name("id", names), split=split, source=str(run))
