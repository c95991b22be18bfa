"""What is wrong beyond single labels: outliers, and all that is about a class, column, group or annotator."""

from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import pandas as pd

from labelwise.audit.annotators import annotator_issues
from labelwise.audit.balance import balance_issues
from labelwise.audit.data_issues import DataIssue
from labelwise.audit.findings import Finding
from labelwise.audit.groups import underperforming_groups
from labelwise.audit.leaks import leak_issues
from labelwise.audit.near_duplicates import FEWEST_ROWS, MOST_ROWS
from labelwise.audit.neighbours import APPROXIMATE, MOST_EXACT, Neighbours, nearest
from labelwise.audit.new_classes import new_class_issues
from labelwise.audit.outliers import outlier_findings
from labelwise.audit.pseudo_classes import pseudo_class_issues
from labelwise.labels import LabelTable


def look_further(
    table: LabelTable,
    means: Mapping[str, np.ndarray],
    features: np.ndarray | None,
    answers: pd.DataFrame | None,
    labels_only: bool,
    seed: int,
    notes: list[str],
    quiet: bool = False,
) -> tuple[list[Finding], list[DataIssue]]:
    """Run every detector that has what it needs; what could not be looked for is added to `notes`.

    `means` are out-of-sample probabilities by task, [n, classes], `features` [n, ...] or None; `answers` those of
    several annotators, if there are any (`annotators.annotator_quality`).
    """
    issues = [*balance_issues(table)]
    if answers is not None and find_spec("crowdkit") is None:
        notes.append("Annotators were not compared: that needs an extra, pip install 'labelwise[annotators]'.")
    elif answers is not None:
        issues += annotator_issues(answers)
    if labels_only:
        return [], issues
    singles = [task for task in table.tasks if task.kind == "single"]
    for task in singles:
        issues += leak_issues(table, task.name, seed)

    neighbours: Neighbours | None = None
    readable = np.ones(len(table), bool)
    readable[list(table.unreadable)] = False
    rows = np.flatnonzero(readable)
    vectors = None if features is None else np.asarray(features).reshape(len(features), -1)
    if vectors is None:
        notes.append("Outliers and new classes were not looked for: that needs features (or --embeddings).")
    elif not FEWEST_ROWS <= len(rows) <= MOST_ROWS:
        notes.append(f"Outliers were not looked for: that is done for {FEWEST_ROWS} to {MOST_ROWS:,} rows.")
    else:
        if len(rows) > MOST_EXACT:
            notes.append(f"Outliers, and the neighbours of pseudo-classes, are those of {APPROXIMATE}.")
        neighbours = nearest(vectors[rows], quiet=quiet, title="Looking for outliers")
    parents = {task.parent for task in table.tasks}
    for task in singles:
        labels = table.labels(task.name)
        if task.name in means:
            issues += pseudo_class_issues(task, labels, means[task.name], neighbours, rows)
            issues += underperforming_groups(table, task.name, means[task.name])
        if vectors is not None and task.name not in parents:  # the classes inside a parent's are known
            others = [table.labels(other.name) for other in singles if other != task]
            issues += new_class_issues(task, np.where(readable, labels, -1), vectors, others, table.groups, seed)
    if not means:
        notes.append("Pseudo-classes and underperforming groups were not looked for: that needs models of the labels.")
    return [] if neighbours is None else list(outlier_findings(neighbours, rows)), issues
