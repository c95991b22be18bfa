"""The scikit-learn face of the training methods."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import Tags, assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.functional import temperature
from labelwise.labels import Task
from labelwise.methods.registry import check_options, get
from labelwise.methods.training import Plan, answers, seeded, train

_FEWEST_TO_VALIDATE = 100  # labelled rows; with fewer, holding some out costs more than it tells


class _Estimator(BaseEstimator):
    """What both estimators do alike: their parameters, features, and training."""

    def __init__(
        self,
        method: str = "dselect-k",
        *,
        max_epochs: int = 60,
        validation_fraction: float = 0.15,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        quiet: bool = True,
    ):
        self.method = method
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.options = options
        self.quiet = quiet

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "method_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _checked(self, X: Any) -> tuple[np.ndarray, dict[str, Any], Plan]:
        """Features, options of the method, and how to train, from parameters that are in range."""
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be in [0, 1); got {self.validation_fraction}")
        if "epochs" in (self.options or {}):
            raise ValueError("how many epochs is said by max_epochs; leave 'epochs' out of options")
        own, shared = check_options(self.method, {**(self.options or {}), "epochs": self.max_epochs})
        return self._features(X, reset=True), own, Plan(**shared)

    def _learn(
        self,
        X: np.ndarray,
        tasks: list[Task],
        targets: dict[str, torch.Tensor],
        parts: tuple[np.ndarray, np.ndarray],
        own: Mapping[str, Any],
        plan: Plan,
    ) -> dict[str, torch.Tensor]:
        """Train a method on the first of both parts; give its outputs by task on the second."""
        self._centre, self._spread = _scale(X)
        inputs = self._tensor(X)
        with seeded(self.seed):
            method = get(self.method)
            backbone = method.default_backbone(X.shape[1:], plan.width, plan.dropout)
            self.method_ = method(backbone, tasks, **own)
            self.history_ = train(self.method_, inputs, targets, *parts, plan, self.seed, quiet=self.quiet)
        # Answers in float64, since in float32 those for a row depend, in the last digits, on the rows beside it.
        self.method_.double()
        return answers(self.method_, inputs.double(), parts[1]) if len(parts[1]) else {}

    def _answers(self, X: Any) -> list[np.ndarray]:
        check_is_fitted(self, "method_")
        inputs = self._tensor(self._features(X)).double()
        logits = answers(self.method_, inputs, np.arange(len(inputs)))
        return [answer.numpy() for answer in self.method_.probabilities(logits).values()]

    def _features(self, X: Any, reset: bool = False) -> np.ndarray:
        X = validate_data(self, X, reset=reset, allow_nd=True, dtype=[np.float64, np.float32])
        if X.ndim not in (2, 4):
            raise ValueError(f"X must be [n, d] or [n, channels, height, width]; got {list(X.shape)}")
        if reset:
            self._shape = X.shape[1:]
        elif X.shape[1:] != self._shape:
            raise ValueError(f"X must be {['n', *self._shape]}, as it was in fit; got {list(X.shape)}")
        return X

    def _labels(self, y: Any, n: int) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        y = y.to_numpy() if isinstance(y, pd.DataFrame | pd.Series) else np.asarray(y)
        if y.ndim not in (1, 2) or len(y) != n or y.size == 0:
            raise ValueError(f"y must be [n] or [n, tasks] with n = {n}, as X has; got shape {list(y.shape)}")
        if y.dtype.kind == "f":
            assert_all_finite(y, allow_nan=True, input_name="y")
        return y

    def _tensor(self, X: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((X - self._centre) / self._spread).astype(np.float32))

    def _hold_out(self, known: np.ndarray, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from and rows held out, of those `known`, bool [n]; by `strata`, int [n], where that can be."""
        rows = np.flatnonzero(known)
        held = int(len(rows) * self.validation_fraction)
        if len(rows) < _FEWEST_TO_VALIDATE or held == 0:
            return rows, np.zeros(0, np.int64)
        strata = strata[rows]
        counts = np.unique(strata, return_counts=True)[1]
        if counts.min() < 2 or len(counts) > min(held, len(rows) - held):
            strata = np.zeros_like(strata)
        splitter = StratifiedShuffleSplit(1, test_size=held, random_state=self.seed)
        kept, out = next(splitter.split(rows, strata))
        return np.sort(rows[kept]), np.sort(rows[out])


class Classifier(ClassifierMixin, _Estimator):
    """A training method of labelwise as a scikit-learn classifier, for one task or several at once.

    Takes vectors [n, d] (standardised inside, so their scales do not matter) or pictures [n, channels, height, width]
    (standardised by channel), and labels [n] or [n, tasks] of numbers or strings. Unlabelled is -1, or missing (None,
    nan) among strings, where "-1" counts as -1 (NumPy makes that of [-1, "a"]). Repeating a fit gives the same model.

    Args:
        method: name of the method; `labelwise.methods.names()` lists them.
        max_epochs: most passes over the training rows, >= 1.
        validation_fraction: share of rows held out to stop early and to calibrate probabilities, in [0, 1); not used
            with fewer than 100 labelled rows, where all are learned from.
        seed: of weights, order and held-out rows, >= 0.
        options: further options of the method by name, as `labelwise.methods.info(method)` lists them.
        quiet: show no progress bar.

    After fitting: `classes_` (an array; with several tasks a list of arrays), `n_features_in_`, `history_` (one dict
    an epoch), `method_` (the trained module).
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from X [n, d] or [n, channels, height, width] and labels y [n] or [n, tasks].

        Raises `ValueError` for parameters out of range, features that are not finite, and labels that are not classes.
        """
        X, own, plan = self._checked(X)
        y = self._labels(y, len(X))
        self.n_tasks_ = None if y.ndim == 1 else y.shape[1]
        self._classes, codes = _encode(list(y.reshape(len(X), -1).T))
        tasks = [Task(f"task {at}", classes=tuple(map(str, range(len(c))))) for at, c in enumerate(self._classes)]
        targets = {task.name: torch.from_numpy(labels) for task, labels in zip(tasks, codes, strict=True)}
        finest = max(codes, key=lambda labels: labels.max())
        parts = self._hold_out(np.any(np.stack(codes) >= 0, axis=0), finest)
        for at, (name, logits) in enumerate(self._learn(X, tasks, targets, parts, own, plan).items()):
            self.method_.temperatures[at] = temperature(logits, targets[name][parts[1]])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of each row, [n], or [n, tasks] if y was so."""
        answered = self._answers(X)  # first, since it says so if there is nothing fitted
        chosen = [classes[chances.argmax(1)] for classes, chances in zip(self._classes, answered, strict=True)]
        return chosen[0] if self.n_tasks_ is None else np.stack(chosen, axis=1)

    def predict_proba(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Calibrated probabilities [n, classes] in the order of `classes_`; with y [n, tasks] a list of one a task."""
        chances = self._answers(X)
        return chances[0] if self.n_tasks_ is None else chances

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy over the labelled rows; with several tasks the mean of theirs."""
        predicted = self.predict(X)
        n = len(predicted)
        scores = []
        for guesses, given in zip(predicted.reshape(n, -1).T, self._labels(y, n).reshape(n, -1).T, strict=True):
            known = ~_missing(given)
            weights = None if sample_weight is None else np.asarray(sample_weight)[known]
            scores.append(np.average(guesses[known] == given[known], weights=weights) if known.any() else np.nan)
        return float(np.mean(scores))

    @property
    def classes_(self) -> np.ndarray | list[np.ndarray]:
        """The class labels, sorted; with y [n, tasks] a list of one array a task."""
        check_is_fitted(self, "method_")
        return self._classes[0] if self.n_tasks_ is None else self._classes


class Regressor(RegressorMixin, _Estimator):
    """A training method of labelwise that learns numbers as a scikit-learn regressor, for one task or several at once.

    Takes vectors [n, d] (standardised inside, so their scales do not matter) or pictures [n, channels, height, width]
    (standardised by channel), and numbers [n] or [n, tasks], nan where missing. Repeating a fit gives the same model.

    Args:
        method: name of a method that learns tasks of kind `real`; `labelwise.methods.info(name)["kinds"]` says so. The
            default, of numbers plain training by squared error, is what no other beats on the data measured so far.
        max_epochs: most passes over the training rows, >= 1.
        validation_fraction: share of rows held out to stop early, in [0, 1); not used with fewer than 100 labelled
            rows, where all are learned from.
        seed: of weights, order and held-out rows, >= 0.
        options: further options of the method by name, as `labelwise.methods.info(method)` lists them.
        quiet: show no progress bar.

    After fitting: `n_features_in_`, `history_` (one dict an epoch), `method_` (the trained module).
    """

    def __init__(
        self,
        method: str = "cross-entropy",
        *,
        max_epochs: int = 60,
        validation_fraction: float = 0.15,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        quiet: bool = True,
    ):
        super().__init__(
            method,
            max_epochs=max_epochs,
            validation_fraction=validation_fraction,
            seed=seed,
            options=options,
            quiet=quiet,
        )

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from X [n, d] or [n, channels, height, width] and numbers y [n] or [n, tasks].

        Raises `ValueError` for parameters out of range, features that are not finite, and a task without a number.
        """
        X, own, plan = self._checked(X)
        y = self._numbers(y, len(X))
        self.n_tasks_ = None if y.ndim == 1 else y.shape[1]
        columns = y.reshape(len(X), -1)
        empty = np.flatnonzero(np.isnan(columns).all(0))
        if len(empty):
            raise ValueError(f"y must hold a number a task; those of task {empty[0]} are all missing")
        tasks = [Task(f"task {at}", "real") for at in range(columns.shape[1])]
        targets = {task.name: torch.tensor(numbers) for task, numbers in zip(tasks, columns.T, strict=True)}
        parts = self._hold_out(~np.isnan(columns).all(1), np.zeros(len(X), np.int64))
        self._learn(X, tasks, targets, parts, own, plan)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each row, [n], or [n, tasks] if y was so."""
        numbers = self._answers(X)
        return numbers[0] if self.n_tasks_ is None else np.stack(numbers, axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of variance explained (R2) over the rows with a number; with several tasks the mean of theirs."""
        predicted = self.predict(X)
        n = len(predicted)
        scores = []
        for guesses, given in zip(predicted.reshape(n, -1).T, self._numbers(y, n).reshape(n, -1).T, strict=True):
            known = ~np.isnan(given)
            weights = None if sample_weight is None else np.asarray(sample_weight)[known]
            scores.append(r2_score(given[known], guesses[known], sample_weight=weights) if known.any() else np.nan)
        return float(np.mean(scores))

    def _numbers(self, y: Any, n: int) -> np.ndarray:
        return np.asarray(self._labels(y, n), dtype=np.float64)


def _missing(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind in "OU":
        return pd.isna(labels) | (labels == -1) | (labels == "-1")
    return np.isnan(labels) | (labels == -1) if labels.dtype.kind in "iuf" else np.zeros(len(labels), bool)


def _encode(columns: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sorted classes and class indices, int64 [n] with -1 where missing, of each column."""
    classes, codes = [], []
    for at, labels in enumerate(columns):
        known = ~_missing(labels)
        check_classification_targets(labels[known])
        found, indices = np.unique(labels[known], return_inverse=True)
        if len(found) < 2:
            raise ValueError(
                f"y must hold at least 2 classes a task, beside -1 (unlabelled); task {at} holds {len(found)} class"
            )
        column = np.full(len(labels), -1, np.int64)
        column[known] = indices
        classes.append(found)
        codes.append(column)
    return classes, codes


def _scale(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, or of each channel; 1 for what does not vary."""
    axes = (0, 2, 3) if X.ndim == 4 else 0
    centre, spread = X.mean(axes, keepdims=True), X.std(axes, keepdims=True)
    return centre, np.where(spread > 1e-12 * np.maximum(1, np.abs(centre)), spread, 1)
