"""Data with wrong labels for the comparison `noisy`: planted ones, and those of people."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from labelwise.bench.cifar10n import draw as draw_cifar10
from labelwise.bench.linked_tasks import draw_groups, frog_file
from labelwise.labels import data_path, read
from labelwise.labels.noise import codes
from labelwise.methods import Plan
from labelwise.models import PixelEncoder, TabularEncoder

_VALIDATION = 0.2  # of the rows that are not tested on


@dataclass(frozen=True)
class Problem:
    """Rows to learn from, to validate with (both labelled as `given`), and to test on by what is true.

    `inputs` float32 [n, ...]; `given` and `clean` int64 [n]; the others row numbers. `classes` counts those of `given`.
    """

    inputs: Tensor
    given: np.ndarray
    clean: np.ndarray
    classes: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Setting:
    """Data with one kind of noise, drawn by a seed, and how networks learn from it."""

    name: str
    draw: Callable[[int], Problem]
    plan: Plan


Noise = Callable[[Problem, np.ndarray, np.random.Generator], Problem]
"""Makes labels of the rows marked in bool [n] wrong."""


def settings(full: bool) -> list[Setting]:
    """All settings: small parts and small networks, or the large ones. Raises `ValueError` if data are not at hand."""
    for name in ("mnist", "cifar10", "frog-calls", "grocery"):
        data_path(name)  # now, not after an hour
    short = Plan(epochs=40 if full else 25, batch_size=64, patience=0, width=64)
    long = replace(short, batch_size=128)
    pictures = Plan(epochs=30, batch_size=64, patience=0, width=128) if full else replace(short, epochs=10, width=32)
    digits = partial(_digits, None if full else 700)
    mnist = partial(_mnist, 10_000 if full else 2000, 28 if full else 14)
    cifar = partial(_cifar10n, 50_000 if full else 1600, 32 if full else 12)
    frogs = partial(_frogs, None if full else 1500)
    groceries = partial(_groceries, None if full else 800, 48 if full else 12)
    planted = [
        *((f"digits, {noise}", digits, _NOISE[noise], short) for noise in _PLANTED),
        *((f"MNIST, {noise}", mnist, _NOISE[noise], pictures if full else long) for noise in _PLANTED),
        ("frog calls, ostracods", frogs, ostracods, short),
        ("groceries, ostracods", groceries, ostracods, pictures),
    ]
    human = ("worse", "aggre", "random1")
    return [
        *(Setting(name, partial(_noisy, clean, noise), plan) for name, clean, noise, plan in planted),
        *(Setting(f"CIFAR-10N, {labels}", partial(cifar, labels), pictures) for labels in human),
    ]


def symmetric(problem: Problem, rows: np.ndarray, generator: np.random.Generator) -> Problem:
    """40 % of the labels become any other class."""
    flips = round(0.4 * rows.sum())
    return replace(problem, given=codes.symmetric(problem.given, problem.classes, flips, generator, rows))


def pair(problem: Problem, rows: np.ndarray, generator: np.random.Generator) -> Problem:
    """30 % of the labels become the class that looks most alike."""
    return _look_alikes(problem, rows, round(0.3 * rows.sum()), generator)


def instance(problem: Problem, rows: np.ndarray, generator: np.random.Generator) -> Problem:
    """30 % of the labels become the class that the example looks like."""
    features = problem.inputs.flatten(1).numpy()
    flips = round(0.3 * rows.sum())
    return replace(
        problem,
        given=codes.instance_dependent(problem.given, features, problem.classes, flips, generator, rows),
    )


def open_set(problem: Problem, rows: np.ndarray, generator: np.random.Generator) -> Problem:
    """Two classes of ten have no name: their rows get any other class, and are not tested on."""
    removed = generator.choice(problem.classes, max(1, problem.classes // 5), replace=False)
    given = codes.open_set(problem.given, removed.tolist(), problem.classes, generator)
    test = problem.test[~np.isin(problem.clean[problem.test], removed)]
    return replace(problem, given=given, test=test)


def pseudo_class(problem: Problem, rows: np.ndarray, generator: np.random.Generator) -> Problem:
    """40 % of the rows of one class get a class that does not exist."""
    of = int(generator.integers(problem.classes))
    size = round(0.4 * (rows & (problem.given == of)).sum())
    given = codes.pseudo_class(problem.given, of, problem.classes, size, generator, rows)
    return replace(problem, given=given, classes=problem.classes + 1)


def ostracods(problem: Problem, rows: np.ndarray, generator: np.random.Generator) -> Problem:
    """As in Noisy Ostracods 5.6 % of the rows: 3.3 % with ruined inputs, 1.9 % look-alikes, 0.4 % in a pseudo-class."""
    number = rows.sum()
    sizes = np.bincount(problem.given[rows], minlength=problem.classes)
    of, size = int(sizes.argmax()), min(round(0.004 * number), int(sizes.max()) - 1)
    given = codes.pseudo_class(problem.given, of, problem.classes, size, generator, rows)
    free = rows & (given == problem.given)
    found = _look_alikes(
        replace(problem, given=given, classes=problem.classes + 1), free, round(0.019 * number), generator
    )
    free &= found.given == problem.given
    ruined = generator.choice(np.flatnonzero(free), round(0.033 * number), replace=False)
    inputs = problem.inputs.clone()
    # Each number of a ruined row comes from another row: what is left looks like nothing.
    inputs[ruined] = torch.from_numpy(generator.permuted(inputs.numpy(), axis=0)[ruined])
    return replace(found, inputs=inputs)


_PLANTED = ("symmetric", "pair", "instance", "open set", "pseudo-class")
_NOISE: dict[str, Noise] = dict(zip(_PLANTED, (symmetric, pair, instance, open_set, pseudo_class), strict=True))


def _look_alikes(problem: Problem, rows: np.ndarray, flips: int, generator: np.random.Generator) -> Problem:
    known = np.where(rows, problem.given, -1)
    flows = codes.look_alikes(problem.inputs.flatten(1).numpy(), known, problem.classes)
    return replace(problem, given=codes.pair(problem.given, flows, flips, generator, rows))


def _noisy(clean: Callable[[int], Problem], noise: Noise, seed: int) -> Problem:
    problem = clean(seed)
    rows = np.zeros(len(problem.given), bool)
    rows[problem.train] = rows[problem.validation] = True
    return noise(problem, rows, np.random.default_rng((seed, 1)))


def _problem(inputs: Tensor, labels: np.ndarray, tested: np.ndarray, rows: int | None, seed: int) -> Problem:
    """Up to so many of the rows not tested on, split at random; inputs standardised by them."""
    learned = np.random.default_rng(seed).permutation(np.flatnonzero(~tested))[:rows]
    held_out = round(_VALIDATION * len(learned))
    known = inputs[learned]
    axes = (0, 2, 3) if inputs.ndim == 4 else (0,)
    spread = known.std(axes, keepdim=True).clamp(min=1e-3)
    labels = labels.astype(np.int64)
    return Problem(
        (inputs - known.mean(axes, keepdim=True)) / spread,
        labels,
        labels,
        int(labels.max()) + 1,
        np.sort(learned[held_out:]),
        np.sort(learned[:held_out]),
        np.flatnonzero(tested),
    )


def _digits(rows: int | None, seed: int) -> Problem:
    pictures, labels = load_digits(return_X_y=True)
    tested = np.zeros(len(labels), bool)
    tested[np.random.default_rng((seed, 2)).permutation(len(labels))[:797]] = True
    return _problem(torch.from_numpy(pictures).float(), labels, tested, rows, seed)


def _mnist(rows: int, side: int, seed: int) -> Problem:
    pictures, labels, tested = _load_mnist(side)
    return _problem(pictures if side == 28 else pictures.flatten(1), labels, tested, rows, seed)


@cache
def _load_mnist(side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """The digits shrunk to so many pixels a side, their classes, and which are the official test digits."""
    with np.load(data_path("mnist") / "mnist.npz", allow_pickle=False) as file:
        pictures = torch.from_numpy(np.concatenate([file["x_train"][:20_000], file["x_test"]]))
        labels = np.concatenate([file["y_train"][:20_000], file["y_test"]])
    return F.adaptive_avg_pool2d(pictures[:, None].float(), side), labels, np.arange(len(labels)) >= 20_000


def _cifar10n(rows: int, side: int, labels: str, seed: int) -> Problem:
    """So many pictures, half of them tested on (of all of them a fifth)."""
    chosen, pictures = draw_cifar10(data_path("cifar10"), rows, side, seed)
    with np.load(data_path("cifar10") / "cifar10n.npz", allow_pickle=False) as file:
        given, clean = (file[each][chosen].astype(np.int64) for each in (labels, "clean"))
    tested = np.random.default_rng((seed, 2)).permutation(rows) < (rows // 2 if rows < 50_000 else rows // 5)
    return replace(_problem(pictures, clean, tested, None, seed), given=given)


def _frogs(rows: int | None, seed: int) -> Problem:
    """Species of calls; a quarter of the recordings of each species is tested on."""
    features, labels, tested = _load_frogs(seed)
    return _problem(features, labels, tested, rows, seed)


@cache
def _load_frogs(seed: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    table = read(frog_file(), labels=("Family", "Genus", "Species"), group="RecordID", quiet=True)
    features = TabularEncoder().fit_transform(table).features
    return torch.from_numpy(features), table.labels("Species"), draw_groups(table, "Species", seed)


def _groceries(rows: int | None, side: int, seed: int) -> Problem:
    """Coarse classes of photos, by the official split."""
    pictures, labels, tested = _load_groceries(side)
    return _problem(pictures, labels, tested, rows, seed)


@cache
def _load_groceries(side: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    source = data_path("grocery") / "grocery.npz"
    table = read(source, labels=("coarse",), split="split", quiet=True)
    pictures = PixelEncoder(side).fit_transform(table).features
    return torch.from_numpy(pictures), table.labels("coarse"), np.isin(np.arange(len(table)), table.rows("test"))
