"""Many cheap labels or few good ones: news items, a weak labeler, and budgets from 8 to 512 good labels.

Business against science news (AG News). Weak labels cost a tenth; they are those of a naive Bayes that has seen 40
texts, so that its errors are systematic. The texts to test on, and those to choose the learning rate by, are fixed;
seeds draw the 40 texts, the items that are bought, and their order. Features are learned from the other texts, without
labels.
"""

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from labelwise.audit import FineTuned, LabelBudget, Source
from labelwise.audit import label_budget as search
from labelwise.bench.harness import interval, versions
from labelwise.labels import data_path
from labelwise.progress import progress

BUDGETS = (8, 32, 128, 512)
_WEAK_COST = 0.1
_SEEN = 40  # texts that the weak labeler learned from
_TESTED = 1000
_VALIDATED = 500
_RATES = (0.001, 0.003, 0.01, 0.03)
_CHOOSING = range(1000, 1003)  # seeds that choose the learning rate, and are not reported
_FEATURES = 100
_BUSINESS, _SCIENCE = 3, 4


def label_budget(
    seed: int = 0, full: bool = False, out: str | os.PathLike[str] | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Split budgets of 8 to 512 good labels between good and weak ones, for three learners; 10 seeds (`full`: 30).

    The linear head learns from weak labels, then from good ones; "uncertain" lets it choose which items get good
    labels. Its learning rate, of 0.001, 0.003, 0.01 and 0.03, is the one with the highest mean accuracy on 500
    validation texts, over all budgets and splits and three seeds that are not reported. Logistic regression (C = 1) is
    fitted once to all labels together.
    """
    return run(BUDGETS, range(seed, seed + (30 if full else 10)), out, quiet)


def run(
    budgets: tuple[float, ...],
    seeds: range,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    choosing: range = _CHOOSING,
) -> dict[str, Any]:
    """Search the splits of these budgets with these seeds; figures are kept in the folder `out` on the way.

    The seeds `choosing` choose the learning rate.
    """
    news = _News(data_path("ag-news"))
    head = torch.nn.Linear(_FEATURES, 2)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    scale = np.float32(np.sqrt(_FEATURES))  # so that a step of the optimiser counts
    validation: dict[str, float] = {}
    runs: dict[str, list[pd.DataFrame]] = {}
    weak_accuracy = []
    with progress("label-budget", len(choosing) * len(_RATES) + len(seeds) * 3, quiet) as advance:
        for rate in _RATES:
            means = []
            for seed in choosing:
                found = news.search(FineTuned(head, rate), scale, "random", budgets, seed, news.validation, out)
                means.append(found["accuracy"].mean())
                advance()
            validation[f"{rate:g}"] = float(np.mean(means))
        rate = max(_RATES, key=lambda each: validation[f"{each:g}"])
        learners: dict[str, tuple[Any, np.float32, str]] = {
            "linear head": (FineTuned(head, rate), scale, "random"),
            "linear head, uncertain": (FineTuned(head, rate), scale, "uncertain"),
            "logistic regression": (LogisticRegression(), np.float32(1), "random"),
        }
        for seed in seeds:
            weak_accuracy.append(news.weak_accuracy(seed))
            for name, (model, factor, sampling) in learners.items():
                found = news.search(model, factor, sampling, budgets, seed, news.test, out)
                runs.setdefault(name, []).append(found)
                advance()
    results = {name: LabelBudget(("weak", "strong"), pd.concat(found)) for name, found in runs.items()}
    return {
        "name": "label-budget",
        "about": "Business against science news: a budget split between good labels and weak ones at a tenth.",
        "data": {"ag-news": len(news.labels), "tested": _TESTED, "weak_accuracy": interval(weak_accuracy)},
        "seeds": list(seeds),
        "learning_rate": {"chosen": rate, "seeds": list(choosing), "validation_accuracy": validation},
        "figures": {name: _figures(result) for name, result in results.items()},
        "tables": [_table(results, len(seeds), float(np.mean(weak_accuracy))), _rates_table(validation, rate)],
        "versions": versions(),
    }


class _News:
    """The texts as features, the rows to test and to validate on, and what a seed makes of the others."""

    def __init__(self, folder: Path):
        texts, self.labels = read_texts(folder)
        order = np.random.default_rng(0).permutation(len(texts))
        self.test, self.validation, self._rest = np.split(order, [_TESTED, _TESTED + _VALIDATED])
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english").fit(texts[self._rest])
        self._weights = vectorizer.transform(texts)
        reduced = TruncatedSVD(_FEATURES, random_state=0).fit(self._weights[self._rest]).transform(self._weights)
        lengths = np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-12)
        self._features = (reduced / lengths).astype(np.float32)

    def weak_accuracy(self, seed: int) -> float:
        """The share of weak labels that is right."""
        pool, weak = self._label(seed)
        return float((weak == self.labels[pool]).mean())

    def search(
        self,
        model: Any,
        factor: np.float32,
        sampling: str,
        budgets: tuple[float, ...],
        seed: int,
        judged: np.ndarray,
        out: str | os.PathLike[str] | None,
    ) -> pd.DataFrame:
        """The runs of every budget and split, with the accuracy on the rows `judged`; features are times `factor`."""
        pool, weak = self._label(seed)
        return search(
            model,
            self._features[pool] * factor,
            [Source("weak", _WEAK_COST, 0.7, weak), Source("strong", 1, 1, self.labels[pool])],
            budgets,
            self._features[judged] * factor,
            self.labels[judged],
            seeds=[seed],
            sampling=sampling,
            store=out,
            quiet=True,
        ).runs

    def _label(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows that can be bought, and what a naive Bayes says of them that has seen 40 others, as many a class."""
        shuffled = np.random.default_rng(seed).permutation(self._rest)
        shown = np.concatenate([shuffled[self.labels[shuffled] == each][: _SEEN // 2] for each in (0, 1)])
        pool = shuffled[~np.isin(shuffled, shown)]
        taught = MultinomialNB(fit_prior=False).fit(self._weights[shown], self.labels[shown])
        return pool, taught.predict(self._weights[pool]).astype(np.int64)


def read_texts(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Texts [n] and labels, 0 for business and 1 for science, of the test part of AG News."""
    with gzip.open(folder / "test.csv.gz", "rt", encoding="utf-8") as file:
        rows = pd.read_csv(file, header=None, names=["class", "title", "text"])
    rows = rows[rows["class"].isin([_BUSINESS, _SCIENCE])]
    return (rows["title"] + " " + rows["text"]).to_numpy(str), (rows["class"] == _SCIENCE).to_numpy(np.int64)


def _figures(result: LabelBudget) -> dict[str, Any]:
    """Accuracies by budget and share of weak labels, in the order of seeds; what regime that is; what to buy."""
    accuracies: dict[str, dict[str, list[float]]] = {}
    for (budget, share), rows in result.runs.groupby(["budget", "share weak"]):
        accuracies.setdefault(f"{budget:g}", {})[f"{share:g}"] = rows.sort_values("seed")["accuracy"].tolist()
    regimes = {f"{row['budget']:g}": row.drop("budget").to_dict() for _, row in result.regimes().iterrows()}
    return {"accuracy": accuracies, "regimes": regimes}


def _table(results: dict[str, LabelBudget], seeds: int, weak_accuracy: float) -> dict[str, Any]:
    rows = []
    for name, result in results.items():
        regimes = result.regimes().set_index("budget")
        for budget, splits in result.splits().groupby("budget"):
            found = regimes.loc[budget]
            shown = [
                f"{row['accuracy']:.3f} ± {row['half_width']:.3f}" if seeds > 1 else f"{row['accuracy']:.3f}"
                for _, row in splits.sort_values("share weak").iterrows()
            ]
            lead = f"{found['leads']} over {found['next']}: {found['lead']:.3f} ± {found['half_width']:.3f}"
            rows.append([name, f"{budget:g}", *shown, found["regime"], lead])
    shares = ["all strong", "1/4 weak", "1/2 weak", "3/4 weak", "all weak"]
    return {
        "title": "label-budget: accuracy by the share of the budget that buys weak labels (right in "
        f"{weak_accuracy:.0%}, at {_WEAK_COST:g} of the price), means of {seeds} seeds with 95 % intervals; "
        "lead of the best kind of split, paired by seed",
        "columns": ["learner", "budget", *shares, "best are", "lead"],
        "rows": rows,
    }


def _rates_table(validation: dict[str, float], chosen: float) -> dict[str, Any]:
    return {
        "title": "label-budget: learning rate of the linear head, by mean accuracy on the validation texts",
        "columns": ["learning rate", "accuracy", "chosen"],
        "rows": [[rate, value, "yes" if rate == f"{chosen:g}" else "no"] for rate, value in validation.items()],
    }
