"""Probabilities out of sample: every row is predicted by models that saw neither it nor its group."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from labelwise import labels
from labelwise.audit import arrays
from labelwise.audit.engines import spread
from labelwise.audit.ensemble import default_models
from labelwise.audit.parts import Part, Parts
from labelwise.labels import LabelTable
from labelwise.progress import progress
from labelwise.runs import read_json, write_json


def cross_fit(
    table: LabelTable,
    model: Any = None,
    task: str | None = None,
    folds: int = 10,
    repeats: int = 1,
    *,
    features: np.ndarray | None = None,
    seed: int = 0,
    store: str | PathLike[str] | None = None,
    jobs: int | None = None,
    quiet: bool = False,
) -> np.ndarray:
    """Predict every row by models that were fitted without its fold, float32 [models * repeats, n, classes].

    `model` is any object with `fit` and `predict_proba` that scikit-learn can clone, or a dictionary of such by name
    (default: `default_models`); the result holds the repeats of the first model, then those of the second, and so on.
    Models are given `features` [n, ...] as they are (default: what `models.encode` makes of the table) and class
    indices; a `random_state` that is None is set, from `seed`. The folds (`labels.folds`) never split a group and are
    drawn anew for each repeat. Rows without a label are learned from nowhere and predicted like all others. A class
    that is absent from the training rows of a fold has probability 0 there.

    The parts (one a model, repeat and fold) run in `jobs` processes (default: one a core), each on one thread, or on a
    cluster (`engines.on_engine`). With `store`, a path that ends in .npy, each finished part is kept in the folder
    `store`.parts, so that the same call goes on where a stopped one was; parts of other data or settings are not used.
    The result is then mapped from that file, and `store`.json says what it was made of. The bytes depend neither on
    `jobs`, nor on a cluster of equal processors, nor on interruptions.

    Raises `ValueError` if the task is not of kind `single`, if fewer than two classes have rows, or if a model fails.
    """
    chosen = table.task(task)
    check_classes(table, chosen.name)
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1; got {repeats}")
    if features is None:
        from labelwise import models  # here, as it loads torch, which the worker processes do without

        features = models.encode(table, quiet=quiet).features
    if len(features) != len(table):
        raise ValueError(f"features must have a row for each of the {len(table)} examples; got {len(features)}")

    given, classes = table.labels(chosen.name), len(chosen.classes)
    estimators = list(named_models(model, seed).items())
    fold_of = np.stack([labels.folds(table, chosen.name, folds, seed + repeat) for repeat in range(repeats)])
    runs = [(m, r) for m in range(len(estimators)) for r in range(repeats)]
    shape = (len(runs), len(table), classes)
    key = joblib.hash((features, given, classes, estimators, fold_of, seed), coerce_mmap=True)
    path = None if store is None else Path(store)
    if path is not None and _made_with(path, key):
        return arrays.read(path, shape)

    parts = Parts(None if path is None else path.with_name(f"{path.name}.parts"), key)
    wanted = [(m, r, int(fold)) for m, r in runs for fold in np.unique(fold_of[r])]
    waiting = [part for part in wanted if part not in parts]
    with progress(f"Cross-fitting {chosen.name}", len(wanted), quiet) as advance:
        advance(len(wanted) - len(waiting))
        shared = (estimators, features, given, fold_of, classes, seed)
        here = partial(_in_processes, min(jobs or joblib.cpu_count(), len(waiting) or 1))
        for part, probabilities in spread(_fit_part, shared, waiting, here, ordered=False):
            parts[part] = probabilities
            advance()

    slabs = chain.from_iterable(_slabs(parts, m, r, fold_of[r], classes) for m, r in runs)
    if path is None:
        return np.concatenate(list(slabs)).reshape(shape)
    record = _record(path)
    record.unlink(missing_ok=True)  # it goes first and comes back last, so that it never describes another array
    arrays.write(path, shape, slabs)
    names = [name for name, _ in estimators]
    write_json(record, {"key": key, "models": names, "folds": folds, "repeats": repeats, "seed": seed, "shape": shape})
    parts.remove()
    return arrays.read(path, shape)


def named_models(model: Any, seed: int) -> dict[str, Any]:
    """The models by name: those of a dictionary, one under the name of its class, or the default ones."""
    if model is None:
        return dict(default_models(seed))
    chosen = dict(model) if isinstance(model, Mapping) else {type(model).__name__: model}
    if not chosen:
        raise ValueError("there must be at least one model; got an empty dictionary")
    for name, each in chosen.items():
        if not (hasattr(each, "fit") and hasattr(each, "predict_proba")):
            raise ValueError(f"a model must have fit and predict_proba; {name!r} ({type(each).__name__}) has not")
    return chosen


def check_classes(table: LabelTable, task: str) -> None:
    """Raise `ValueError` unless the task is of kind `single` and at least two of its classes have rows."""
    kind = table.task(task).kind
    if kind != "single":
        raise ValueError(
            f"cross-fitting needs a task of kind 'single'; {task!r} is of kind {kind!r}. An audit of labels alone "
            "(--labels-only) describes other kinds"
        )
    present = np.unique(table.labels(task))
    present = present[present >= 0]
    if len(present) == 0:
        raise ValueError(f"column {task!r} of {table.source} holds no label at all; nothing can be learned from it")
    if len(present) == 1:
        only = table.task(task).classes[present[0]]
        raise ValueError(
            f"column {task!r} of {table.source} holds only one class, {only!r}; at least two are needed to tell apart"
        )


def _in_processes(
    jobs: int, function: Callable[[Part], tuple[Part, np.ndarray]], parts: Iterable[Part]
) -> Iterable[tuple[Part, np.ndarray]]:
    """Give `function(part)` of all parts as they come, from so many processes of one thread each."""
    with joblib.parallel_config("loky", inner_max_num_threads=1, initializer=_end_with, initargs=(os.getpid(),)):
        run = joblib.Parallel(jobs, return_as="generator_unordered")
    done: Iterable[tuple[Part, np.ndarray]] = run(joblib.delayed(function)(part) for part in parts)
    return done


def _end_with(parent: int) -> None:
    """Make this process end when its parent does: a run that is killed would leave the others waiting for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _fit_part(
    estimators: Sequence[tuple[str, Any]],
    features: np.ndarray,
    given: np.ndarray,
    fold_of: np.ndarray,
    classes: int,
    seed: int,
    part: Part,
) -> tuple[Part, np.ndarray]:
    """Fit on the labelled rows of the other folds and predict this one, float32 [rows of the fold, classes]."""
    name, model = estimators[part[0]]
    held_out = fold_of[part[1]] == part[2]
    train = ~held_out & (given >= 0)
    present = np.unique(given[train])
    probabilities = np.zeros((int(held_out.sum()), classes), np.float32)
    if len(present) < 2:  # as when one group holds nearly all; most models refuse to learn from that
        probabilities[:, present] = 1
        return part, probabilities
    fitted = seed_model(clone(model, safe=False), np.random.SeedSequence([seed, *part]))
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(features[train], given[train])
            predicted = np.asarray(fitted.predict_proba(features[held_out]))
    except Exception as error:
        raise ValueError(f"model {name!r} failed on fold {part[2]}: {type(error).__name__}: {error}") from error
    known = np.asarray(getattr(fitted, "classes_", present if predicted.shape[-1] == len(present) else range(classes)))
    if predicted.shape != (len(probabilities), len(known)) or not np.isfinite(predicted).all():
        raise ValueError(
            f"model {name!r} must predict finite probabilities [{len(probabilities)}, {len(known)}] on fold {part[2]}; "
            f"it gave an array {list(predicted.shape)}"
        )
    probabilities[:, known.astype(np.int64)] = predicted
    return part, probabilities


def seed_model(model: Any, seed: np.random.SeedSequence) -> Any:
    """Set every `random_state` that is None, so that the same part gives the same bytes."""
    if hasattr(model, "get_params") and hasattr(model, "set_params"):
        settings = model.get_params(deep=True)
        unset = [name for name, value in settings.items() if name.endswith("random_state") and value is None]
        model.set_params(**dict.fromkeys(unset, int(seed.generate_state(1)[0] >> 1)))
    return model


def _slabs(parts: Parts, m: int, r: int, fold_of: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    """What one model predicted in one repeat, float32 [n, classes], one block of the rows after the other."""
    predicted = {fold: parts[m, r, int(fold)] for fold in np.unique(fold_of)}
    for rows in arrays.row_blocks((len(fold_of), classes)):
        block = fold_of[rows]
        slab = np.empty((len(block), classes), np.float32)
        for fold in predicted:
            inside = block == fold
            number = np.count_nonzero(inside)
            slab[inside], predicted[fold] = predicted[fold][:number], predicted[fold][number:]
        yield slab


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _made_with(path: Path, key: str) -> bool:
    return path.exists() and _record(path).exists() and read_json(_record(path)).get("key") == key
