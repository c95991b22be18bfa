"""Rows that a generative model of the whole table finds hard to believe, and which cell makes them so."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from labelwise.audit.mixture import Mixture, fit_mixture
from labelwise.labels import LabelTable
from labelwise.labels.associations import LEVELS
from labelwise.labels.kinds import CATEGORICAL, NUMERIC, codes_of, numbers_of, scalar_columns

SHARE = 0.01  # of the rows are called unusual
SHOWN = 20

_FEWEST = 50  # rows
_SCORED = 100_000
_FITTED = 5_000
_COLUMNS = 60
_MOST = 8  # components
_BINS = 20
_CELLS = 3
_CUT = 4.0  # robust standard deviations from the median, beyond which a number does not draw a component to it
_QUARTILES = 1.349  # interquartile range of a standard normal distribution
_COMPONENT = 10  # rows at least


def unusual_rows(table: LabelTable, kinds: Mapping[str, str] | None = None, seed: int = 0) -> dict[str, Any]:
    """Describe the rows of lowest density under a mixture of products of the labels and feature columns.

    Numbers and categories (`labels.kinds`, of the 50 most frequent values, the rest as one) of at most 60 columns are
    modelled, see `mixture.fit_mixture`; the number of components, 1 to 8, is that of the lowest BIC, of mixtures whose
    components all hold ten rows and a hundredth of all (a smaller one would explain unusual rows away). It is fitted on
    at most 5,000 rows, with numbers cut off at four deviations, and tells of at most 100,000. A row is unusual if its
    log density is in the lowest hundredth. Of those, at most twenty, the cells are named that are the least likely
    given the other cells of the row, compared with what is usual in their column.

    Gives `{"rows", "sampled", "fitted_on", "components", "bic", "columns", "threshold", "unusual", "histogram",
    "lowest"}`: `bic` by number of components; `histogram` as counts and edges of the log densities; `lowest` as
    `{"row", "id", "log_density", "cells": [{"column", "value", "surprise"}]}`, surprise in nats beyond the usual.
    Raises `ValueError`, with the reason, for fewer than 50 rows or two columns to model.
    """
    columns = scalar_columns(table, _SCORED, kinds, labels=True, seed=seed)
    kept = [
        name
        for name, kind in columns.kinds.items()
        if kind in NUMERIC + CATEGORICAL and columns.frame[name].nunique() > 1
    ][:_COLUMNS]
    if len(columns.rows) < _FEWEST or len(kept) < 2:
        raise ValueError(
            f"a model of the rows needs {_FEWEST} rows and two columns of numbers or categories that vary; "
            f"there are {len(columns.rows):,} rows and {len(kept)} such columns"
        )
    numeric = [name for name in kept if columns.kinds[name] in NUMERIC]
    other = [name for name in kept if name not in numeric]
    numbers = _standardised(columns.frame, numeric)
    coded = [codes_of(columns.frame[name], LEVELS) for name in other]
    codes = np.stack([each for each, _ in coded], axis=1) if coded else np.zeros((len(numbers), 0), np.int64)
    fitted_on = np.arange(len(numbers))
    if len(fitted_on) > _FITTED:
        fitted_on = np.sort(np.random.default_rng(seed).choice(len(numbers), _FITTED, replace=False))
    cut = np.clip(numbers[fitted_on], -_CUT, _CUT)
    mixture, criteria = _best(cut, codes[fitted_on], [len(levels) for _, levels in coded], seed)

    density = mixture.log_density(numbers, codes)
    threshold = float(np.quantile(density, SHARE))
    unusual = int((density <= threshold).sum())
    lowest = np.argsort(density, kind="stable")[: min(SHOWN, unusual)]
    usual = np.nanmedian(mixture.surprise(numbers[fitted_on], codes[fitted_on]), axis=0)
    surprise = mixture.surprise(numbers[lowest], codes[lowest]) - usual
    counts, edges = np.histogram(density, _BINS)
    rows = columns.rows[lowest]
    ids = rows.astype(str) if table.id is None else table.select(rows).ids
    return {
        "rows": len(numbers),
        "sampled": len(numbers) < len(table),
        "fitted_on": len(fitted_on),
        "components": len(mixture.weights),
        "bic": criteria,
        "columns": kept,
        "threshold": threshold,
        "unusual": unusual,
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        "lowest": [
            {
                "row": int(row),
                "id": str(name),
                "log_density": float(density[at]),
                "cells": _cells(columns.frame.iloc[at], numeric + other, told),
            }
            for at, row, name, told in zip(lowest, rows, ids, surprise, strict=True)
        ],
    }


def _standardised(frame: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Numbers about their median, in units of the deviation that the quartiles of a normal distribution tell of."""
    if not names:
        return np.zeros((len(frame), 0))
    numbers = np.stack([numbers_of(frame[name]).to_numpy() for name in names], axis=1)
    low, middle, high = np.nanquantile(numbers, [0.25, 0.5, 0.75], axis=0)
    deviation = np.where(high > low, (high - low) / _QUARTILES, np.nanstd(numbers, axis=0))
    return (numbers - middle) / deviation


def _best(numbers: np.ndarray, codes: np.ndarray, levels: list[int], seed: int) -> tuple[Mixture, dict[str, float]]:
    """The mixture of lowest BIC; the search ends where two more components in turn did not lower it."""
    found: list[tuple[float, Mixture]] = []
    different = len(np.unique(np.hstack([np.nan_to_num(numbers), codes]), axis=0))
    for components in range(1, min(_MOST, different) + 1):
        mixture = fit_mixture(numbers, codes, levels, components, seed)
        if components > 1 and mixture.weights.min() * len(numbers) < max(_COMPONENT, SHARE * len(numbers)):
            continue
        found.append((mixture.bic(numbers, codes), mixture))
        if len(found) - min(range(len(found)), key=lambda at: found[at][0]) > 2:
            break
    best = min(found, key=lambda each: each[0])[1]
    return best, {str(len(mixture.weights)): value for value, mixture in found}


def _cells(row: pd.Series, names: list[str], surprise: np.ndarray) -> list[dict[str, Any]]:
    """The most surprising known cells of a row, those that are more surprising than usual."""
    order = [at for at in np.argsort(-np.nan_to_num(surprise, nan=-np.inf), kind="stable") if surprise[at] > 0]
    return [
        {"column": names[at], "value": str(row[names[at]]), "surprise": round(float(surprise[at]), 2)}
        for at in order[:_CELLS]
    ]
