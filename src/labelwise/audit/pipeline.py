"""The audit from a table to a run folder of findings."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd

from labelwise import runs
from labelwise.audit import arrays, findings
from labelwise.audit.annotators import answers_of
from labelwise.audit.cross_fitting import check_classes, cross_fit, named_models
from labelwise.audit.data_issues import DataIssue, as_records
from labelwise.audit.duplicates import duplicate_findings, find_twins, repeated
from labelwise.audit.engines import check_engine, on_engine
from labelwise.audit.findings import Finding
from labelwise.audit.further import look_further
from labelwise.audit.items import worst_in_turn, write_items, write_neighbours
from labelwise.audit.margins import given_margins, with_margins
from labelwise.audit.near_duplicates import FEWEST_ROWS, MOST_ROWS, NO_PAIRS, near_duplicate_findings, near_duplicates
from labelwise.audit.neighbours import APPROXIMATE, MOST_EXACT
from labelwise.audit.probabilities import (
    given_features,
    given_probabilities,
    rescaled,
    warn_if_in_another_order,
    warn_if_in_sample,
)
from labelwise.audit.repeats import repeat_issues
from labelwise.audit.table_facts import write_labels, write_table_facts
from labelwise.audit.taxonomy import taxonomy_findings
from labelwise.audit.unreadable import blank_pictures
from labelwise.audit.wrong_labels import label_findings, label_metrics, wrong_labels
from labelwise.labels import LabelTable
from labelwise.labels.kinds import check_kinds
from labelwise.runs import RunFolder, file_stem, short_hash, write_json

_WEAK = 0.7  # accuracy of models out of sample


class Audit(NamedTuple):
    """What an audit found (`labelwise.audit.Finding` names the columns), and the run folder that holds everything."""

    findings: pd.DataFrame
    run: Path


def run_audit(
    table: LabelTable,
    *,
    run: str | PathLike[str] | None = None,
    models: Any = None,
    probabilities: Any = None,
    embeddings: Any = None,
    margins: str | PathLike[str] | None = None,
    text: str | None = None,
    vision: str | None = None,
    folds: int = 10,
    repeats: int = 1,
    seed: int = 0,
    jobs: int | None = None,
    engine: str = "local",
    labels_only: bool = False,
    annotators: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    quiet: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Audit:
    """Find what is probably wrong with the labels of a table; everything goes into the folder `run`.

    Features are what `labelwise.models.encode` makes of the table (with the sentence model `text` or picture model
    `vision`, if named), or `embeddings` [n, d]. Each task of kind `single` is cross-fitted on them with `models` (one,
    or a dictionary of such by name; default `default_models`), see `cross_fit` for `folds`, `repeats`, `seed`, `jobs`;
    or its out-of-sample `probabilities` are given: a path (.npy, .parquet) or array [n, classes] or [models, n,
    classes], of several tasks a dictionary. From these come findings of wrong labels, contradictions between linked
    tasks, duplicates with differing labels, outliers, and unreadable examples; and in `data_issues.json` what is wrong
    with classes, columns and groups (`labelwise.audit.DataIssue`). `margins` is a folder of `labelwise fit` to the same
    rows: labels that it came to prefer others to while it learned are findings, too. `annotators` names the tasks that
    are answers of several people to one question; these are compared. `kinds` says of columns what they hold where
    their looks deceive (`labels.kinds.KINDS`: {"zip": "identifier"}); their statistics go by it. What cannot be looked
    for is told in `notes.json`. With `labels_only` nothing is looked for that needs features. With `engine` "ray"
    models are fitted, and probabilities read, on a Ray cluster (`on_ray.ray_cluster`) whose machines all see the folder
    `run`; the findings are the same.

    `run` defaults to runs/NAME-HASH, of the source and of all that matters, so that the same call goes on where a
    stopped one was (also on another engine), and reads the result of a finished one. `settings` are further facts for
    the run's `config.yaml`.

    Raises `ValueError` if there is nothing to learn (no labels, one class), for unfit probabilities, embeddings or
    kinds, and if `run` holds a run of other data or settings; `OSError`, naming the file, if the disk is full;
    `ImportError`, naming the extra, if the engine is not installed; `ConnectionError` if its cluster does not answer.
    """
    check_engine(engine)
    if not table.tasks:
        raise ValueError(f"{table.source} has no task; name the columns that hold labels")
    if len(table) == 0:
        raise ValueError(f"{table.source} has no rows")
    check_kinds(table, kinds or {})
    given = {} if probabilities is None else given_probabilities(table, probabilities)
    features = None if embeddings is None else given_features(table, embeddings)
    areas = {} if margins is None else given_margins(table, margins)
    answers = answers_of(table, annotators) if annotators else None
    config = {
        "source": table.source,
        "labels": [task.name for task in table.tasks],
        **({"label_kinds": others} if (others := _other_kinds(table)) else {}),
        "group": table.group,
        "split": table.split,
        "id": table.id,
        "parents": {task.name: task.parent for task in table.tasks if task.parent},
        "seed": seed,
        "folds": folds,
        "repeats": repeats,
        "labels_only": labels_only,
        "annotators": list(annotators) or None,
        "text": text,
        "vision": vision,
        "models": None
        if models is None
        else {n: joblib.hash(model) for n, model in named_models(models, seed).items()},
        "probabilities": _named(probabilities),
        "embeddings": _named(embeddings),
        "content": short_hash(table.fingerprint(table.data.column_names), joblib.hash((given, features))),
        **({"kinds": dict(kinds)} if kinds else {}),
        **({"margins": joblib.hash(areas)} if areas else {}),
        **(settings or {}),
    }
    stem = Path(table.source).name.split(".")[0] or "table"
    path = Path(run) if run is not None else Path("runs") / f"{stem}-{short_hash(config)}"
    if Path(table.source).exists():
        config["source"] = str(Path(table.source).absolute())  # so that the run can be used from any folder
    notes: list[str] = []
    tasks = _auditable(table, notes, labels_only)  # before there is a folder
    folder = _start(path, config, table)
    if (folder / runs.ISSUES).exists():
        return Audit(findings.read(folder / runs.ISSUES), folder.path)

    write_table_facts(folder, table, kinds, seed)
    write_labels(folder / runs.LABELS, table)

    table, features = _features(table, features, given, labels_only, text, vision, quiet, notes)
    means: dict[str, np.ndarray] = {}
    found: list[Finding] = [
        Finding(row, None, "unreadable", 1.0, None, None, reason) for row, reason in sorted(table.unreadable.items())
    ]
    measured: dict[str, Any] = {}
    same_label: int | None = None
    copies: list[DataIssue] = []
    with on_engine(engine):
        for name in tasks:
            labels = table.labels(name)
            path = folder / "probabilities" / f"{file_stem(name)}.npy"
            if name in given:
                arrays.write(path, given[name].shape, rescaled(given[name]))
                predicted = arrays.read(path, given[name].shape)
            elif features is not None:
                predicted = cross_fit(
                    table,
                    models,
                    name,
                    folds,
                    repeats,
                    features=features,
                    seed=seed,
                    store=path,
                    jobs=jobs,
                    quiet=quiet,
                )
            else:
                continue
            verdict = wrong_labels(labels, predicted, store=path.with_name(f"{path.name}.mean"))
            task = table.task(name)
            warned = [warn_if_in_sample(name, labels, verdict.probability)]
            if name in given:
                warned.append(warn_if_in_another_order(task, labels, verdict.probability))
            notes.extend(filter(None, warned))
            means[name] = verdict.probability
            found.extend(with_margins(label_findings(task, labels, verdict), task, labels, areas.get(name)))
            measured[name] = label_metrics(labels, verdict)
            notes.extend(_if_alone(name, len(predicted)))
            notes.extend(_if_weak(name, measured[name]["accuracy_out_of_sample"]))
        found.extend(taxonomy_findings(table, means))
        if not labels_only:
            more, same_label, copies = _duplicates(table, features, means, quiet, notes)
            found.extend(more)
        more, issues = look_further(table, means, features, answers, labels_only, seed, notes, quiet)
        found.extend(more)
    about_data = as_records([*issues, *copies], table.id_column)

    frame = findings.as_frame(found)
    write_items(folder / "items.parquet", table, worst_in_turn(frame))
    if features is not None and len(table) > MOST_ROWS:
        notes.append(f"Which rows the flagged ones are like was not looked for: that is done up to {MOST_ROWS:,} rows.")
    elif features is not None:
        readable = np.ones(len(table), bool)
        readable[list(table.unreadable)] = False
        write_neighbours(folder / "neighbours.parquet", features, frame["example"].unique(), readable)
    write_json(folder / "notes.json", notes)
    write_json(folder / "data_issues.json", about_data)
    folder.add_metrics(
        audit={
            "flagged": int(frame["example"].nunique()),
            "by_kind": {kind: int(count) for kind, count in frame["kind"].value_counts().sort_index().items()},
            "data_issues": dict(sorted(Counter(issue["kind"] for issue in about_data).items())),
            "repeated_rows_with_equal_labels": same_label,
            "tasks": measured,
        }
    )
    findings.write(folder / runs.ISSUES, frame, table.id_column)
    return Audit(frame, folder.path)


def _other_kinds(table: LabelTable) -> dict[str, str]:
    """The kinds of tasks that have not one class a row, by name."""
    return {task.name: task.kind for task in table.tasks if task.kind != "single"}


def _named(given: Any) -> Any:
    """How a file or array that was given stands in the configuration."""
    if isinstance(given, Mapping):
        return {name: _named(each) for name, each in given.items()}
    return given if given is None else str(given) if isinstance(given, (str, PathLike)) else "an array"


def _start(path: Path, config: dict[str, Any], table: LabelTable) -> RunFolder:
    if (path / runs.CONFIG).is_file():
        old = RunFolder(path).config
        if old.get("source") == config["source"] and old.get("content") != config["content"]:
            raise ValueError(
                f"{table.source} (or the probabilities or embeddings given) has changed since the run in {path} was "
                "started; give another --out, or delete that folder"
            )
    return RunFolder.start(path, config)


def _auditable(table: LabelTable, notes: list[str], labels_only: bool) -> list[str]:
    """Tasks whose labels can be checked. Raises `ValueError` if the only one cannot be; of several the others go on."""
    names = []
    for task in table.tasks:
        try:
            check_classes(table, task.name)
            names.append(task.name)
        except ValueError as error:
            if len(table.tasks) == 1 and not labels_only:
                raise
            notes.append(f"Wrong labels of {task.name!r} were not looked for: {error}.")
    if not names and not labels_only:
        raise ValueError(f"no task of {table.source} can be audited: " + " ".join(notes))
    return names


def _features(
    table: LabelTable,
    features: np.ndarray | None,
    given: Mapping[str, np.ndarray],
    labels_only: bool,
    text: str | None,
    vision: str | None,
    quiet: bool,
    notes: list[str],
) -> tuple[LabelTable, np.ndarray | None]:
    """Features, as far as they are needed and to be had; the table with unreadable rows named and without labels."""
    if labels_only:
        notes.append("Only labels were looked at, as asked: wrong labels and duplicates need the examples themselves.")
        return table, None
    if features is None and len(given) < len(table.tasks):
        if not table.feature_names:
            message = f"{table.source} has no feature columns; wrong labels and duplicates were not looked for."
            if not given:
                warnings.warn(message, UserWarning, stacklevel=3)
            notes.append(message)
        else:
            from labelwise.models import choose_encoder, encode  # here, as it loads torch

            encoder = choose_encoder(table, text, vision)
            encoded = encode(table, encoder, quiet=quiet)
            features = encoded.features
            unreadable = {**table.unreadable, **encoded.unreadable}
            blank = blank_pictures(features, unreadable) if encoder.kind == "pixels" else {}
            table = _without(table, unreadable | blank)
    return table, features


def _without(table: LabelTable, unreadable: Mapping[int, str]) -> LabelTable:
    from dataclasses import replace

    rows = list(unreadable)
    for task in table.tasks:
        if task.kind == "single" and rows:
            labels = table.labels(task.name)
            labels[rows] = -1
            table = table.with_labels(task.name, labels)
    return replace(table, unreadable=dict(unreadable))


def _if_alone(task: str, models: int) -> list[str]:
    """What to know of findings by one model."""
    if models > 1:
        return []
    return [
        f"One model alone judged the labels of {task!r}, so no vote of several was counted: its wrong labels are those "
        "of confident learning."
    ]


def _if_weak(task: str, accuracy: float) -> list[str]:
    """What to know of findings by models that are often wrong themselves."""
    if accuracy >= _WEAK:
        return []
    return [
        f"The models predict only {accuracy:.0%} of the labels of {task!r}, so many of its findings tell of the models "
        "and not of the labels: read them from the top, or bring better features (a vision or text model, embeddings)."
    ]


def _duplicates(
    table: LabelTable, features: np.ndarray | None, means: Mapping[str, np.ndarray], quiet: bool, notes: list[str]
) -> tuple[list[Finding], int | None, list[DataIssue]]:
    """Findings of exact and near duplicates, how many rows repeat another with equal labels (None if unknown), and
    what issue that is."""
    twins = find_twins(table)
    found: list[Finding] = []
    same_label, near = None, NO_PAIRS
    if twins.too_coarse:
        notes.append(f"{twins.too_coarse[0].upper()}{twins.too_coarse[1:]}.")
    elif (twins.sets >= 0).any():
        found.extend(duplicate_findings(table, twins.sets, means))
        same_label = repeated(table, twins.sets)
    if features is None:
        notes.append("Near duplicates were not looked for: that needs features (or --embeddings).")
    elif not FEWEST_ROWS <= len(table) <= MOST_ROWS:
        notes.append(f"Near duplicates were not looked for: that is done for {FEWEST_ROWS} to {MOST_ROWS:,} rows.")
    elif not twins.too_coarse:
        if len(table) > MOST_EXACT:
            notes.append(f"Near duplicates are those of {APPROXIMATE}.")
        unreadable = np.zeros(len(table), bool)
        unreadable[list(table.unreadable)] = True
        near = near_duplicates(features, unreadable, twins.sets, quiet)
        found.extend(near_duplicate_findings(table, near, means))
    return found, same_label, [] if twins.too_coarse else list(repeat_issues(table, twins.sets, near))
