"""How good the labels of each class are, and which classes are taken for each other."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import triu

from labelwise.audit.confident import confident_joint


def class_health(labels: ArrayLike, probs: ArrayLike) -> pd.DataFrame:
    """Estimate for each class how many of its labels are wrong, a row a class, worst first.

    `labels` [n] (-1 = missing) and `probs` [n, classes] as for `confident_joint`, from which everything is computed.
    Columns: `class`; `rows` with this label; `wrong`, how many of these are really of another class; `missed`, how many
    of this class have another label; `noise`, the share of `wrong` in the rows with this label; `inverse_noise`, the
    share of `missed` in the rows that are really of this class; `quality`, 1 - `noise`. Shares of nothing are nan.

    Source: Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets", NeurIPS 2021 (arXiv 2103.14749).
    """
    joint = confident_joint(labels, probs, sparse=True)
    return health_table(joint.sum(axis=1), joint.sum(axis=0), joint.diagonal())


def health_table(given: np.ndarray, true: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """The table of `class_health`, from how many rows have each label, are of each class, and both, each [classes]."""
    noise = _share(given - right, given)
    table = pd.DataFrame(
        {
            "class": np.arange(len(right)),
            "rows": given,
            "wrong": given - right,
            "missed": true - right,
            "noise": noise,
            "inverse_noise": _share(true - right, true),
            "quality": 1 - noise,
        }
    )
    return table.sort_values("quality", kind="stable", ignore_index=True)


def class_overlap(labels: ArrayLike, probs: ArrayLike) -> pd.DataFrame:
    """Estimate for each pair of classes how many rows of one have the label of the other, most first.

    Such classes are hard to tell apart, or should be one. Columns: `class_a` < `class_b`; `rows`; `joint`, their share
    of all labelled rows. Pairs without such rows are left out. Takes what `class_health` takes; same source.
    """
    joint = confident_joint(labels, probs, sparse=True)
    both = triu(joint + joint.T, k=1).tocoo()
    table = pd.DataFrame({"class_a": both.row, "class_b": both.col, "rows": both.data})
    table["joint"] = table["rows"] / joint.sum()
    table = table.sort_values(["class_a", "class_b"])
    return table.sort_values("rows", ascending=False, kind="stable", ignore_index=True)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
