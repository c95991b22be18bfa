"""Which of several models is best, as the share of test items grows whose labels were wrong and have been corrected."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

_CELLS = 1_000_000  # replicates x patterns of right answers drawn at a time, so that memory stays near 10 MB


class Destabilisation(NamedTuple):
    """How the order of models depends on the share of test items that were mislabelled.

    `share`: that share in this test set. `models`: one row a model, with `given`, its accuracy by the given labels on
    all rows; `corrected`, by the corrected labels without the pruned rows; `on_wrong` and `on_right`, on the rows whose
    label was wrong and on the others; and its ranks by these, `rank_given` and so on (1 is best, equal ones share the
    best rank). `curves`: one row a share and model, with `accuracy`, `low`, `high` (95 % interval), and `best`, the
    share of bootstrap replicates in which no model is better. `crossings`: one row for two models that change places:
    `below` is ahead at smaller shares and `above` at larger ones than `share` (95 % interval `low` to `high`, over the
    replicates in which they cross in this direction, a part `support` of all); `increase` is `share` minus that of this
    test set: how many more mislabelled items (or, if negative, how many fewer) it takes.
    """

    share: float
    models: pd.DataFrame
    curves: pd.DataFrame
    crossings: pd.DataFrame


def destabilise(
    predictions: Mapping[str, ArrayLike],
    labels: ArrayLike,
    corrected: ArrayLike,
    shares: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Destabilisation:
    """Find out whether the choice between models depends on how many test labels were wrong.

    Items whose label was right are thought to be removed at random until those with a corrected label make up a share f
    of the rest. The expected accuracy of a model is then f a + (1 - f) b, where a and b are its accuracies, by the
    corrected labels, on either kind of item. Intervals are percentiles of a bootstrap that redraws the items of either
    kind, the same ones for all models.

    Args:
        predictions: by name of the model, the classes that it predicts, int [n].
        labels: given labels, int [n].
        corrected: what the labels should be, int [n]: the given one where it is right, -1 where none is known and the
            item is to be pruned (as reviewers did not agree).
        shares: where to compare the models, in [0, 1] (default: 0, 0.01, ..., 1).
        replicates: of the bootstrap, at least 1. Memory grows by 8 bytes x replicates x shares x models.
        seed: of the bootstrap.

    Raises `ValueError` if arrays do not fit, or if no label, or every label, was corrected.

    Source: Northcutt, Athalye and Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine Learning
    Benchmarks" (2021), section 5.
    """
    names, guesses, given, truth = _check(predictions, labels, corrected)
    grid = np.linspace(0, 1, 101) if shares is None else np.atleast_1d(np.asarray(shares, float))
    if not ((grid >= 0) & (grid <= 1)).all():
        raise ValueError(f"shares must be in [0, 1]; got {grid.tolist()}")
    right = guesses == truth
    wrong_label, right_label = (truth != given) & (truth >= 0), truth == given
    generator = np.random.default_rng(seed)
    on_wrong, on_right = right[:, wrong_label].mean(axis=1), right[:, right_label].mean(axis=1)
    again_wrong, again_right = (
        _replicates(right[:, rows].T, replicates, generator) for rows in (wrong_label, right_label)
    )
    share = float(wrong_label.sum() / (wrong_label.sum() + right_label.sum()))
    return Destabilisation(
        share,
        _models(
            names,
            given=(guesses == given).mean(axis=1),
            corrected=_accuracy(share, on_wrong, on_right),
            on_wrong=on_wrong,
            on_right=on_right,
        ),
        _curves(names, grid, _accuracy(grid[:, None], on_wrong, on_right), again_wrong, again_right),
        _crossings(names, share, (on_wrong, on_right), (again_wrong, again_right)),
    )


def _check(
    predictions: Mapping[str, ArrayLike], labels: ArrayLike, corrected: ArrayLike
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names, predictions [models, n], given and corrected labels [n]."""
    if not predictions:
        raise ValueError("there must be predictions of at least one model; got none")
    given, truth = np.asarray(labels), np.asarray(corrected)
    arrays = {"labels": given, "corrected": truth} | {
        f"the predictions of {name!r}": np.asarray(predicted) for name, predicted in predictions.items()
    }
    for name, array in arrays.items():
        if array.shape != (given.size,) or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(
                f"{name} must be class indices [{given.size}], as labels are; got {array.dtype} {list(array.shape)}"
            )
    if (given < 0).any() or (truth < -1).any():
        raise ValueError("labels must be at least 0, and corrected labels too, or -1 where the item is to be pruned")
    if not ((truth != given) & (truth >= 0)).any():
        raise ValueError("no label was corrected to another one, so that there is nothing to compare by")
    if not (truth == given).any():
        raise ValueError("no label was right as given; there must be some to compare by")
    guesses = np.stack([np.asarray(predicted) for predicted in predictions.values()])
    return [str(name) for name in predictions], guesses, given, truth


def _accuracy(share: float | np.ndarray, on_wrong: np.ndarray, on_right: np.ndarray) -> np.ndarray:
    return share * on_wrong + (1 - share) * on_right


def _replicates(right: np.ndarray, replicates: int, generator: np.random.Generator) -> np.ndarray:
    """Accuracies [replicates, models] on redrawn items, of bool [items, models].

    Items on which the same models are right are alike, so that redrawing items is a multinomial draw over patterns.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1; got {replicates}")
    patterns, counts = np.unique(right, axis=0, return_counts=True)
    n, at_once = len(right), max(1, _CELLS // len(patterns))
    sizes = [min(at_once, replicates - start) for start in range(0, replicates, at_once)]
    drawn = [generator.multinomial(n, counts / n, size) @ patterns.astype(float) for size in sizes]
    return np.concatenate(drawn) / n


def _models(names: list[str], **accuracies: np.ndarray) -> pd.DataFrame:
    scores = pd.DataFrame(accuracies)
    ranks = scores.rank(method="min", ascending=False).astype(int).add_prefix("rank_")
    return pd.concat([pd.Series(names, name="model"), scores, ranks], axis=1)


def _curves(
    names: list[str], grid: np.ndarray, accuracy: np.ndarray, on_wrong: np.ndarray, on_right: np.ndarray
) -> pd.DataFrame:
    again = _accuracy(grid[:, None, None], on_wrong, on_right)  # [shares, replicates, models]
    low, high = np.quantile(again, [0.025, 0.975], axis=1)
    best = (again >= again.max(axis=2, keepdims=True) - 1e-12).mean(axis=1)
    return pd.DataFrame(
        {
            "share": np.repeat(grid, len(names)),
            "model": np.tile(names, len(grid)),
            "accuracy": accuracy.ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
            "best": best.ravel(),
        }
    )


def _crossings(
    names: list[str], share: float, point: tuple[np.ndarray, np.ndarray], again: tuple[np.ndarray, np.ndarray]
) -> pd.DataFrame:
    at = _meet(*(accuracy[None] for accuracy in point))[0]
    rows = []
    for below, above in zip(*np.nonzero(np.isfinite(at)), strict=True):
        redrawn = _meet(*(accuracy[:, [below, above]] for accuracy in again))[:, 0, 1]
        crossing = redrawn[np.isfinite(redrawn)]
        low, high = np.quantile(crossing, [0.025, 0.975]) if len(crossing) else (np.nan, np.nan)
        found = {"share": at[below, above], "low": low, "high": high, "increase": at[below, above] - share}
        rows.append({"below": names[below], "above": names[above], **found, "support": len(crossing) / len(redrawn)})
    columns = ["below", "above", "share", "low", "high", "increase", "support"]
    return pd.DataFrame(rows, columns=columns).sort_values("share", kind="stable", ignore_index=True)


def _meet(on_wrong: np.ndarray, on_right: np.ndarray) -> np.ndarray:
    """Shares at which model j overtakes model i, [replicates, i, j], of accuracies [replicates, models]; else nan."""
    slope = on_wrong - on_right
    steeper = slope[:, None, :] - slope[:, :, None]
    behind = on_right[:, :, None] - on_right[:, None, :]
    # Rounding must not make parallel lines cross.
    at = np.divide(behind, steeper, out=np.full(steeper.shape, np.nan), where=steeper > 1e-12)
    return np.where((at > 1e-9) & (at < 1 - 1e-9), at, np.nan)
