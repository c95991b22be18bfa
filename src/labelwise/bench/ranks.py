"""Comparing many methods over many data sets by their ranks.

Source: Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def compare_ranks(scores: Mapping[str, Sequence[float]], level: float = 0.05) -> dict[str, Any]:
    """Rank methods on each of several data sets, the higher score the better, and say which differ.

    `scores[method]` has a number a data set, in the same order for all. Gives `ranks` (mean rank by method, best first;
    equal scores share theirs), `p` of Friedman's test that all methods are alike, and `critical_difference`: mean ranks
    that are further apart differ at this level, by Nemenyi's test. `groups` are the names of methods that lie within
    it, for each longest such row. Raises `ValueError` for fewer than three methods or two data sets.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    table = np.array([scores[name] for name in scores], float)
    if table.ndim != 2 or table.shape[0] < 3 or table.shape[1] < 2:
        raise ValueError(f"ranks are compared for 3 methods on 2 data sets, or more; got scores {list(table.shape)}")
    methods, sets = table.shape
    ranks = rankdata(-table, axis=0).mean(axis=1)
    order = np.argsort(ranks, kind="stable")
    names = list(scores)
    quantile = studentized_range.ppf(1 - level, methods, np.inf) / math.sqrt(2)
    difference = float(quantile * math.sqrt(methods * (methods + 1) / (6 * sets)))
    mean = {names[k]: float(ranks[k]) for k in order}
    statistic = friedmanchisquare(*table)
    return {
        "ranks": mean,
        "p": float(statistic.pvalue),
        "critical_difference": difference,
        "data_sets": sets,
        "groups": _groups(mean, difference),
    }


def _groups(ranks: Mapping[str, float], difference: float) -> list[list[str]]:
    """Names within the difference of the first of each group; groups that lie within another are left out."""
    names, found, reached = list(ranks), [], 0
    for first in range(len(names)):
        last = max(k for k in range(first, len(names)) if ranks[names[k]] - ranks[names[first]] <= difference)
        if last > max(first, reached - 1):
            found.append(names[first : last + 1])
            reached = last + 1
    return found
