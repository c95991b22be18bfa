"""Running a method: one pass after another, the best weights kept, unharmed by a kill."""

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from labelwise.methods.batch import Batches
from labelwise.methods.checkpoint import SafetensorsIO
from labelwise.methods.learner import Learner
from labelwise.methods.method import Method, check_range
from labelwise.progress import Advance, progress

_ROWS_AT_ONCE = 1024  # in inference
_SECONDS_BETWEEN_CHECKPOINTS = 2.0  # what a kill can cost, beyond the epoch that it interrupts


@dataclass(frozen=True)
class Plan:
    """How long to train, in what steps, and on how large a backbone: the options that all methods share.

    Args:
        epochs: most passes over the training rows, >= 1.
        batch_size: rows a step; 0 chooses an eighth of the training rows, within 16 and 256.
        patience: passes without a lower validation loss before training stops; 0 never stops early.
        width: features that the backbone gives, >= 1 (of a backbone made by labelwise).
        dropout: share of the backbone's activations that are zeroed in training, in [0, 1) (likewise).
    """

    epochs: int = 60
    batch_size: int = 0
    patience: int = 15
    width: int = 128
    dropout: float = 0.2

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, least=1)
        check_range("batch_size", self.batch_size, least=0)
        check_range("patience", self.patience, least=0)
        check_range("width", self.width, least=1)
        check_range("dropout", self.dropout, least=0, most=0.99)

    def rows_a_step(self, rows: int) -> int:
        """The batch size for this many training rows."""
        return self.batch_size or min(256, max(16, rows // 8))


def train(
    method: Learner,
    inputs: Tensor,
    targets: Mapping[str, Tensor],
    rows: np.ndarray,
    validation: np.ndarray,
    plan: Plan,
    seed: int = 0,
    checkpoint: Path | None = None,
    quiet: bool = False,
    title: str = "training",
) -> list[dict[str, Any]]:
    """Train `method` on `rows` of `inputs` [n, ...] and `targets`, labels by task as `LabelTable.labels` gives them.

    With `validation` rows, the method ends with the weights of the lowest held-out loss (or, if it has one, of its own
    criterion) among those epochs where it was settled (else among all); without, with the last weights. It is left in
    eval mode. Gives the history, a dictionary an epoch: `epoch` (from 1), `train_loss`, and with validation rows
    `validation_loss`, `validation_accuracy` (by task of kind `single`) and `settled`; methods with experts add `gates`,
    see `gate_statistics`, and others what they tell in `epoch_facts`.

    If `checkpoint` names a file, the state is kept there every few seconds at the end of an epoch; if that file is
    there already, training goes on from it, and ends with the same bits as an undisturbed run. `title` is that of the
    progress bar. Draws from the global random numbers of torch; see `seeded`. Raises `ValueError` if the loss is no
    longer a finite number, and `KeyboardInterrupt` at once on Ctrl-C.
    """
    targets = method.prepare(targets, torch.from_numpy(rows))
    order, epochs = method.order(rows, targets, seed), plan.epochs if method.passes is None else method.passes
    size = plan.rows_a_step(len(rows))
    if order is None:
        batches = Batches(inputs, targets, rows, size, seed, method.together)
    else:
        batches = Batches(inputs, targets, order, size)
    with progress(title, epochs * len(batches), quiet) as advance, _silent(), _interruptible(), _deterministic():
        watch = _Watch(batches, validation, plan.patience, checkpoint, advance)
        trainer = Trainer(
            max_epochs=epochs,
            callbacks=[watch],
            plugins=[SafetensorsIO()],
            devices=1,
            # Where an operation can only be random in its last bits, as some on GPUs, it is used all the same.
            deterministic="warn" if torch.cuda.is_available() else None,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        resumed = checkpoint if checkpoint and checkpoint.exists() else None
        trainer.fit(method, batches, ckpt_path=resumed)
    watch.finish(method)
    method.eval()
    return watch.history


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's global random numbers from `seed` in this block, and leave them as they were after it."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def answers(method: Method, inputs: Tensor, rows: np.ndarray) -> dict[str, Tensor]:
    """Logits [len(rows), classes] of each task, on the CPU; puts the method into eval mode."""
    method.eval()
    parts = [
        {name: logits.cpu() for name, logits in method(batch.inputs.to(method.device)).items()}
        for batch in Batches(inputs, {}, rows, _ROWS_AT_ONCE)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def mean_expert_weights(method: Method, inputs: Tensor, rows: np.ndarray) -> dict[str, Tensor] | None:
    """Mean weight of each expert, [experts] by task, over `rows`; None if the method has no experts. In eval mode."""
    return _mean(method, method.expert_weights, inputs, rows)


def mean_expert_overlap(method: Method, inputs: Tensor, rows: np.ndarray) -> dict[str, Tensor] | None:
    """Mean share of experts in common, [tasks] by task, over `rows`; None if the method has no experts. In eval mode.

    See `labelwise.metrics.expert_overlap`.
    """
    return _mean(method, method.expert_overlap, inputs, rows)


@torch.no_grad()
def _mean(
    method: Method, ask: Callable[[Tensor], dict[str, Tensor] | None], inputs: Tensor, rows: np.ndarray
) -> dict[str, Tensor] | None:
    """Mean over rows of what is asked of some inputs at once, a mean over them."""
    method.eval()
    batches = Batches(inputs, {}, rows, _ROWS_AT_ONCE)
    parts = [ask(batch.inputs.to(method.device)) for batch in batches]
    found = [part for part in parts if part is not None]
    sizes = torch.tensor([len(batch.index) for batch in batches], dtype=torch.float64)
    return (
        {name: sizes @ torch.stack([part[name].cpu().double() for part in found]) / len(rows) for name in found[0]}
        if found
        else None
    )


class _Watch(Checkpoint):
    """Sets the order of each epoch, notes how it went, keeps the best weights, stops when they get no better.

    A `Checkpoint`, since Lightning calls these after the method's own hooks: what is saved at the end of an epoch is
    then all of that epoch.
    """

    def __init__(
        self,
        batches: Batches,
        validation: np.ndarray,
        patience: int,
        checkpoint: Path | None,
        advance: Advance,
    ):
        self.batches = batches
        self.validation = validation
        self.labels = {name: labels[torch.from_numpy(validation)] for name, labels in batches.targets.items()}
        self.patience = patience
        self.checkpoint = checkpoint
        self.saved = time.monotonic()
        self.advance = advance
        self.losses: list[Tensor] = []
        self.history: list[dict[str, Any]] = []
        self.best_rank = (True, math.inf)  # not settled, criterion: the lower the better
        self.best: dict[str, Tensor] | None = None
        self.worse = 0

    def state_dict(self) -> dict[str, Any]:
        kept = ("history", "best_rank", "best", "worse")
        return {name: getattr(self, name) for name in kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: Trainer, method: Learner) -> None:
        self.patience = self.patience if method.patience is None else method.patience
        self.advance(len(self.history) * len(self.batches))
        trainer.should_stop = self.stuck

    def on_train_epoch_start(self, trainer: Trainer, method: Learner) -> None:
        self.batches.epoch = trainer.current_epoch
        self.losses = []

    def on_train_batch_end(self, trainer: Trainer, method: Learner, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"])
        self.advance()

    def on_train_epoch_end(self, trainer: Trainer, method: Learner) -> None:
        epoch = {"epoch": trainer.current_epoch + 1, "train_loss": torch.stack(self.losses).mean().item()}
        criterion = method.criterion()
        method.eval()
        settled = method.settled()
        if len(self.validation) and isinstance(method, Method):  # others judge themselves, by their criterion
            epoch |= self._validate(method) | {"settled": settled}
            criterion = epoch["validation_loss"] if criterion is None else criterion
        if criterion is not None:
            self._judge(method, settled, criterion)
        method.train()
        self.history.append(epoch | method.epoch_facts())
        if not math.isfinite(epoch["train_loss"] + epoch.get("validation_loss", 0)):
            raise ValueError(
                f"training diverged: the loss of epoch {epoch['epoch']} is not a finite number; "
                f"try a smaller learning_rate than {method.learning_rate:g}"
            )
        trainer.should_stop = self.stuck
        if self.checkpoint and time.monotonic() - self.saved >= _SECONDS_BETWEEN_CHECKPOINTS:
            trainer.save_checkpoint(self.checkpoint)
            self.saved = time.monotonic()

    @property
    def stuck(self) -> bool:
        return 0 < self.patience <= self.worse

    def finish(self, method: Learner) -> None:
        """Give the method its best weights."""
        if self.best is not None:
            method.load_state_dict(self.best)

    def _validate(self, method: Method) -> dict[str, Any]:
        logits = answers(method, self.batches.inputs, self.validation)
        loss = method.heldout_loss(logits, self.labels).item()
        singles = [task.name for task in method.tasks if task.kind == "single"]
        accuracy = {name: _accuracy(logits[name], self.labels[name]) for name in singles}
        return {"validation_loss": loss} | ({"validation_accuracy": accuracy} if accuracy else {})

    def _judge(self, method: Learner, settled: bool, criterion: float) -> None:
        """Keep the weights if none were better; patience is only lost while the method is settled."""
        if (not settled, criterion) < self.best_rank:
            self.best_rank, self.worse = (not settled, criterion), 0
            self.best = {name: value.detach().to("cpu", copy=True) for name, value in method.state_dict().items()}
        elif settled:
            self.worse += 1


def _accuracy(logits: Tensor, labels: Tensor) -> float | None:
    labelled = labels >= 0
    return (logits.argmax(-1) == labels)[labelled].double().mean().item() if labelled.any() else None


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Lightning's banners, hints and advice about loaders from the user."""
    kept = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric")}
    try:
        for name in kept:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for name, level in kept.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Give signals back their meaning.

    Lightning turns Ctrl-C into SystemExit and ignores it from then on, and lets a process that was terminated end as
    if it had succeeded.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Leave the switch for deterministic operations, which a Trainer sets for good, as it was."""
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
