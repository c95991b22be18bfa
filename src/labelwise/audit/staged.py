"""Learning from one source of labels after another: any model, in stages."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import entr, xlogy
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import has_fit_parameter

from labelwise.audit.cross_fitting import seed_model
from labelwise.audit.ledger import Ledger

if TYPE_CHECKING:
    from torch import nn

_BATCH = 32
_CHECK_EVERY = 50  # batches at most
_PATIENCE = 4  # checks without a gain
_GAIN = 0.01  # of the score of the validation rows, below which there is none
_UNWATCHED = 100  # rows presented, in three passes at least, where nothing can tell when to stop
_ROWS_AT_ONCE = 1024  # in inference


@dataclass(frozen=True)
class Stage:
    """Learning from the labels of one source.

    Args:
        source: its name in the ledger.
        n: how many labels to buy; a stage without any is left out.
        sampling: "random", or "uncertain": those of which the model, as the stages before left it, is least certain.
            The first stage is always random.
        temperature: of uncertain sampling, at least 0; see `uncertainty_sample`.
        loss: "cross_entropy", or for torch modules "log_confidence" (`functional.log_confidence_target`), which lets a
            model that knows better overrule systematic errors of weak labels.
        validation: the share of the labels that is held out to stop early, in [0, 1), at least 2 labels; 0 holds out
            none, and so do fewer than 4 labels.
    """

    source: str
    n: int
    sampling: str = "random"
    temperature: float = 0.0
    loss: str = "cross_entropy"
    validation: float = 0.2

    def __post_init__(self) -> None:
        for name, known in (("sampling", ("random", "uncertain")), ("loss", ("cross_entropy", "log_confidence"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {' or '.join(map(repr, known))}; got {getattr(self, name)!r}")
        if self.n < 0 or not 0 <= self.validation < 1:
            raise ValueError(f"n must be at least 0 and validation in [0, 1); got {self.n} and {self.validation}")


def run_stages(
    model: Any, stages: Sequence[Stage], ledger: Ledger, inputs: np.ndarray, seed: int = 0, presented: int = 30_000
) -> Any:
    """Learn from the sources in turn, each buying its own items, and give an object with `predict_proba`.

    The items [n, ...] are dealt to the stages at random, in proportion to how many each wants, so that no item is
    labelled twice. `model`, which stays as it is, is one of

    - an object with `partial_fit` and `predict_proba`: every stage goes on from where the one before ended;
    - an object with `fit` and `predict_proba`: it is fitted anew after every stage, to all labels bought so far;
    - a `FineTuned` torch module, or a torch module that gives logits (then with the defaults of `FineTuned`): every
      stage goes on with a fresh optimiser.

    Soft labels reach scikit-learn models as one row a class, weighted by its probability. What learns step by step sees
    about `presented` rows a stage (every row at least once), is checked on the validation rows every 50 batches or
    every pass, whichever is sooner, stops after four checks without a gain of 0.01, and keeps the best of these states.
    The score is the area under the ROC curve where the validation labels hold every class, else minus the log-loss.

    Raises `ValueError` if the stages want more items than there are.

    Source: Mallen and Belrose, "Balancing Label Quantity and Quality for Scalable Elicitation" (2024), sequential
    training.
    """
    kept = [stage for stage in stages if stage.n]
    wanted = sum(stage.n for stage in kept)
    if not wanted:
        raise ValueError("no stage buys any label; raise the budget")
    if wanted > len(inputs):
        raise ValueError(f"the stages want {wanted} items in all and there are {len(inputs)}")
    dealt = np.random.default_rng(seed).permutation(len(inputs))
    learner = _learner(model, seed)
    for at, stage in enumerate(kept):
        generator = np.random.default_rng([seed, at])
        own, dealt = np.split(dealt, [len(inputs) * stage.n // wanted])
        ids = own[: stage.n]
        if stage.sampling == "uncertain" and at:
            chances = learner.predict_proba(inputs[own])
            ids = own[uncertainty_sample(chances, stage.n, stage.temperature, generator)]
        learner.learn(inputs[ids], ledger.query(stage.source, ids), stage, generator, presented)
    return learner


def uncertainty_sample(
    probabilities: np.ndarray, n: int, temperature: float = 0.0, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Choose n rows by how uncertain a prediction is, int64 [n] in random order.

    Temperature 0 takes the rows of the largest entropy (of equal ones the first). Above, rows are drawn without
    replacement with weights proportional to entropy ** (1 / temperature); the higher, the nearer to uniform.

    Raises `ValueError` for more rows than there are, or a negative temperature.
    """
    generator = np.random.default_rng(0) if generator is None else generator
    if not 0 <= n <= len(probabilities):
        raise ValueError(f"n must be in [0, {len(probabilities)}], the number of rows; got {n}")
    if temperature < 0:
        raise ValueError(f"temperature must be at least 0; got {temperature}")
    score = entr(np.asarray(probabilities, np.float64)).sum(axis=1)
    if temperature > 0:
        # The n largest of log-weights with Gumbel noise are such a draw (Efraimidis and Spirakis 2006).
        score = np.log(np.maximum(score, 1e-300)) / temperature + generator.gumbel(size=len(score))
    return generator.permutation(np.argsort(-score, kind="stable")[:n])


class _Learner(Protocol):
    def learn(
        self, inputs: np.ndarray, targets: np.ndarray, stage: Stage, generator: np.random.Generator, presented: int
    ) -> None: ...

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray: ...


def _learner(model: Any, seed: int) -> _Learner:
    if isinstance(model, FineTuned):
        return _Steps(model.start(seed))
    if hasattr(model, "predict_proba") and (hasattr(model, "partial_fit") or hasattr(model, "fit")):
        fresh = seed_model(clone(model, safe=False), np.random.SeedSequence(seed))
        return _Steps(_Partial(fresh)) if hasattr(fresh, "partial_fit") else _Refit(fresh)
    if hasattr(model, "named_parameters"):
        return _Steps(FineTuned(model).start(seed))
    raise ValueError(
        f"a model must have predict_proba and fit or partial_fit, or be a torch module; got {type(model).__name__}"
    )


class FineTuned:
    """A torch module to be trained in stages, and how.

    AdamW (betas 0.9 and 0.95) with a cosine schedule; the first stage is warmed up over a pass of its rows.

    Args:
        module: gives logits [batch, classes] for inputs [batch, ...]; every run starts from a copy of it as it is,
            which is the place for pretrained weights. It stays on its device.
        learning_rate: the largest, above 0.
        weight_decay: at least 0.
    """

    def __init__(self, module: "nn.Module", learning_rate: float = 1e-3, weight_decay: float = 0.01):
        self.module = module
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def start(self, seed: int) -> "_Tuning":
        """A copy to train; `seed` is that of dropout and the like."""
        return _Tuning(copy.deepcopy(self.module), self.learning_rate, self.weight_decay, seed)


class _Steps:
    """What learns batch by batch, is watched, and stopped early."""

    def __init__(self, stepper: "_Partial | _Tuning"):
        self._stepper = stepper
        self._stages = 0

    def learn(
        self, inputs: np.ndarray, targets: np.ndarray, stage: Stage, generator: np.random.Generator, presented: int
    ) -> None:
        n = len(inputs)
        held = min(n - 1, max(2, round(stage.validation * n))) if stage.validation and n >= 4 else 0
        validation, rows = np.split(generator.permutation(n), [held])
        a_pass = -(-len(rows) // _BATCH)
        steps = max(a_pass, presented // _BATCH) if held else a_pass * max(3, -(-_UNWATCHED // n))
        self._stepper.begin(steps, 0 if self._stages else min(max(2, a_pass), steps))
        self._stages += 1
        best, kept, stale = -np.inf, None, 0
        for step, batch in enumerate(_batches(rows, steps, generator)):
            self._stepper.update(inputs[batch], targets[batch], stage.loss, step)
            if held and ((step + 1) % min(_CHECK_EVERY, a_pass) == 0 or step + 1 == steps):
                score = _score(self._stepper.predict_proba(inputs[validation]), targets[validation])
                stale = 0 if score > best + _GAIN else stale + 1
                if score > best:
                    best, kept = score, self._stepper.state()
                if stale == _PATIENCE:
                    break
        if kept is not None:
            self._stepper.restore(kept)

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        return self._stepper.predict_proba(inputs)


def _batches(rows: np.ndarray, steps: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """So many batches, pass after pass, each in a new order."""
    while steps > 0:
        shuffled = generator.permutation(rows)
        for start in range(0, len(rows), _BATCH)[:steps]:
            yield shuffled[start : start + _BATCH]
        steps -= -(-len(rows) // _BATCH)


def _score(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """How good, higher is better: area under the ROC curve, or minus the log-loss if a class is missing."""
    given = targets.argmax(axis=1)
    if len(np.unique(given)) < targets.shape[1]:
        return float(xlogy(targets, np.maximum(probabilities, 1e-12)).sum(axis=1).mean())
    chances = probabilities[:, 1] if targets.shape[1] == 2 else probabilities
    return float(roc_auc_score(given, chances, multi_class="ovr"))


class _Partial:
    """A scikit-learn model that learns batch by batch."""

    def __init__(self, model: Any):
        self._model = model
        self._weighted = "sample_weight" in signature(model.partial_fit).parameters

    def begin(self, steps: int, warm_up: int) -> None:
        pass

    def update(self, inputs: np.ndarray, targets: np.ndarray, loss: str, step: int) -> None:
        _refuse_log_confidence(loss)
        rows, labels, weights = _hard(targets, self._weighted)
        given = {"sample_weight": weights} if self._weighted else {}
        self._model.partial_fit(inputs[rows], labels, classes=np.arange(targets.shape[1]), **given)

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        chances = np.asarray(self._model.predict_proba(inputs), np.float64)
        if not np.isfinite(chances).all():
            raise ValueError(f"{type(self._model).__name__} predicts nan; it may need more labels than it was given")
        return chances

    def state(self) -> Any:
        return copy.deepcopy(self._model)

    def restore(self, state: Any) -> None:
        self._model = state


class _Refit:
    """A model that knows only how to be fitted anew, to all labels so far."""

    def __init__(self, model: Any):
        self._model = model
        self._seen: list[tuple[np.ndarray, np.ndarray]] = []

    def learn(
        self, inputs: np.ndarray, targets: np.ndarray, stage: Stage, generator: np.random.Generator, presented: int
    ) -> None:
        _refuse_log_confidence(stage.loss)
        self._seen.append((inputs, targets))
        every, soft = (np.concatenate(parts) for parts in zip(*self._seen, strict=True))
        weighted = has_fit_parameter(self._model, "sample_weight")
        rows, labels, weights = _hard(soft, weighted)
        self._classes = targets.shape[1]
        self._present = np.unique(labels)
        if len(self._present) > 1:  # most models refuse to learn from one class
            self._model.fit(every[rows], labels, **({"sample_weight": weights} if weighted else {}))

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        chances = np.zeros((len(inputs), self._classes))
        one = len(self._present) == 1
        chances[:, self._present] = 1 if one else self._model.predict_proba(inputs)
        return chances


def _refuse_log_confidence(loss: str) -> None:
    if loss == "log_confidence":
        raise ValueError("the loss 'log_confidence' needs a torch module; this model has losses of its own")


def _hard(targets: np.ndarray, weighted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, class indices and weights that stand for soft labels; without weights, the likeliest class of each row."""
    if not weighted:
        return np.arange(len(targets)), targets.argmax(axis=1), np.ones(len(targets))
    rows, labels = np.nonzero(targets)
    return rows, labels, targets[rows, labels]


class _Tuning:
    """A torch module on its way through the stages."""

    def __init__(self, module: "nn.Module", learning_rate: float, weight_decay: float, seed: int):
        import torch

        self._torch = torch
        self._module = module
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._draws = np.random.default_rng(seed)
        first = next(module.parameters())
        self._device, self._dtype = first.device, first.dtype

    def begin(self, steps: int, warm_up: int) -> None:
        def rate(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 + 0.5 * float(np.cos(np.pi * (step - warm_up) / max(1, steps - warm_up)))

        self._optimiser = self._torch.optim.AdamW(
            self._module.parameters(), self._learning_rate, (0.9, 0.95), weight_decay=self._weight_decay
        )
        self._schedule = self._torch.optim.lr_scheduler.LambdaLR(self._optimiser, rate)

    def update(self, inputs: np.ndarray, targets: np.ndarray, loss: str, step: int) -> None:
        from labelwise.functional import log_confidence_target, soft_cross_entropy

        wanted = self._tensor(targets)
        self._module.train()
        devices = [self._device] if self._device.type == "cuda" else []
        with self._torch.random.fork_rng(devices=devices):
            self._torch.manual_seed(int(self._draws.integers(2**63)))
            logits = self._module(self._tensor(inputs))
        if loss == "log_confidence":
            wanted = log_confidence_target(logits, wanted, step)
        self._optimiser.zero_grad()
        soft_cross_entropy(logits, wanted).mean().backward()
        self._optimiser.step()
        self._schedule.step()

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        self._module.eval()
        with self._torch.no_grad():
            parts = [
                self._module(self._tensor(inputs[at : at + _ROWS_AT_ONCE])).double().softmax(-1).cpu().numpy()
                for at in range(0, len(inputs), _ROWS_AT_ONCE)
            ]
        return np.concatenate(parts)

    def state(self) -> Any:
        return copy.deepcopy(self._module.state_dict())

    def restore(self, state: Any) -> None:
        self._module.load_state_dict(state)

    def _tensor(self, array: np.ndarray) -> Any:
        made = self._torch.as_tensor(array)
        return made.to(self._device, self._dtype if made.is_floating_point() else None)
