"""Quantity against quality of labels: which of several sources to buy from, at a given budget."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t

from labelwise.audit.ledger import Ledger, Source, plan, split_shares
from labelwise.audit.staged import Stage, run_stages
from labelwise.progress import progress
from labelwise.runs import read_json, write_json


@dataclass(frozen=True)
class LabelBudget:
    """What models reach with labels that a budget buys, split among sources in several ways.

    Args:
        sources: names, from the worst source to the best.
        runs: one row a budget, split and seed, with columns `budget`, `split` (its number), `seed`, for every source S
            `share S` (of the budget) and `labels S` (how many), `cost` (really spent), and `accuracy` on the test rows.
    """

    sources: tuple[str, ...]
    runs: pd.DataFrame

    def splits(self, rtol: float = 0.01, atol: float = 0.002) -> pd.DataFrame:
        """One row a budget and split: shares, labels, cost, mean accuracy, and whether it is on the Pareto frontier.

        `half_width` is half of the 95 % interval over seeds (Student's t; nan for one seed). `rtol` and `atol` are
        those of `pareto`.
        """
        keys = ["budget", "split"]
        columns = [f"{what} {source}" for what in ("share", "labels") for source in self.sources]
        grouped = self.runs.groupby(keys, as_index=False)
        found = grouped[[*columns, "cost", "accuracy"]].mean()
        found["half_width"] = [_half_width(rows["accuracy"].to_numpy()) for _, rows in grouped]
        found["frontier"] = np.isin(np.arange(len(found)), pareto(found["cost"], found["accuracy"], rtol, atol))
        return found

    def regimes(self) -> pd.DataFrame:
        """One row a budget: whether labels should be many, good, or some of both.

        `regime` is "quantity" if it is best to spend all on the worst source, "quality" for all on the best one,
        "mixed" for any other split, by mean accuracy; and "indistinguishable" if what leads is not ahead of what
        follows by more than the noise between seeds: the paired 95 % interval of their difference holds 0, or there is
        but one seed. `leads` and `next` are the two kinds, `lead` is the difference of their best splits and
        `half_width` half of its interval; `quantity`, `mixed` and `quality` are the mean accuracies. The best mixed
        split is picked from several by these figures, which flatters it a little.
        """
        return pd.DataFrame([self._regime(budget, runs) for budget, runs in self.runs.groupby("budget")])

    def _regime(self, budget: Any, runs: pd.DataFrame) -> dict[str, Any]:
        accuracy = runs.pivot(index="split", columns="seed", values="accuracy")
        shares = runs.drop_duplicates("split").set_index("split")
        quantity, quality = (shares[f"share {self.sources[at]}"] == 1 for at in (0, -1))
        best = {}
        for kind, at in (("quantity", quantity), ("mixed", ~quantity & ~quality), ("quality", quality)):
            of_kind = accuracy[at.reindex(accuracy.index)].to_numpy()
            if len(of_kind):
                best[kind] = of_kind[of_kind.mean(axis=1).argmax()]
        first, second = sorted(best, key=lambda kind: -best[kind].mean())[:2]
        lead, half = best[first].mean() - best[second].mean(), _half_width(best[first] - best[second])
        return {
            "budget": budget,
            "regime": first if lead > half else "indistinguishable",
            "leads": first,
            "next": second,
            "lead": lead,
            "half_width": half,
            **{kind: values.mean() for kind, values in best.items()},
        }

    def recommend(self, budget: float, tolerance: float = 0.01) -> pd.Series:
        """The cheapest split, of those within `budget`, whose mean accuracy is within `tolerance` of the best of them.

        A row of `splits`. Raises `ValueError` if nothing that was tried is as cheap.
        """
        affordable = self.splits().query("cost <= @budget")
        if affordable.empty:
            least = self.runs["cost"].min()
            raise ValueError(f"nothing that was tried costs at most {budget:g}; the cheapest run cost {least:g}")
        good = affordable[affordable["accuracy"] >= affordable["accuracy"].max() - tolerance]
        return good.sort_values(["cost", "accuracy"], ascending=[True, False]).iloc[0]


def label_budget(
    model: Any,
    inputs: np.ndarray,
    sources: Sequence[Source],
    budgets: float | Sequence[float],
    test_inputs: np.ndarray,
    test_labels: ArrayLike,
    *,
    steps: int = 4,
    seeds: int | Sequence[int] = 5,
    sampling: str = "random",
    temperature: float = 0.0,
    loss: str = "cross_entropy",
    store: str | PathLike[str] | None = None,
    quiet: bool = False,
) -> LabelBudget:
    """Find out by experiment how to split a budget among sources of labels.

    For every budget, every split of it in shares of 1 / `steps` (`split_shares`), and every seed, labels are bought
    (`plan`) and `model` learns from them, source by source, from the worst to the best (`run_stages`, which says what
    a model can be). The model is never shown an item twice under different labels; equal items count as one. Labels
    held out to stop early are paid for like all others. Every run has a ledger of its own, so that a function that
    gives labels is asked in each: if it asks people, let it remember their answers.

    Args:
        model: see `run_stages`.
        inputs: items that can be labelled, [n, ...], or [n] texts for a model that takes such.
        sources: at least two; `Source.labels` are those of `inputs`.
        budgets: one or several, in the unit of the costs.
        test_inputs: [m, ...], not among `inputs`.
        test_labels: right labels, int [m]; the number of classes is the highest of them plus 1.
        steps: how fine the splits are, at least 1.
        seeds: a number of seeds (from 0), or the seeds; they choose items, their order and what is random in the model.
        sampling: how items are chosen from the second source on, "random" or "uncertain".
        temperature: of uncertain sampling.
        loss: of all stages but the last source's: "cross_entropy", or "log_confidence" for torch modules.
        store: a folder that keeps the figures of every run, so that the same call goes on where a stopped one was.
        quiet: show no progress bar.

    Raises `ValueError` for sources or arrays that do not fit, and if a budget buys no label at all in some split.

    Source: Mallen and Belrose, "Balancing Label Quantity and Quality for Scalable Elicitation" (2024).
    """
    truth = np.asarray(test_labels)
    _check(inputs, sources, test_inputs, truth)
    ordered = sorted(sources, key=lambda source: source.quality)
    inputs = np.asarray(inputs)
    items = _distinct(inputs)
    ordered = [replace(source, labels=_of(source.labels, items)) for source in ordered]
    pool, classes = inputs[items], int(truth.max()) + 1
    chosen = range(seeds) if isinstance(seeds, int | np.integer) else seeds
    if not len(chosen) or not np.size(budgets):
        raise ValueError(f"there must be at least one seed and one budget; got seeds {seeds} and budgets {budgets}")
    shares = split_shares(len(ordered), steps)
    costs = [source.cost for source in ordered]
    key = _key(model, pool, ordered, test_inputs, truth, sampling, temperature, loss) if store else ""
    wanted = [
        (float(budget), split, counts)
        for budget in np.atleast_1d(budgets)
        for split, counts in enumerate(plan(float(budget), costs, shares, len(pool)))
    ]
    for budget, split, counts in wanted:
        if not counts.any():
            raise ValueError(
                f"a budget of {budget:g} buys no label in the split {shares[split].tolist()} among "
                f"{', '.join(source.name for source in ordered)}; raise it or lower steps"
            )
    rows = []
    with progress("Label budget", len(wanted) * len(chosen), quiet) as advance:
        for budget, split, counts in wanted:
            stages = [
                Stage(
                    source.name,
                    int(n),
                    sampling=sampling,
                    temperature=temperature,
                    loss=loss if at < len(ordered) - 1 else "cross_entropy",
                )
                for at, (source, n) in enumerate(zip(ordered, counts, strict=True))
            ]
            for seed in chosen:
                path = Path(store) / f"{key}-{budget:g}-{steps}-{split}-{seed}.json" if store else None
                if path and path.exists():
                    found = read_json(path)
                else:
                    ledger = Ledger(ordered, len(pool), classes, budget)
                    learned = run_stages(model, stages, ledger, pool, seed)
                    right = learned.predict_proba(np.asarray(test_inputs)).argmax(axis=1) == truth
                    found = {"cost": float(ledger.spent), "accuracy": float(right.mean())}
                    if path:
                        write_json(path, found)
                named = {f"share {s.name}": share for s, share in zip(ordered, shares[split], strict=True)}
                named |= {f"labels {s.name}": int(n) for s, n in zip(ordered, counts, strict=True)}
                rows.append({"budget": budget, "split": split, "seed": seed, **named, **found})
                advance()
    return LabelBudget(tuple(source.name for source in ordered), pd.DataFrame(rows))


def pareto(costs: ArrayLike, values: ArrayLike, rtol: float = 0.01, atol: float = 0.002) -> np.ndarray:
    """Indices of the points that no cheaper one matches, int64, by rising cost; `values` are better if higher.

    The cheapest point is among them. A dearer one joins if its value is more than `atol` above the last one's, and no
    point whose cost is within a share `rtol` of its own has a higher value: so noise between points of nearly equal
    cost adds no step. Of equal points the first is taken.

    Source: Mallen and Belrose (2024), the official code's rule.
    """
    cost, value = np.asarray(costs, float), np.asarray(values, float)
    if cost.shape != value.shape or cost.ndim != 1 or not (np.isfinite(cost).all() and np.isfinite(value).all()):
        raise ValueError(
            f"costs and values must be finite and of the same length; got {list(cost.shape)} and {list(value.shape)}"
        )
    best, frontier = -np.inf, list[int]()
    for at in np.lexsort((-value, cost)):
        near = np.abs(cost - cost[at]) <= rtol * abs(cost[at])
        if not frontier or (value[at] > best + atol and value[at] >= value[near].max()):
            best = value[at]
            frontier.append(int(at))
    return np.array(frontier, np.int64)


def _check(inputs: np.ndarray, sources: Sequence[Source], test_inputs: np.ndarray, truth: np.ndarray) -> None:
    if len(sources) < 2:
        raise ValueError(f"there must be at least two sources to choose between; got {len(sources)}")
    if not np.issubdtype(truth.dtype, np.integer) or truth.shape != (len(test_inputs),) or not truth.size:
        raise ValueError(
            f"test_labels must be class indices, one for each of the {len(test_inputs)} test_inputs, at least one; got "
            f"{truth.dtype} {list(truth.shape)}"
        )
    if truth.min() < 0:
        raise ValueError("test_labels must be at least 0: leave out test items whose label is missing")
    for source in sources:
        if not callable(source.labels) and len(np.asarray(source.labels)) != len(inputs):
            raise ValueError(f"source {source.name!r} must have a label for each of the {len(inputs)} inputs")


def _half_width(figures: np.ndarray) -> float:
    """Half of the 95 % interval of the mean by Student's t, nan for fewer than two figures."""
    n = len(figures)
    return float(t.ppf(0.975, n - 1) * figures.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def _distinct(inputs: np.ndarray) -> np.ndarray:
    """The first of each set of equal items, ascending."""
    flat = inputs if inputs.ndim == 1 else inputs.reshape(len(inputs), -1)
    return np.sort(np.unique(flat, axis=None if inputs.ndim == 1 else 0, return_index=True)[1])


def _of(labels: Any, items: np.ndarray) -> Any:
    return (lambda ids: labels(items[ids])) if callable(labels) else np.asarray(labels)[items]


def _key(model: Any, pool: np.ndarray, sources: Iterable[Source], *settings: Any) -> str:
    """What a run depends on, as a name; a function that labels stands for itself by the name of its source."""
    labels = [(s.name, s.cost, None if callable(s.labels) else s.labels) for s in sources]
    found: str = joblib.hash((model, pool, labels, settings))
    return found[:12]
