"""Using a model that was fitted: rebuilt from its folder, without pickle."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from labelwise.labels import LabelTable, Task
from labelwise.methods.checkpoint import load_tree
from labelwise.methods.kinds import KINDS
from labelwise.methods.method import Method
from labelwise.methods.registry import describe, get
from labelwise.methods.training import answers
from labelwise.models import Encoder, encoder_from_state
from labelwise.runs import MODEL, RunFolder, free_name, writing

ENCODER = "encoder.safetensors"


def build(config: Mapping[str, Any], shape: Sequence[Any]) -> Method:
    """The untrained method that the settings of a model folder describe, for inputs of this shape.

    Its first weights are drawn from torch's global random numbers.
    """
    method, options = get(config["method"]), config["options"]
    backbone = method.default_backbone(tuple(shape), options["width"], options["dropout"])
    tasks = [Task(**task) for task in config["tasks"]]
    return method(backbone, tasks, **{name: options[name] for name in describe(method)})


def load(folder: str | os.PathLike[str]) -> tuple[Method, Encoder]:
    """The method, in eval mode, and the encoder that `fit` left in `folder`.

    Raises `ValueError` if the folder holds no finished model, or one that is damaged.
    """
    run = RunFolder(folder)
    if "method" not in run.config:
        inside = ", ".join(map(str, run.models().values())) or "none yet; `labelwise fit` makes one"
        raise ValueError(f"{folder} is no model but a run of `labelwise audit`; its models are {inside}")
    if not (run / MODEL).is_file():
        raise ValueError(f"{folder} holds no finished model; go on with `labelwise fit ... --out {folder} --resume`")
    kept = load_tree(run / ENCODER)
    encoder = encoder_from_state(kept["encoder"], {name: tensor.numpy() for name, tensor in kept["arrays"].items()})
    with torch.random.fork_rng():  # the first weights are overwritten; their random numbers are nobody's business
        model = build(run.config, kept["shape"])
    try:
        model.load_state_dict(load_file(run / MODEL))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{run / MODEL} is damaged or of another version ({error}); fit again") from None
    return model.eval(), encoder


def predict(folder: str | os.PathLike[str], table: LabelTable, quiet: bool = True) -> dict[str, np.ndarray]:
    """Class probabilities of each task for every row, float32 [n, classes], by the model in `folder`.

    Tasks of kind `real` have the numbers themselves, float64 [n]. Probabilities of one class are calibrated.
    The table needs the feature columns that the model was fitted to, and no labels; classes are in the order of the
    folder's `config.yaml`. Rows that cannot be read get nan, with a warning. Raises `ValueError` for a missing column,
    with the nearest name, and as `load` does.
    """
    model, encoder = load(folder)
    return _predict(model, encoder, table, quiet)


def write_predictions(
    folder: str | os.PathLike[str], table: LabelTable, out: str | os.PathLike[str], quiet: bool = False
) -> Path:
    """Write what the model in `folder` says of each row of `table` as Parquet; give the path.

    Columns: `id`, and by task `NAME` (the most likely class; a list of the classes with a probability of at least 0.5,
    of kind `multi`; the number, of kind `real`) and, but of numbers, `NAME_probabilities` (a list in the order of the
    classes, which the metadata `classes` of the field holds as text separated by line breaks). A row that cannot be
    read has nulls. With a task named `id`, or as a column of another, that column has a "_" at its end. Raises as
    `predict` does, and `ValueError` for a file of another suffix.
    """
    if Path(out).suffix != ".parquet":
        raise ValueError(f"predictions are written as .parquet; got {Path(out).name!r}")
    model, encoder = load(folder)
    names = [task.name for task in model.tasks]
    fields, columns = [pa.field(free_name("id", names), pa.string())], [table.id_column]
    for task, answer in zip(model.tasks, _predict(model, encoder, table, quiet).values(), strict=True):
        said = columns_of(task, answer, np.isnan(answer.reshape(len(answer), -1)).any(1))
        columns += said.values()
        fields.append(pa.field(task.name, said["predicted"].type))
        if "probabilities" in said:
            name, held = free_name(f"{task.name}_probabilities", names), {"classes": "\n".join(task.classes)}
            fields.append(pa.field(name, said["probabilities"].type, metadata=held))
    with writing(out) as temporary:
        pq.write_table(pa.table(columns, pa.schema(fields)), temporary)
    return Path(out)


def columns_of(task: Task, answers: np.ndarray, lost: np.ndarray | None = None) -> dict[str, pa.Array]:
    """What a model says of each row, as columns: `predicted`, and of tasks with classes `probabilities`.

    `answers` are those of `Method.probabilities`; where `lost`, bool [n], says so there is null.
    """
    columns = {"predicted": KINDS[task.kind].chosen(task, answers, lost)}
    if answers.ndim == 2:
        mask = None if lost is None else pa.array(lost)
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(answers.ravel(), answers.shape[1], mask=mask)
    return columns


def _predict(model: Method, encoder: Encoder, table: LabelTable, quiet: bool) -> dict[str, np.ndarray]:
    if not len(table):
        nothing = {task.name: torch.zeros(0, KINDS[task.kind].outputs(task)) for task in model.tasks}
        return {name: answer.numpy() for name, answer in model.probabilities(nothing).items()}
    encoded = encoder.transform(table, quiet)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    logits = answers(model, torch.from_numpy(encoded.features), np.arange(len(table)))
    found = {name: answer.numpy() for name, answer in model.probabilities(logits).items()}
    lost = list(encoded.unreadable)
    if lost:
        warnings.warn(
            f"{len(lost)} rows of {table.source} could not be read and have no prediction "
            f"(row {lost[0]}: {encoded.unreadable[lost[0]]})",
            UserWarning,
            stacklevel=3,
        )
        for answer in found.values():
            answer[lost] = np.nan
    return found
