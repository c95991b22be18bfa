"""How columns hang together, and which rows fit them badly, as facts."""

from pathlib import Path
from typing import Any

from labelwise.report.plain import Missing, clip, existing
from labelwise.runs import read_json

PAIRS = 20  # strongest ones named

_NAME = 200


def association_facts(path: Path) -> dict[str, Any]:
    """What `labels.associations` found, and `strongest`: the pairs of highest association, both not labels.

    Raises `Missing` without the file, and `ValueError` if it is broken.
    """
    value = _object(path, ("columns", "matrix", "spearman", "both", "flags", "left_out", "rows", "sampled", "views"))
    size = len(value["columns"])
    for key in ("matrix", "spearman", "both"):
        if len(value[key]) != size or any(len(row) != size for row in value[key]):
            raise ValueError(f"{path.name}: {key} should have a row and a column for each of {size} columns")
    every = [_pair(value, a, b) for a in range(size) for b in range(a) if value["matrix"][a][b] is not None]
    every = [pair for pair in every if pair["labels"] < 2]
    return value | {"strongest": sorted(every, key=lambda pair: -abs(pair["value"]))[:PAIRS]}


def reference_facts(associations: dict[str, Any] | None, names: list[str]) -> list[dict[str, Any]] | None:
    """The pairs of the columns `names`, which come from trusted outside data, with all others, strongest first.

    None if no column was named. Raises `ValueError` for a name that has no association.
    """
    if not names:
        return None
    if associations is None:
        raise Missing("this run has no associations.json")
    known = [column["name"] for column in associations["columns"]]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"about.yaml: reference names {unknown[0]!r}, which is no column with associations "
            f"({associations['left_out'].get(unknown[0], 'there is none of this name')}; columns: {clip(known, 200)})"
        )
    pairs = []
    for name in names:
        a = known.index(name)
        pairs += [_pair(associations, a, b) for b, other in enumerate(known) if other not in names]
    return sorted((pair for pair in pairs if pair["value"] is not None), key=lambda pair: -abs(pair["value"]))


def unusual_facts(path: Path) -> dict[str, Any]:
    """What `audit.unusual.unusual_rows` found. Raises `Missing`, with the reason, where rows could not be modelled."""
    value = read_json(existing(path))
    if isinstance(value, dict) and "why_not" in value:
        raise Missing(str(value["why_not"]))
    value = _object(path, ("rows", "components", "threshold", "unusual", "histogram", "lowest", "columns"))
    for row in value["lowest"]:
        row["id"] = clip(row["id"], _NAME)
        for cell in row["cells"]:
            cell["value"] = clip(cell["value"], _NAME)
    return value


def _pair(value: dict[str, Any], a: int, b: int) -> dict[str, Any]:
    columns = [value["columns"][at] for at in (a, b)]
    categories = sum(column["kind"] in ("boolean", "category") for column in columns)
    return {
        "a": columns[0]["name"],
        "b": columns[1]["name"],
        "labels": sum(column["label"] for column in columns),
        "measure": ("Pearson's r", "correlation ratio", "Cramer's V")[categories],
        "value": value["matrix"][a][b],
        "spearman": value["spearman"][a][b],
        "n": value["both"][a][b],
    }


def _object(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    value = read_json(existing(path))
    if not isinstance(value, dict) or not set(keys) <= set(value):
        raise ValueError(f"{path.name} should hold an object with {', '.join(keys)}")
    return value
