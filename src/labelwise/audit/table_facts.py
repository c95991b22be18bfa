"""What a run folder says of the table itself, before anything is looked for."""

from collections.abc import Mapping

from labelwise.audit.unusual import unusual_rows
from labelwise.labels import LabelTable, associations, column_statistics, describe
from labelwise.labels.facts import file_facts
from labelwise.runs import RunFolder, write_json

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
