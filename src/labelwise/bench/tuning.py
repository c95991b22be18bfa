"""Choosing options of methods: the same number of trials for each, judged by labels as they are given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from labelwise.methods import info


class Range(NamedTuple):
    """The bounds that an option is drawn between, by its logarithm if `log`."""

    low: float
    high: float
    log: bool = False


_RATE = {"learning_rate": Range(5e-4, 1e-2, log=True)}
_WARM_UP = {"warm_up": Range(0.1, 0.5)}
_FORGET = {"forget": Range(0.02, 0.5), "warm_up": Range(0.1, 0.6)}
SPACES: dict[str, dict[str, Range]] = {
    "backward-correction": _WARM_UP,
    "co-teaching": _FORGET,
    "co-teaching-plus": _FORGET,
    "confident-learning": {},
    "cross-entropy": {},
    "divide-mix": {"threshold": Range(0.03, 0.7), **_WARM_UP},
    "dynamic-loss": _WARM_UP,
    "forward-correction": _WARM_UP,
    "importance-reweighting": _WARM_UP,
    "label-wave": {},
    "loss-clip": _FORGET,
    "mixup-cutmix": {"mixup_alpha": Range(0.1, 4.0, log=True)},
    "plm": _WARM_UP,
    "sdn": {"warm_up": Range(0.3, 0.8)},
    "sharpness-aware": {"radius": Range(0.01, 0.5, log=True)},
    "t-revision": _WARM_UP,
}


def space(method: str) -> dict[str, Range]:
    """The options of a method that are tuned; the learning rate is of every one."""
    return _RATE | SPACES[method]


def tune(
    score: Callable[[Mapping[str, float]], float], method: str, trials: int, seed: int
) -> dict[str, Sequence[Any] | dict[str, float]]:
    """Try the defaults and then what Optuna suggests; gives `options`, the best, and `tried`, all with their scores.

    Of equal scores the first counts. Raises `ImportError` with the remedy where Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("tuning needs Optuna: pip install 'labelwise[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wanted = space(method)
    defaults = {option["name"]: option["default"] for option in info(method)["options"] if option["name"] in wanted}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(defaults)

    def objective(trial: Any) -> float:
        return score(
            {name: trial.suggest_float(name, each.low, each.high, log=each.log) for name, each in wanted.items()}
        )

    study.optimize(objective, n_trials=trials)
    tried = [[trial.params, trial.value] for trial in study.trials]
    return {"options": max(tried, key=lambda each: each[1])[0], "tried": tried}
