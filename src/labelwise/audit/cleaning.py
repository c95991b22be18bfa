"""How good an audit was, where an expert has cleaned the same labels: the protocol of Noisy Ostracods.

Source: Hu et al., "Noisy Ostracods", NeurIPS 2024 Datasets and Benchmarks (arXiv 2412.02313).
"""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labelwise.audit import findings
from labelwise.audit.correct import apply_corrections
from labelwise.audit.reopen import finished
from labelwise.audit.truth import true_labels
from labelwise.labels import LabelTable
from labelwise.runs import ISSUES


def cleaning_report(
    flags: ArrayLike,
    noisy: ArrayLike,
    clean: ArrayLike,
    focus_class: int | None = None,
    pseudo_classes: Sequence[int] = (),
    *,
    suggested: ArrayLike | None = None,
) -> dict[str, Any]:
    """Compare flagged labels with the errors that an expert found, all [n].

    `flags` are bool; `noisy` class indices as given (-1 = none: such rows are left out); `clean` as the expert left
    them, -1 where the example was removed, as it supports no label. So there are feature errors (removed) and label
    errors (relabelled). `focus_class` is a class whose labels are mostly wrong, and would drown the others;
    `pseudo_classes` are such as should not exist. `suggested` are class indices in place of the given ones, -1 = none.

    Gives plain numbers, shares None where there is nothing to divide by:
    - `hit_rate`, `feature_hit_rate`, `label_hit_rate`: flagged share of all, of feature and of label errors;
    - `precision`: share of errors in what is flagged;
    - `found_pseudo_class`: whether any row labelled with one was flagged (None if there is no such row);
    - `focus_hit_rate`, `other_hit_rate`: flagged share of the errors labelled with the focus class, and of the others;
    - `suggestion_accuracy`: share of flagged label errors for which the expert's class is suggested;
    - counts: `rows`, `flagged`, `errors`, `feature_errors`, `label_errors`, `hits`, `feature_hits`, `label_hits`;
    - `classes`: for each given class with a flag or an error `class`, `rows`, `flagged`, `errors`, `hits`, `hit_rate`,
      `precision`.
    """
    flagged, given, right = np.asarray(flags), np.asarray(noisy), np.asarray(clean)
    if flagged.ndim != 1 or not flagged.shape == given.shape == right.shape:
        shapes = ", ".join(str(list(each.shape)) for each in (flagged, given, right))
        raise ValueError(f"flags, noisy and clean must all be [n]; got shapes {shapes}")
    if flagged.dtype != bool:
        raise ValueError(f"flags must be bool, one a row; got {flagged.dtype}")
    for name, each in (("noisy", given), ("clean", right)):
        if not np.issubdtype(each.dtype, np.integer) or each.min(initial=0) < -1:
            raise ValueError(f"{name} must hold class indices, or -1; got {each.dtype}, least {each.min(initial=0)}")
    scored = given >= 0
    flagged, given, right = flagged[scored], given[scored], right[scored]
    removed, relabelled = right < 0, (right >= 0) & (right != given)
    errors = removed | relabelled
    focus = np.zeros(len(given), bool) if focus_class is None else given == focus_class
    pseudo = np.isin(given, list(pseudo_classes))
    accuracy = None
    if suggested is not None:
        instead = np.asarray(suggested)
        if instead.shape != scored.shape or not np.issubdtype(instead.dtype, np.integer):
            raise ValueError(
                f"suggested must be class indices [{len(scored)}], or -1; got {instead.dtype} {list(instead.shape)}"
            )
        accuracy = _share((instead[scored] == right)[flagged & relabelled].sum(), flagged & relabelled)
    return {
        "hit_rate": _share(flagged & errors, errors),
        "feature_hit_rate": _share(flagged & removed, removed),
        "label_hit_rate": _share(flagged & relabelled, relabelled),
        "precision": _share(flagged & errors, flagged),
        "found_pseudo_class": bool((flagged & pseudo).any()) if pseudo.any() else None,
        "focus_hit_rate": _share(flagged & errors & focus, errors & focus),
        "other_hit_rate": None if focus_class is None else _share(flagged & errors & ~focus, errors & ~focus),
        "suggestion_accuracy": accuracy,
        "rows": len(given),
        "flagged": int(flagged.sum()),
        "errors": int(errors.sum()),
        "feature_errors": int(removed.sum()),
        "label_errors": int(relabelled.sum()),
        "hits": int((flagged & errors).sum()),
        "feature_hits": int((flagged & removed).sum()),
        "label_hits": int((flagged & relabelled).sum()),
        "classes": _by_class(flagged, errors, given),
    }


def evaluate_cleaning(
    run: str | PathLike[str],
    truth: LabelTable,
    task: str | None = None,
    focus_class: str | None = None,
    pseudo_classes: Sequence[str] = (),
    absent_removed: bool = False,
) -> dict[str, Any]:
    """The `cleaning_report` of a finished audit, against a table of the true labels, joined by id.

    What counts as flagged is what `export_corrected` would change, and what it would change it to is the suggestion. A
    row of `truth` without a label was removed. Rows that it lacks are left out; with `absent_removed` they were removed
    too (those of its own splits, if both tables have splits). `task` may be left out if there is one; classes are given
    by name, and stand by name in the result.

    Raises `ValueError` if the run is not finished, or shares no id with the truth; for a task or class that is not in
    the run.
    """
    folder, given = finished(run)
    name = given.task(task).name
    classes = given.task(name).classes
    named = [*pseudo_classes, *([focus_class] if focus_class is not None else [])]
    unknown = [each for each in named if each not in classes]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a class of {name!r} in {run} ({', '.join(classes[:20])})")
    _, clean, judged = true_labels(run, given, truth, name)
    if absent_removed:
        judged = np.ones(len(clean), bool)
        if given.split and truth.split:
            judged = np.isin(np.asarray(given.data[given.split]), np.unique(np.asarray(truth.data[truth.split])))
    before = given.labels(name)
    after = apply_corrections(given, findings.read(folder / ISSUES)).labels(name)
    report = cleaning_report(
        (after != before)[judged],
        before[judged],
        clean[judged],
        None if focus_class is None else classes.index(focus_class),
        [classes.index(each) for each in pseudo_classes],
        suggested=after[judged],
    )
    for each in report["classes"]:
        each["class"] = classes[each["class"]]
    return report


def _share(part: np.ndarray | np.integer, whole: np.ndarray) -> float | None:
    size = int(whole.sum())
    return float(part.sum() / size) if size else None


def _by_class(flagged: np.ndarray, errors: np.ndarray, given: np.ndarray) -> list[dict[str, Any]]:
    size = int(given.max(initial=-1)) + 1
    counts = [np.bincount(given[mask], minlength=size) for mask in (given >= 0, flagged, errors, flagged & errors)]
    return [
        {
            "class": k,
            "rows": rows,
            "flagged": said,
            "errors": wrong,
            "hits": hits,
            "hit_rate": hits / wrong if wrong else None,
            "precision": hits / said if said else None,
        }
        for k, (rows, said, wrong, hits) in enumerate(zip(*(each.tolist() for each in counts), strict=True))
        if said or wrong
    ]
