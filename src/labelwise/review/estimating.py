"""What the verdicts so far say of all findings: how often each kind proved wrong, how many errors are left."""

import threading
import time
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import ArrayLike

from labelwise.review.database import Database
from labelwise.review.learning import (
    Advice,
    Calibration,
    ErrorsLeft,
    Estimate,
    Sample,
    advice,
    calibrate,
    errors_left,
)
from labelwise.review.schema import finding, question, verdict
from labelwise.review.verdicts import decisions
from labelwise.runs import RunFolder, read_json
from labelwise.wording import title_of

AHEAD = 20  # questions that advice is about


class Kind(NamedTuple):
    """Findings of one kind: how many, how many of them were decided, how many of these proved wrong.

    `chance` is how often those that are not decided should prove wrong, on average; None if none is left.
    """

    kind: str
    title: str
    findings: int
    decided: int
    wrong: int
    chance: Estimate | None


class Standing(NamedTuple):
    """Where a review stands: errors left, whether going on pays, what each kind of finding was worth.

    `sampled` counts the labels without finding that were drawn at random, `checked` those of them that were decided,
    `overlooked` how many of these the audit had overlooked.
    """

    left: ErrorsLeft
    advice: Advice
    kinds: list[Kind]
    sampled: int
    checked: int
    overlooked: int


class Standings:
    """Where a review stands, worked out (which takes a second for 100,000 findings) when it is asked for and is old."""

    def __init__(self, database: Database):
        self._database = database
        self._lock = threading.Lock()
        self._newest: int | None = None
        self._at = 0.0
        self._known: Standing | None = None

    def now(self, patience: float = 0.0) -> Standing:
        """Where it stands by all verdicts, or by those of up to `patience` seconds ago."""
        with self._lock:
            if self._known is not None and time.monotonic() - self._at < patience:
                return self._known
            newest = self._database.read(lambda connection: connection.scalar(sa.select(sa.func.max(verdict.c.id))))
            if self._known is None or newest != self._newest:
                self._known, self._newest = standing(self._database), newest
            self._at = time.monotonic()
            return self._known


def standing(database: Database) -> Standing:
    """Where the review stands by all its verdicts."""
    outcome = _outcomes(database)
    main = _main_findings(database)
    calibrations: dict[str, Calibration] = {}
    kinds: list[Kind] = []
    left: list[tuple[Calibration, ArrayLike]] = []
    for kind, (ids, scores) in main.items():
        outcomes = np.array([outcome.get(each, -1) for each in ids.tolist()], np.int64)
        calibrations[kind] = calibrate(scores, outcomes)
        decided = np.array([each in outcome for each in ids.tolist()], bool)
        left.append((calibrations[kind], scores[~decided]))
        kinds.append(
            Kind(
                kind,
                title_of(kind),
                len(ids),
                int(decided.sum()),
                int((outcomes == 1).sum()),
                _mean_chance(calibrations[kind], scores[~decided]),
            )
        )
    samples, drawn = _samples(database, outcome)
    share = sum(each.wrong for each in samples) + 0.5
    share /= sum(each.decided for each in samples) + 1
    chance_of = {
        each: chance
        for kind, (ids, scores) in main.items()
        for each, chance in zip(ids.tolist(), np.asarray(calibrations[kind].chance(scores).value).tolist(), strict=True)
    }
    following = sa.select(question.c.id).where(question.c.state == "open").order_by(question.c.position).limit(AHEAD)
    ahead = database.read(lambda connection: list(connection.scalars(following)))
    return Standing(
        errors_left(left, samples),
        advice([chance_of.get(each, share) for each in ahead], len(outcome)),
        sorted(kinds, key=lambda each: -each.findings),
        drawn,
        sum(each.decided for each in samples),
        sum(each.wrong for each in samples),
    )


def _outcomes(database: Database) -> dict[int, int]:
    """What was decided on each question: 1 the label proved wrong, 0 right, -1 nobody can tell."""
    found = decisions(database)
    found = found[found["state"] == "decided"]
    return {
        number: -1 if action == "unsure" else int(action != "keep" and classes != (given,))
        for number, action, classes, given in found[["question_id", "action", "classes", "given"]].to_numpy().tolist()
    }


def _main_findings(database: Database) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By kind the questions and scores of its findings; of several about one question the one of the highest score."""
    wanted = sa.select(finding.c.question_id, finding.c.kind, finding.c.score).order_by(finding.c.score.desc())
    seen: set[int] = set()
    by_kind: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for number, kind, score in database.rows(wanted):
        if number not in seen:
            seen.add(number)
            by_kind[kind][0].append(number)
            by_kind[kind][1].append(score)
    return {kind: (np.array(ids), np.array(scores)) for kind, (ids, scores) in by_kind.items()}


def _samples(database: Database, outcome: dict[int, int]) -> tuple[list[Sample], int]:
    """Of each task its labels without finding and what the random sample of them says; and how many were drawn."""
    wanted = sa.select(question.c.id, question.c.task, question.c.sampled, question.c.given.is_not(None))
    flagged, drawn = Counter[str](), defaultdict[str, list[int]](list)
    for number, task, sampled, labelled in database.rows(wanted):
        if sampled:
            drawn[task].append(outcome.get(number, -1))
        elif labelled:
            flagged[task] += 1
    facts: list[dict[str, Any]] = read_json(RunFolder(database.run) / "describe.json")["tasks"]
    labelled = {each["name"]: sum(each["counts"].values()) for each in facts if each["kind"] == "single"}
    samples = [
        Sample(
            max(labelled[task] - flagged[task], len(drawn[task])),
            sum(each >= 0 for each in drawn[task]),
            sum(each == 1 for each in drawn[task]),
        )
        for task in database.tasks
    ]
    return samples, sum(map(len, drawn.values()))


def _mean_chance(calibration: Calibration, scores: np.ndarray) -> Estimate | None:
    if not len(scores):
        return None
    shares = (
        calibration.draws @ np.bincount(calibration.cells(scores), minlength=len(calibration.cuts) + 1) / len(scores)
    )
    low, high = np.quantile(shares, [0.025, 0.975])
    return Estimate(float(shares.mean()), float(low), float(high))
