"""Fitting a method to a table: split, encode, train, calibrate, measure, and keep all of it in a folder."""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import Tensor

from labelwise.functional import temperature
from labelwise.labels import LabelTable, Task, split
from labelwise.methods.checkpoint import save_tree
from labelwise.methods.examples import Examples
from labelwise.methods.kinds import KINDS
from labelwise.methods.method import Method
from labelwise.methods.predicting import ENCODER, build, columns_of
from labelwise.methods.privileged import Lupi, check_taken, encode_hidden, teach, withhold
from labelwise.methods.registry import check_options
from labelwise.methods.training import Plan, answers, mean_expert_overlap, mean_expert_weights, seeded, train
from labelwise.models import Encoded, Encoder, PairEncoder, choose_encoder, encode
from labelwise.runs import (
    EXAMPLES,
    HISTORY,
    MODEL,
    PREDICTIONS,
    RunFolder,
    free_name,
    short_hash,
    write_json,
    writing,
)

CHECKPOINT = "checkpoint.safetensors"
TEACHER_CHECKPOINT = "teacher-checkpoint.safetensors"


def fit(
    table: LabelTable,
    method: str = "dselect-k",
    out: str | os.PathLike[str] | None = None,
    *,
    tasks: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    resume: bool = False,
    privileged: Sequence[str] = (),
    second: Sequence[str] = (),
    encoder: Encoder | None = None,
    text: str | None = None,
    vision: str | None = None,
    quiet: bool = False,
) -> Path:
    """Train a method on a table and write a folder with the model and what is known of it; give that folder.

    Rows are split by the table's own split column or by `labels.split` (groups whole). The encoder (default:
    `choose_encoder(table, text, vision)`) is fitted to the training rows alone. Rows without any label, and those that
    cannot be read, are left out; every class of a task is an output, also one without training rows. The weights of the
    lowest validation loss are kept, and the confidence of each task of one class is calibrated on the validation rows.

    `out` holds then `config.yaml` (settings), `model.safetensors` (weights), `encoder.safetensors`, `metrics.json`
    (scores by task on the validation and test rows, experts), `history.json` (one entry an epoch),
    `predictions.parquet` (every readable row) and, of methods that note it, `examples.parquet` (what each training row
    was like to learn). Without `out` a folder under `runs/` is named by the settings.

    A call that was stopped or killed goes on where it was when it is repeated, and ends with the same weights; a
    finished folder of equal settings is given back at once. With `resume=True` it is an error if nothing was begun.

    `privileged` names feature columns that will be missing where the model is used, such as what was found out later;
    methods that have a teacher (`lupi`) show them to it alone.

    `second` names the feature columns of a second modality, see `PairEncoder`: each modality then has a backbone of its
    own, and what is learned sees the features of both.

    `tasks` names those to learn (default: all); labels of others are no features either. `options` are those that
    `info(method)` lists. Raises `ValueError` for options, labels or folders that do not fit, with the remedy.
    """
    own, shared = check_options(method, options or {})
    plan = Plan(**shared)
    learned = _tasks(table, tasks)
    check_taken(method, privileged)
    whole = table
    table, hidden = withhold(table, privileged)
    if second and (privileged or encoder):
        raise ValueError("columns of a second modality go with neither privileged ones nor an encoder of your own")
    if second:
        encoder = PairEncoder(second, text, vision)
    encoder = encoder or choose_encoder(table, text, vision)
    config = {
        "method": method,
        "options": own | shared,
        "seed": seed,
        "tasks": [dataclasses.asdict(task) for task in learned],
        "encoder": {"kind": encoder.kind, "settings": encoder.settings()},
        "data": {
            "rows": len(table),
            "fingerprint": whole.fingerprint(whole.data.column_names),
            "group": table.group,
            "split": table.split,
        },
    }
    if privileged:
        config["privileged"] = list(privileged)
    out = Path(out) if out is not None else Path("runs") / f"{Path(table.source).stem}-{method}-{short_hash(config)}"
    if RunFolder.is_fitted(out, config, resume):
        return out

    parts, encoded, unreadable = _encode(table, learned, encoder, seed, quiet)
    inputs, shape = torch.from_numpy(encoded.features), encoder.shape(encoded)
    targets = {task.name: torch.tensor(table.labels(task.name)) for task in learned}
    rows = {part: np.flatnonzero(parts == part) for part in ("train", "validation", "test")}
    with seeded(seed):
        model = build(config, shape)
        model.check_files()
        run = RunFolder.start(out, config)  # only now, so that wrong input or options leave no folder behind
        checkpoint = run / CHECKPOINT
        if isinstance(model, Lupi) and hidden is not None:
            seen = encode_hidden(hidden, rows["train"], inputs, quiet)
            teach(model, inputs, seen, targets, rows, plan, seed, run / TEACHER_CHECKPOINT, quiet)
        history = train(
            model, inputs, targets, rows["train"], rows["validation"], plan, seed, checkpoint, quiet, title=method
        )
    readable = np.flatnonzero(~unreadable)
    logits = answers(model, inputs, readable)
    place = np.full(len(table), -1)
    place[readable] = np.arange(len(readable))
    _calibrate(model, logits, targets, rows["validation"], place)
    answered = {name: answer.numpy() for name, answer in model.probabilities(logits).items()}
    _measure(run, model, table, learned, answered, rows, place, history, inputs)
    write_json(run / HISTORY, history)
    _write_predictions(run / PREDICTIONS, table, learned, answered, parts, readable)
    if model.examples is not None and model.examples.values():
        _write_examples(run / EXAMPLES, model.examples, learned, rows["train"])
    state, arrays = encoder.state()
    tensors = {name: torch.from_numpy(np.require(array, requirements=["C", "W"])) for name, array in arrays.items()}
    save_tree(run / ENCODER, {"encoder": state, "arrays": tensors, "shape": shape})
    with writing(run / MODEL) as temporary:  # last: where it is, the folder is finished
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary)
    for kept in (checkpoint, run / TEACHER_CHECKPOINT):
        for leftover in (kept, *run.path.glob(f".{kept.stem}-*")):  # the latter of writes that were killed
            leftover.unlink(missing_ok=True)
    return out


def _tasks(table: LabelTable, names: Sequence[str] | None) -> list[Task]:
    """The tasks to learn; a parent that is not among them is forgotten."""
    chosen = list(table.tasks) if names is None else [table.task(name) for name in names]
    if not chosen:
        raise ValueError(f"{table.source} has no label column to learn; name at least one")
    known = {task.name for task in chosen}
    chosen = [task if task.parent in known else dataclasses.replace(task, parent=None) for task in chosen]
    for task in chosen:
        if task.kind not in KINDS:
            raise ValueError(f"task {task.name!r} is of kind {task.kind!r}; what can be fitted is {', '.join(KINDS)}")
        fault = KINDS[task.kind].fault(table.labels(task.name))
        if fault is not None:
            raise ValueError(f"the labels of {task.name!r} ({table.source}) {fault}")
    return chosen


def _encode(
    table: LabelTable, learned: list[Task], encoder: Encoder, seed: int, quiet: bool
) -> tuple[np.ndarray, Encoded, np.ndarray]:
    """The part of each row ("" if it is in none), all rows as features, and which rows could not be read."""
    # By the finest of all tasks, learned or not, so that fits of different tasks are compared on the same rows.
    parts = split(table, seed=seed).astype(object)
    labelled = np.any([KINDS[task.kind].known(table.labels(task.name)) for task in learned], axis=0)
    parts[~labelled] = ""
    training = np.flatnonzero(parts == "train")
    if not len(training):
        raise ValueError(f"{table.source} has no labelled training row")
    encoded = encode(table, encoder, quiet=quiet, fit_rows=training)
    unreadable = np.zeros(len(table), bool)
    unreadable[list(encoded.unreadable)] = True
    if unreadable.any():
        row, why = next(iter(sorted(encoded.unreadable.items())))
        warnings.warn(
            f"{unreadable.sum()} rows of {table.source} could not be read and are left out (row {row}: {why})",
            UserWarning,
            stacklevel=3,
        )
    parts[unreadable] = ""
    if not (parts == "train").any():
        raise ValueError(f"none of the {len(training)} labelled training rows of {table.source} could be read")
    return parts, encoded, unreadable


def _calibrate(
    model: Method,
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    validation: np.ndarray,
    place: np.ndarray,
) -> None:
    """Set the temperature of each task of one class by the validation rows; `place` says where a row's logits are."""
    for at, task in enumerate(model.tasks):
        if task.kind == "single":
            model.temperatures[at] = temperature(logits[task.name][place[validation]], targets[task.name][validation])


def _measure(
    run: RunFolder,
    model: Method,
    table: LabelTable,
    learned: list[Task],
    answered: Mapping[str, np.ndarray],
    rows: Mapping[str, np.ndarray],
    place: np.ndarray,
    history: list[dict[str, Any]],
    inputs: Tensor,
) -> None:
    scores: dict[str, dict[str, Any]] = {}
    for at, task in enumerate(learned):
        given = table.labels(task.name)
        scores[task.name] = {
            part: KINDS[task.kind].scores(given[rows[part]], answered[task.name][place[rows[part]]])
            for part in ("validation", "test")
            if len(rows[part])
        }
        if task.kind == "single":
            scores[task.name]["temperature"] = model.temperatures[at].item()
    run.add_metrics(
        method=run.config["method"],
        tasks=scores,
        experts=_experts(model, inputs, rows),
        **model.facts(),
        epochs=len(history),
        rows={part: len(numbers) for part, numbers in rows.items()},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def _experts(model: Method, inputs: Tensor, rows: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Which experts each task uses; None for a method without experts."""
    part = "validation" if len(rows["validation"]) else "train"
    weights = mean_expert_weights(model, inputs, rows[part])
    overlap = mean_expert_overlap(model, inputs, rows[part])
    if weights is None or overlap is None:
        return None
    return {
        "tasks": {name: row.tolist() for name, row in weights.items()},
        "overlap": {name: row.tolist() for name, row in overlap.items()},
        "note": f"mean gate weight of each expert over the {part} rows; 0 means that the task does not use it",
        "notes": model.notes,
    }


def _write_predictions(
    path: Path,
    table: LabelTable,
    learned: list[Task],
    answered: Mapping[str, np.ndarray],
    parts: np.ndarray,
    readable: np.ndarray,
) -> None:
    """A line a readable row: `example`, `split`, and by task `NAME` (given), `NAME_predicted`, `NAME_probabilities`.

    Numbers have no probabilities. Tasks keep their names; another column of such a name has a "_" at its end.
    """
    names = [task.name for task in learned]
    columns = {
        free_name("example", names): pa.array(readable),
        free_name("split", names): pa.array([part or None for part in parts[readable]], pa.string()),
    }
    for task in learned:
        given = table.data[task.name].take(pa.array(readable)).combine_chunks()
        columns[task.name] = given.cast(pa.string()) if task.kind == "single" else given
        said = columns_of(task, answered[task.name])
        columns |= {free_name(f"{task.name}_{what}", names): column for what, column in said.items()}
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _write_examples(path: Path, examples: Examples, learned: list[Task], rows: np.ndarray) -> None:
    """A line a training row: `example`, and by task and kind `NAME_KIND`, a list of one number an epoch, null if none.

    Kinds are those of `Examples`; columns are named as in `_write_predictions`.
    """
    names = [task.name for task in learned]
    columns = {free_name("example", names): pa.array(rows)}
    for task, kinds in examples.values().items():
        for kind, values in kinds.items():
            noted = values[:, torch.from_numpy(rows)].T.float().numpy()
            lists = pa.FixedSizeListArray.from_arrays(pa.array(noted.ravel(), from_pandas=True), noted.shape[1])
            columns[free_name(f"{task}_{kind}", names)] = lists
    with writing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
