"""Run folders to review, as an audit leaves them, without the minutes of an audit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from labelwise.runs import write_json, write_text

CLASSES = {"animal": ("cat", "dog", "owl", "yak"), "family": ("bird", "mammal")}
FAMILY = {"cat": "mammal", "dog": "mammal", "owl": "bird", "yak": "mammal"}


def make_run(path: Path, rows: int = 40, findings: Sequence[Mapping[str, Any]] | None = None, **config: Any) -> Path:
    """A finished audit of `rows` rows and two linked tasks; every eighth row has no animal.

    Without `findings`, every third row is found to have a wrong animal, every fifth a wrong family, every seventh to
    be an outlier.
    """
    animals = [None if row % 8 == 7 else CLASSES["animal"][row % 4] for row in range(rows)]
    labels: dict[str, Sequence[str | None]] = {
        "animal": animals,
        "family": [FAMILY[CLASSES["animal"][row % 4]] for row in range(rows)],
    }
    if findings is None:
        findings = usual_findings(labels)
    settings = {"source": "made up", "labels": list(labels), "group": None, "split": None, "id": None}
    write_text(
        path / "config.yaml", yaml.safe_dump(settings | {"parents": {"animal": "family"}, "content": "0"} | config)
    )
    facts = [
        {"name": name, "kind": "single", "parent": {"animal": "family"}.get(name), "counts": dict.fromkeys(known, 1)}
        for name, known in CLASSES.items()
    ]
    write_json(path / "describe.json", {"rows": rows, "tasks": facts})
    pq.write_table(pa.table({"id": [f"row {row}" for row in range(rows)], **labels}), path / "labels.parquet")
    frame = pd.DataFrame(list(findings), columns=["example", "task", "kind", "score", "given", "suggested", "why"])
    frame["example"] = frame["example"].astype(np.int64)
    text = {
        name: pa.array(frame[name], pa.string(), from_pandas=True) for name in frame if name not in ("example", "score")
    }
    numbers = {"example": pa.array(frame["example"]), "score": pa.array(frame["score"], pa.float64())}
    pq.write_table(pa.table({name: (numbers | text)[name] for name in frame}), path / "issues.parquet")
    return path


def usual_findings(labels: Mapping[str, Sequence[str | None]]) -> list[dict[str, Any]]:
    """Findings about every third, fifth and seventh row, worst first."""
    found = []
    for row, animal in enumerate(labels["animal"]):
        score = 1 - row / len(labels["animal"])
        if row % 3 == 0 and animal is not None:
            other = CLASSES["animal"][(row + 1) % 4]
            found.append(say(row, "animal", "label", score, animal, other if row % 2 else None))
        if row % 5 == 0:
            family = labels["family"][row]
            found.append(say(row, "family", "taxonomy", score, family, "bird" if family == "mammal" else "mammal"))
        if row % 7 == 0:
            found.append(say(row, None, "outlier", score, None, None))
    return found


def say(
    row: int, task: str | None, kind: str, score: float, given: str | None, suggested: str | None
) -> dict[str, Any]:
    """One finding."""
    found = {"example": row, "task": task, "kind": kind, "score": score, "given": given, "suggested": suggested}
    return found | {"why": f"{kind} in row {row}"}
