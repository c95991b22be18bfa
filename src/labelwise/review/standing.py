"""How a review stands: what was decided, what findings proved to be worth, what is left, and whether to go on."""

import threading
import time
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import sqlalchemy as sa

from labelwise import runs
from labelwise.review.agreement import PeopleStatistics, reviewer_statistics
from labelwise.review.database import Database, open_database
from labelwise.review.deciding import answered
from labelwise.review.learning import (
    FEW,
    Advice,
    Calibration,
    Chances,
    ErrorsLeft,
    Estimate,
    Sample,
    advice,
    calibrate,
    errors_left,
)
from labelwise.review.schema import finding, question, verdict

_PAUSE = 2.0  # seconds between two looks at the verdicts


@dataclass(frozen=True)
class KindStanding:
    """Of one kind of finding: how many there are, how many are decided, and how many of these proved wrong."""

    kind: str
    findings: int
    decided: int
    wrong: int


@dataclass(frozen=True)
class Standing:
    """How a review stands.

    `decided` and `wrong` count questions with a finding; those of the random sample are in `samples`, by task. A
    question proved wrong if what was decided is not what was given; where people could not tell it is not counted.
    `left` are the wrong labels and faulty items that nobody has decided on yet.
    """

    decided: int
    wrong: int
    samples: dict[str, Sample]
    kinds: list[KindStanding]
    left: ErrorsLeft
    advice: Advice


class Learned:
    """What the verdicts of a database teach, learned anew when there are more of them, for use by several threads.

    Findings are read once. A question with several findings counts under the one that is likeliest to be right.
    """

    def __init__(self, database: Database):
        self._database = database
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._last: int | None = None
        self._known: dict[str, tuple[Calibration, Chances]] = {}  # by kind
        self._standing: Standing | None = None
        columns = [question.c[name] for name in ("id", "task", "given", "sampled", "kinds")]
        ids, task, given, sampled, kinds = _columns(database, sa.select(*columns).order_by(question.c.position))
        self._place = {each: at for at, each in enumerate(ids)}
        self._task = np.array(task, object)
        self._sampled = np.array(sampled, bool)
        self._flagged = np.array([bool(each) for each in kinds], bool)
        self._labelled = np.array([each is not None for each in given], bool)
        wanted = sa.select(finding.c.question_id, finding.c.kind, finding.c.score)
        of, kind, score = _columns(database, wanted)
        self._kind = np.array(kind, object)
        self._score = np.array(score, float)
        self._of = np.array([self._place[each] for each in of], np.int64)
        labels = pq.read_table(database.run / runs.LABELS, columns=list(database.tasks))
        self._labels = {name: len(labels) - labels[name].null_count for name in database.tasks}

    def chance(self, kind: str, score: float) -> Estimate | None:
        """How often findings of this kind and score prove wrong, with a 95 % interval, as it was learned last.

        None before anything was learned, and while so few findings of the kind are decided that it tells nothing. This
        learns nothing itself, so that it takes no time.
        """
        known = self._known.get(kind)
        if known is None:
            return None
        calibration, chances = known
        at = int(calibration.cells(score))
        return Estimate(*(float(each[at]) for each in chances))

    def standing(self, patience: float | None = None) -> Standing:
        """How the review stands, at most `patience` seconds ago (default 2)."""
        with self._lock:
            if self._standing is None or time.monotonic() - self._looked_at > (
                _PAUSE if patience is None else patience
            ):
                last = self._database.rows(sa.select(sa.func.max(verdict.c.id)))[0][0]
                if self._standing is None or last != self._last:
                    self._standing = self._learn()
                self._last, self._looked_at = last, time.monotonic()
            return self._standing

    def _learn(self) -> Standing:
        decided, outcome = self._outcomes()
        kinds, known = [], {}
        calibrations: dict[str, Calibration] = {}
        likely = np.empty(len(self._kind))
        for kind in np.unique(self._kind):
            rows = np.flatnonzero(self._kind == kind)
            of, score = self._of[rows], self._score[rows]
            calibration = calibrations[kind] = calibrate(score, outcome[of])
            chances = calibration.by_cell()
            likely[rows] = chances.value[calibration.cells(score)]
            counts = [int((outcome[of] >= 0).sum()), int((outcome[of] == 1).sum())]
            if counts[0] >= FEW:
                known[kind] = calibration, chances
            kinds.append(KindStanding(kind, len(rows), *counts))
        order = np.argsort(likely, kind="stable")
        likeliest = np.full(len(decided), -1)
        likeliest[self._of[order]] = order  # of several findings about a question the last, the likeliest, stays
        undecided = likeliest[self._flagged & ~decided]
        flagged = [
            (calibration, self._score[undecided[self._kind[undecided] == kind]])
            for kind, calibration in calibrations.items()
        ]
        self._known = known
        samples = {task: self._sample(task, decided, outcome) for task in self._labels}
        of_findings = outcome[self._flagged]
        return Standing(
            decided=int((of_findings >= 0).sum()),
            wrong=int((of_findings == 1).sum()),
            samples=samples,
            kinds=kinds,
            left=errors_left(flagged, samples.values()),
            advice=advice(likely[undecided], int(decided[self._flagged].sum())),
        )

    def _sample(self, task: str, decided: np.ndarray, outcome: np.ndarray) -> Sample:
        mine = (self._task == task) & self._labelled
        drawn = outcome[mine & self._sampled]
        # What was brought from elsewhere is decided, but was not drawn.
        known = mine & (self._flagged | (decided & ~self._sampled))
        return Sample(self._labels[task] - int(known.sum()), int((drawn >= 0).sum()), int((drawn == 1).sum()))

    def _outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each question whether it is decided, and whether it proved wrong (1), right (0) or neither (-1)."""
        decided, outcome = np.zeros(len(self._task), bool), np.full(len(self._task), -1)
        for row in answered(self._database):
            at = self._place.get(row["question_id"])
            if at is None or row["state"] != "decided":  # None: it was added since
                continue
            decided[at] = True
            kept = row["action"] == "keep" or (row["action"], row["classes"]) == ("label", (row["given"],))
            outcome[at] = -1 if row["action"] == "unsure" else 0 if kept else 1
        return decided, outcome


def _columns(database: Database, wanted: sa.Select) -> list[list[Any]]:
    """The columns of a query, read in parts and each text held once: all at once would fill the memory."""
    held: dict[Any, Any] = {}

    def work(connection: sa.Connection) -> list[list[Any]]:
        columns: list[list[Any]] = [[] for _ in wanted.selected_columns]
        for part in connection.execute(wanted, execution_options={"yield_per": 5000}).partitions():
            for column, values in zip(columns, zip(*part, strict=True), strict=True):
                column.extend(held.setdefault(each, each) if isinstance(each, str) else each for each in values)
        return columns

    return database.read(work)


class Statistics(NamedTuple):
    """How a review stands, and what people did."""

    standing: Standing
    people: PeopleStatistics


def statistics(run: str | PathLike[str], url: str | None = None) -> Statistics:
    """How the review of a run stands; raises as `open_database` does, also if there is none."""
    with open_database(run, url, create=False) as database:
        return Statistics(Learned(database).standing(), reviewer_statistics(database))
