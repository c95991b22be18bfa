"""Several tasks of one input learned together: DSelect-k, a shared bottom, and a network for each task.

Every network has the same kind of backbone and learns from the same rows in the same order for the same number of
epochs; all other options are the defaults of the methods, and the last weights are taken. Nothing is chosen by test
rows, nor by validation rows: what stops one method early would not stop another.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from labelwise.bench.harness import compare, kept, versions
from labelwise.labels import LabelTable, Task, data_path, read
from labelwise.methods import Method, Plan, get, train
from labelwise.methods.training import answers, seeded
from labelwise.metrics import classification_scores
from labelwise.models import AudioEncoder, Encoder, PixelEncoder, TabularEncoder, backbone_for
from labelwise.progress import progress
from labelwise.runs import RunFolder

OURS = "dselect-k"
SHARED = "shared bottom"
WIDE = "shared bottom, wide"
SINGLE = "single task"
CHANCE = "majority class"
_MEASURES = ("accuracy", "macro_f1")
_SHARE_OF_GROUPS = 0.25
_TEST_TAKES = 5  # of fifty that each speaker recorded of each digit, the first ones
_USED = 1e-5  # gate weights below do not count as use


@dataclass(frozen=True)
class Setting:
    """One comparison: examples, how they are encoded, how long is learned, and the test rows [n] of each seed.

    Networks see what `prepare` makes of the encoder's features [n, ...].
    """

    name: str
    about: str
    table: LabelTable
    encoder: Callable[[], Encoder]
    plan: Plan
    seeds: Sequence[int]
    test: Callable[[int], np.ndarray]
    prepare: Callable[[torch.Tensor], torch.Tensor] = lambda features: features


def frog_calls(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Family, genus and species of frogs from 22 numbers of a call; 10 seeds, 30 epochs (`full`: 30, 60).

    Every seed draws a quarter of the recordings of each species (at least one) anew for testing.
    """
    table = read(frog_file(), labels=("Family", "Genus", "Species"), group="RecordID", quiet=quiet)
    n_seeds, epochs = (30, 60) if full else (10, 30)
    setting = Setting(
        "frog-calls",
        f"each seed draws a quarter of the recordings of each species for testing; {epochs} epochs",
        table,
        TabularEncoder,
        Plan(epochs=epochs),
        range(seed, seed + n_seeds),
        lambda seed: draw_groups(table, "Species", seed),
    )
    return run(setting, out, quiet)


def frog_file() -> Path:
    """The CSV file of the frog calls, as fetched or packed. Raises `FileNotFoundError` if there is none."""
    folder = data_path("frog-calls")
    source = next(folder.glob("*.csv*"), None)
    if source is None:
        raise FileNotFoundError(f"{folder} holds no CSV file; get it with `labelwise data fetch frog-calls`")
    return source


def grocery(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Fine, coarse and top class of photos of groceries, by the official split; seeds differ in weights and order.

    5 seeds, 48 × 48 pixels, 12 epochs (`full`: 10 seeds, 96 × 96, 60 epochs).
    """
    table = read(data_path("grocery") / "grocery.npz", labels=("fine", "coarse", "top"), split="split", quiet=quiet)
    size, epochs = (96, 60) if full else (48, 12)
    tested = np.isin(np.arange(len(table)), table.rows("test"))
    setting = Setting(
        "grocery",
        f"official split, {size} × {size} pixels, no pretraining, no augmentation; {epochs} epochs",
        table,
        lambda: PixelEncoder(size),
        Plan(epochs=epochs),
        range(seed, seed + (10 if full else 5)),
        lambda seed: tested,
    )
    return run(setting, out, quiet)


def spoken_digits(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Digit and speaker of recordings, by the official split; seeds differ in weights and order.

    5 seeds, log-mel pictures averaged to 20 × 20, 8 epochs in steps of 64 rows (`full`: 10 seeds, 40 × 40, 40 epochs).
    """
    table = read(data_path("spoken-digits") / "fsdd.npz", labels=("digit", "speaker"), quiet=quiet)
    tested = np.asarray(table.data["take"]) < _TEST_TAKES
    table = table.with_split(np.where(tested, "test", "train"))
    side, epochs = (40, 40) if full else (20, 8)
    setting = Setting(
        "spoken-digits",
        f"official split, log-mel pictures of {side} × {side}; {epochs} epochs",
        table,
        AudioEncoder,
        Plan(epochs=epochs, batch_size=64),
        range(seed, seed + (10 if full else 5)),
        lambda seed: tested,
        lambda features: adaptive_avg_pool2d(features, side),
    )
    return run(setting, out, quiet)


def draw_groups(table: LabelTable, task: str, seed: int) -> np.ndarray:
    """Which rows to test on, bool [n]: a quarter of the groups of each class, at least one, drawn at random.

    A group counts for the class of its first row. (`labels.split` seeks the split in which each class has its share of
    rows, which is nearly the same one for every seed.)
    """
    groups, classes = table.groups, table.labels(task)
    if groups is None:
        raise ValueError(f"{table.source} names no column of groups to draw")
    generator = np.random.default_rng(seed)
    names, first = np.unique(groups, return_index=True)
    drawn = []
    for each in np.unique(classes[first]):
        members = names[classes[first] == each]
        drawn += list(generator.permutation(members)[: max(1, round(_SHARE_OF_GROUPS * len(members)))])
    return np.isin(groups, drawn)


def run(setting: Setting, out: str | os.PathLike[str] | None = None, quiet: bool = False) -> dict[str, Any]:
    """Fit every method with every seed and compare them; figures are kept in the folder `out`, if given, on the way.

    Raises `ValueError` if that holds a run of other settings.
    """
    table = setting.table
    settings = {"comparison": setting.name, "about": setting.about, "data": table.fingerprint(), **asdict(setting.plan)}
    folder = RunFolder.start(out, settings) if out else None
    names = [task.name for task in table.tasks]
    fits = [(OURS, names), (SHARED, names), (WIDE, names), *((SINGLE, [name]) for name in names)]
    figures: dict[str, dict[str, dict[str, list[float]]]] = {
        name: {method: {measure: [] for measure in _MEASURES} for method in (OURS, SHARED, WIDE, SINGLE, CHANCE)}
        for name in names
    }
    used: dict[str, list[int]] = {name: [] for name in names}
    parameters: dict[str, int] = {}
    ratios = []
    with progress(setting.name, len(setting.seeds) * len(fits), quiet) as advance:
        for seed in setting.seeds:
            tested = setting.test(seed)
            ratios.append(tested.sum() / (~tested).sum())
            inputs = cache(partial(_encode, setting, tested))
            for method, learned in fits:
                file = folder / f"{method}-{'+'.join(learned)}-{seed}.json" if folder else None
                tasks = [table.task(name) for name in learned]
                found = kept(file, partial(_fit, method, tasks, setting, inputs, tested, seed))
                for name, measured in found["tasks"].items():
                    for measure in _MEASURES:
                        figures[name][method][measure].append(measured[measure])
                for name, number in found["experts"].items():
                    used[name].append(number)
                parameters[method if len(learned) > 1 else f"{method}: {learned[0]}"] = found["parameters"]
                advance()
            for name in names:
                for measure, value in _majority(table, name, tested).items():
                    figures[name][CHANCE][measure].append(value)
    # Where seeds draw the rows, their figures depend on each other; else they are runs of their own.
    overlap = float(np.mean(ratios)) if table.split is None else 0.0
    entries = compare(figures, OURS, overlap)
    return {
        "name": setting.name,
        "about": setting.about,
        "data": {"source": Path(table.source).name, "rows": len(table), "fingerprint": table.fingerprint()},
        "seeds": list(setting.seeds),
        "budget": {"epochs": setting.plan.epochs, "rows_a_step": setting.plan.rows_a_step(int((~tested).sum()))},
        "overlap": overlap,
        "parameters": parameters,
        "experts_used": {name: float(np.mean(numbers)) for name, numbers in used.items()},
        "figures": figures,
        "summary": entries,
        "tables": [_table(setting, entries)],
        "versions": versions(),
    }


def _encode(setting: Setting, tested: np.ndarray) -> torch.Tensor:
    """All examples as numbers, in a way learned from those that are not tested on."""
    encoder = setting.encoder().fit(setting.table.select(~tested))
    return setting.prepare(torch.from_numpy(encoder.transform(setting.table).features))


def _fit(
    method: str,
    tasks: list[Task],
    setting: Setting,
    encoded: Callable[[], torch.Tensor],
    tested: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """What one network reaches on the test rows: measures by task, its size, and the experts it uses."""
    inputs = encoded()
    labels = {task.name: setting.table.labels(task.name) for task in tasks}
    shape, plan = inputs.shape[1:], setting.plan
    width = plan.width
    if method == WIDE:
        wanted = _size(_build(OURS, tasks, shape, width))
        while _size(_build(method, tasks, shape, width)) < wanted:
            width += 8
    with seeded(seed):
        model = _build(method, tasks, shape, width)
        targets = {name: torch.from_numpy(given) for name, given in labels.items()}
        train(model, inputs, targets, np.flatnonzero(~tested), np.zeros(0, np.int64), plan, seed, quiet=True)
    guesses = model.probabilities(answers(model, inputs, np.flatnonzero(tested)))
    with torch.no_grad():
        weights = model.expert_weights(inputs[torch.from_numpy(tested)]) or {}
    return {
        "tasks": {name: _scores(given[tested], guesses[name].numpy()) for name, given in labels.items()},
        "parameters": _size(model),
        "experts": {name: int((row > _USED).sum()) for name, row in weights.items()},
    }


def _build(method: str, tasks: Sequence[Task], shape: Sequence[int], width: int) -> Method:
    known = "dselect-k" if method == OURS else "cross-entropy"
    return get(known)(backbone_for(tuple(shape), width), tasks)


def _size(model: Method) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    scores = classification_scores(labels, probabilities, n_bootstrap=1)
    return {measure: scores[measure]["value"] for measure in _MEASURES}


def _majority(table: LabelTable, task: str, tested: np.ndarray) -> dict[str, float]:
    """Scores of always giving the class that is most frequent in the rows learned from."""
    labels, n_classes = table.labels(task), len(table.task(task).classes)
    learned = labels[~tested]
    most = np.bincount(learned[learned >= 0], minlength=n_classes).argmax()
    return _scores(labels[tested], np.tile(np.eye(n_classes)[most], (int(tested.sum()), 1)))


def _table(setting: Setting, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row a task and method, with what DSelect-k gains over that method and the unadjusted p of that."""
    rows = []
    for entry in entries:
        row = [entry["task"], entry["method"]]
        for measure in _MEASURES:
            versus = entry[measure].get("versus", {"difference": None, "p": None})
            row += [entry[measure]["mean"], entry[measure]["half_width"], versus["difference"], versus["p"]]
        rows.append(row)
    columns = ["task", "method"]
    for measure in ("accuracy", "macro-F1"):
        columns += [measure, "±", f"{OURS} gains", "p"]
    seeds = f"{len(setting.seeds)} seeds"
    title = f"{setting.name}: test rows, means of {seeds} with 95 % intervals, paired t-tests ({setting.about})"
    return {"title": title, "columns": columns, "rows": rows}
