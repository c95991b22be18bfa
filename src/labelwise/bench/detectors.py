"""Detectors of wrong labels side by side, and a combination of them that has seen some verified rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from labelwise.audit import (
    area_under_margin,
    cleaning_report,
    find_label_issues,
    label_quality,
    necv,
    simifeat,
)
from labelwise.bench.harness import interval, paired
from labelwise.labels import Task
from labelwise.methods import Batch, CrossEntropy, Plan, train
from labelwise.methods.method import joint_loss
from labelwise.methods.training import seeded
from labelwise.models import backbone_for

COMBINED = "combination"
TASK = "label"
_QUANTILE = 0.99  # of the areas of the threshold samples, which bounds what is flagged


class Said(NamedTuple):
    """What a detector says of n labels: flags, bool [n]; scores, float64 [n], high = suspicious; suggestions [n]."""

    flags: np.ndarray
    score: np.ndarray
    suggestion: np.ndarray


def by_confident_learning(given: np.ndarray, probabilities: np.ndarray) -> Said:
    """Confident learning's default filter, ranked by the normalised margin, on probabilities [n, classes]."""
    score = 1 - label_quality(given, probabilities)
    return Said(find_label_issues(given, probabilities), score, probabilities.argmax(axis=1))


def by_vote(given: np.ndarray, probabilities: np.ndarray) -> Said:
    """Naive ensemble cross-validation on probabilities [models, n, classes]."""
    vote = necv(probabilities.argmax(axis=2), given)
    return Said(vote.flags, 1 - vote.agreement, vote.suggestion)


def by_neighbours(given: np.ndarray, embeddings: np.ndarray, seed: int) -> dict[str, Said]:
    """SimiFeat in both modes, on embeddings [n, d]."""
    found = {}
    for mode in ("vote", "rank"):
        each = simifeat(embeddings, given, mode, seed=seed, quiet=True)
        found[f"SimiFeat, {mode}"] = Said(each.flags, each.share, each.suggestion)
    return found


class Watched(CrossEntropy):
    """Cross-entropy on one task that notes the logits of every row as it learns from it, `seen[epoch]` [n, classes]."""

    def __init__(self, inputs: Tensor, classes: int, width: int):
        task = Task(TASK, classes=tuple(str(k) for k in range(classes)))
        super().__init__(backbone_for(inputs.shape[1:], width), [task])
        self.seen: list[Tensor] = []
        self._size = (len(inputs), classes)

    def on_train_epoch_start(self) -> None:
        """Start a new page."""
        self.seen.append(torch.zeros(self._size))

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """The mean cross-entropy of the batch."""
        logits = self(batch.inputs)
        self.seen[-1][batch.index.cpu()] = logits[TASK].detach().cpu()
        return joint_loss(logits, batch.targets, self.tasks)


def fit(inputs: Tensor, given: np.ndarray, classes: int, rows: np.ndarray, plan: Plan, seed: int) -> Watched:
    """Train a network on some rows of `inputs` [n, ...] with class indices `given` [n]."""
    with seeded(seed):
        method = Watched(inputs, classes, plan.width)
        targets = {TASK: torch.from_numpy(given)}
        train(method, inputs, targets, rows, np.zeros(0, np.int64), plan, seed, quiet=True)
    return method


def by_margin(inputs: Tensor, given: np.ndarray, plan: Plan, seed: int) -> Said:
    """Area under the margin, flagged by threshold samples as published (Pleiss et al., NeurIPS 2020, section 3.2).

    Of K classes a share 1 / (K + 1) of the rows is given a class that does not exist; what lies below the 99th
    percentile of their areas is flagged. A second training takes other rows for that, so that all are judged; flagged
    is what either flags. Suggested is the class of the largest logit, on the mean, but the given one.
    """
    n, classes = len(given), int(given.max()) + 1
    order = np.random.default_rng(seed).permutation(n)
    fake = n // (classes + 1)
    flags, areas, logits = np.zeros(n, bool), np.full((2, n), np.nan), np.zeros((n, classes))
    for turn in range(2):
        sample = order[turn * fake : (turn + 1) * fake]
        labels = given.copy()
        labels[sample] = classes
        seen = torch.stack(fit(inputs, labels, classes + 1, np.arange(n), plan, seed + turn).seen).numpy()
        area = area_under_margin(seen, labels)
        bound = np.quantile(area[sample], _QUANTILE)
        area[sample] = np.nan
        flags |= area < bound
        areas[turn] = area
        logits += seen.mean(axis=0)[:, :classes]
    logits[np.arange(n), given] = -np.inf
    return Said(flags, -np.nanmean(areas, axis=0), logits.argmax(axis=1))


def combine(said: Mapping[str, Said], verified: np.ndarray, wrong: np.ndarray) -> Said:
    """Logistic regression on the detectors' scores, fitted on the rows that are `verified` to be `wrong` or not.

    Flagged is what is more likely wrong than right; suggested what most detectors suggest.
    """
    scores = np.stack([each.score for each in said.values()], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(scores[verified], wrong[verified])
    probability = model.predict_proba(scores)[:, 1]
    suggested = necv(np.stack([each.suggestion for each in said.values()]), np.zeros(len(scores), np.int64)).suggestion
    return Said(probability > 0.5, probability, suggested)


def draw_verified(n: int, number: int, seed: int) -> np.ndarray:
    """Which rows are verified, bool [n]: so many, drawn at random."""
    return np.isin(np.arange(n), np.random.default_rng((seed, 1)).permutation(n)[:number])


def judge(
    said: Mapping[str, Said],
    given: np.ndarray,
    clean: np.ndarray,
    verified: np.ndarray,
    focus_class: int | None = None,
    pseudo_classes: Sequence[int] = (),
) -> dict[str, dict[str, Any]]:
    """What each detector and the combination find among the rows that are not `verified`.

    The `cleaning_report` (without its classes), with `average_precision` of the scores, and `combined_hit_rate`: what
    the combination's ranking hits where it is at least as precise as the flags of that detector.
    """
    wrong, rest = given != clean, ~verified
    everything = {**said, COMBINED: combine(said, verified, wrong)}
    found = {}
    for name, each in everything.items():
        report = cleaning_report(
            each.flags[rest], given[rest], clean[rest], focus_class, pseudo_classes, suggested=each.suggestion[rest]
        )
        del report["classes"]
        report["average_precision"] = float(average_precision_score(wrong[rest], each.score[rest]))
        report["combined_hit_rate"] = (
            None
            if report["precision"] is None
            else hit_rate_at(everything[COMBINED].score[rest], wrong[rest], report["precision"])
        )
        found[name] = report
    return found


def hit_rate_at(score: np.ndarray, wrong: np.ndarray, precision: float) -> float:
    """The largest share of the `wrong` rows that a cut of the scores finds at this precision or a higher one."""
    precisions, hit_rates, _ = precision_recall_curve(wrong, score)
    return float(hit_rates[precisions >= precision].max())


def _shown(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and half width of the 95 % interval over the seeds where there is a figure."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None, None
    found = interval(known)
    return found["mean"], found["half_width"]


def _gain(ours: Sequence[float | None], other: Sequence[float | None]) -> dict[str, Any]:
    """How much larger `ours` is, paired by seed, over the seeds where both have a figure."""
    pairs = [(a, b) for a, b in zip(ours, other, strict=True) if a is not None and b is not None]
    if not pairs:
        return {"difference": None, "half_width": None, "p": None}
    return paired([a for a, _ in pairs], [b for _, b in pairs])


def protocol_table(title: str, found: Sequence[dict[str, Any]], measures: Mapping[str, str]) -> dict[str, Any]:
    """Figures of every detector, `measures` by name and heading: mean ± half of the 95 % interval over the seeds."""
    rows = []
    for name in found[0]["detectors"]:
        by_seed = [each["detectors"][name] for each in found]
        row: list[Any] = [name]
        for measure in measures:
            mean, half = _shown([each[measure] for each in by_seed])
            row.append(None if mean is None else f"{mean:.3f} ± {half:.3f}" if half is not None else f"{mean:.3f}")
        rows.append(row)
    some = found[0]["detectors"][COMBINED]
    return {
        "title": f"{title}: what is found among the {some['rows']} of {found[0]['rows']} rows that were not verified "
        f"({some['errors']} wrong with the first seed), means of {len(found)} seeds with 95 % intervals",
        "columns": ["detector", *measures.values()],
        "rows": rows,
    }


def gain_table(title: str, found: Sequence[dict[str, Any]], reference: str | None = None) -> dict[str, Any]:
    """What the combination gains over each detector, at the precision of that one and over all cuts, paired by seed.

    With a `reference` also what that one's flags hit more than those of each detector.
    """
    rows = []
    for name in found[0]["detectors"]:
        if name == COMBINED:
            continue
        by_seed = [each["detectors"][name] for each in found]
        best = [each["detectors"][COMBINED] for each in found]
        at_precision = _gain([each["combined_hit_rate"] for each in by_seed], [each["hit_rate"] for each in by_seed])
        over_cuts = _gain([each["average_precision"] for each in best], [each["average_precision"] for each in by_seed])
        versus = [at_precision, over_cuts]
        if reference is not None:
            theirs = [each["detectors"][reference]["hit_rate"] for each in found]
            versus.insert(0, _gain(theirs, [each["hit_rate"] for each in by_seed]))
        rows.append([name, *(each[key] for each in versus for key in ("difference", "half_width", "p"))])
    gains = [f"{COMBINED}: hit rate at equal precision", f"{COMBINED}: average precision"]
    if reference is not None:
        gains.insert(0, f"{reference}: hit rate of flags")
    return {
        "title": f"{title}: gains over each detector, paired by seed, with 95 % intervals and p of paired t-tests",
        "columns": ["over", *(column for each in gains for column in (each, "±", "p"))],
        "rows": rows,
    }
