"""What a run folder says of the table itself, before anything is looked for."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labelwise.audit.unusual import unusual_rows
from labelwise.labels import LabelTable, associations, column_statistics, describe
from labelwise.labels.facts import file_facts
from labelwise.runs import RunFolder, free_name, write_json, writing

DESCRIPTION = "describe.json"
COLUMNS = "columns.json"
ASSOCIATIONS = "associations.json"
UNUSUAL = "unusual.json"


def write_table_facts(folder: RunFolder, table: LabelTable, kinds: Mapping[str, str] | None, seed: int) -> None:
    """Write size, classes and file (`describe.json`), and what is to be said of columns and rows, into a run folder.

    `columns.json`, `associations.json` and `unusual.json` are of samples where the table is large; see
    `labels.column_statistics`, `labels.associations` and `unusual_rows`. Where rows cannot be modelled, `unusual.json`
    holds the reason alone, as `why_not`. `kinds` are the kinds of columns that a person gave.
    """
    write_json(folder / DESCRIPTION, describe(table) | {"file": file_facts(table.source)})
    write_json(folder / COLUMNS, column_statistics(table, kinds))
    write_json(folder / ASSOCIATIONS, associations(table, kinds, seed))
    try:
        unusual = unusual_rows(table, kinds, seed)
    except ValueError as error:
        unusual = {"why_not": str(error)}
    write_json(folder / UNUSUAL, unusual)


def write_labels(path: Path, table: LabelTable) -> None:
    """Write id, group, split and the given labels as text, one row an example; tasks keep their names."""
    names = [task.name for task in table.tasks]
    columns = {free_name("id", names): table.id_column}
    for role, name in (("group", table.group), ("split", table.split)):
        if name is not None:
            columns[free_name(role, names)] = pc.cast(table.data[name], pa.string())
    for task in table.tasks:
        column = table.data[task.name]
        if pa.types.is_nested(column.type):
            column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        columns[task.name] = pc.cast(column, pa.string())
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
