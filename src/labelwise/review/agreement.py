"""How well people agree, and what each of them did."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import ArrayLike

from labelwise.review.database import Database
from labelwise.review.deciding import Answer, meaning
from labelwise.review.schema import current_verdict, question, verdict

_PAUSE = 300  # seconds; who answers later than that was away


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """How far two people agree beyond chance: 1 fully, 0 as much as chance would, below 0 less.

    `first` and `second` are their answers to the same n questions. nan for no question, and where both always give one
    and the same answer, as chance then agrees as well. Raises `ValueError` for different lengths.

    Source: Cohen, "A Coefficient of Agreement for Nominal Scales" (1960).
    """
    if len(first) != len(second):
        raise ValueError(f"both must have answered the same questions; got {len(first)} and {len(second)} answers")
    n = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    left, right = Counter(first), Counter(second)
    by_chance = sum(times * right[answer] for answer, times in left.items())
    return math.nan if by_chance == n * n else (n * agreed - by_chance) / (n * n - by_chance)


def fleiss_kappa(counts: ArrayLike) -> float:
    """How far several people agree beyond chance, as `cohens_kappa`.

    `counts` [n, answers] says how many people gave each answer to each question, who may be others at each. Rows of
    fewer than two answers are left out. Where rows have different numbers of people, each row's agreement counts alike,
    and chance is that of all answers pooled. nan if no row is left or all answers are the same. Raises `ValueError` for
    counts below 0 or another shape.

    Source: Fleiss, "Measuring Nominal Scale Agreement Among Many Raters" (1971), where each row has as many people.
    """
    table = np.asarray(counts, float)
    if table.ndim != 2 or (table < 0).any():
        raise ValueError(f"counts must be [n, answers], each at least 0; got shape {list(table.shape)}")
    people = table.sum(axis=1)
    table, people = table[people >= 2], people[people >= 2]
    if not len(table):
        return math.nan
    agreed = float(((table * (table - 1)).sum(axis=1) / (people * (people - 1))).mean())
    by_chance = float(((table.sum(axis=0) / people.sum()) ** 2).sum())
    return math.nan if np.isclose(by_chance, 1) else (agreed - by_chance) / (1 - by_chance)


class TaskAgreement(NamedTuple):
    """Of one task ("" for questions about items): how many questions two or more people answered; Fleiss' kappa.

    It is None where `fleiss_kappa` is nan.
    """

    task: str
    questions: int
    kappa: float | None


class PairAgreement(NamedTuple):
    """Of one task and two people: how many questions both answered, the share they agree on, and Cohen's kappa.

    It is None where `cohens_kappa` is nan.
    """

    task: str
    first: str
    second: str
    questions: int
    share: float
    kappa: float | None


class Reviewer(NamedTuple):
    """What one person did.

    `answered` questions have a verdict of theirs that counts, `changed` of these say that the given label is wrong
    (`unsure` of them that one cannot tell). `skipped` and `undone` count what they did so. `shared` are questions that
    others answered as well, and `agreed` is the mean share of those others who say the same (None for none). `seconds`
    is the median time between two of their verdicts, pauses of over five minutes left out (None for none).
    """

    name: str
    answered: int
    changed: int
    unsure: int
    skipped: int
    undone: int
    shared: int
    agreed: float | None
    seconds: float | None


class PeopleStatistics(NamedTuple):
    """All reviewers by name, and how they agree, by task and by pair."""

    reviewers: list[Reviewer]
    tasks: list[TaskAgreement]
    pairs: list[PairAgreement]


def reviewer_statistics(database: Database) -> PeopleStatistics:
    """What each person did, and how well they agree, of all verdicts that count."""
    columns = [current_verdict.c[name] for name in ("question_id", "reviewer", "action", "classes")]

    def work(connection: sa.Connection) -> tuple[Sequence[Any], Sequence[Any]]:
        counting = sa.select(*columns, question.c.task, question.c.given).join_from(
            current_verdict, question, question.c.id == current_verdict.c.question_id
        )
        everything = sa.select(verdict.c.reviewer, verdict.c.action, verdict.c.created_at).order_by(verdict.c.id)
        return connection.execute(counting).all(), connection.execute(everything).all()

    current, everything = database.read(work)
    answers: dict[str, dict[int, dict[str, Answer]]] = defaultdict(lambda: defaultdict(dict))
    for row in current:
        answers[row.task][row.question_id][row.reviewer] = meaning(row.action, row.classes)
    names = sorted({row.reviewer for row in everything})
    return PeopleStatistics(
        [_reviewer(name, current, everything, answers) for name in names],
        [_task(task, questions.values()) for task, questions in sorted(answers.items())],
        [
            pair
            for task, questions in sorted(answers.items())
            for first, second in combinations(names, 2)
            if (pair := _pair(task, first, second, questions.values())) is not None
        ],
    )


def _reviewer(
    name: str, current: Sequence[Any], everything: Sequence[Any], answers: dict[str, dict[int, dict[str, Answer]]]
) -> Reviewer:
    mine = [row for row in current if row.reviewer == name]
    said = [meaning(row.action, row.classes) for row in mine]
    changed = sum(
        answer.action not in ("unsure", "keep") and answer.classes != (row.given,)
        for row, answer in zip(mine, said, strict=True)
    )
    agreed = []
    for row, answer in zip(mine, said, strict=True):
        others = [other for who, other in answers[row.task][row.question_id].items() if who != name]
        if others:
            agreed.append(sum(other == answer for other in others) / len(others))
    actions = Counter(row.action for row in everything if row.reviewer == name)
    times = [row.created_at for row in everything if row.reviewer == name]
    gaps = [after - before for before, after in pairwise(times) if 0 < after - before <= _PAUSE]
    return Reviewer(
        name,
        answered=len(mine),
        changed=changed,
        unsure=sum(answer.action == "unsure" for answer in said),
        skipped=actions["skip"],
        undone=actions["undo"],
        shared=len(agreed),
        agreed=float(np.mean(agreed)) if agreed else None,
        seconds=median(gaps) if gaps else None,
    )


def _task(task: str, questions: Iterable[dict[str, Answer]]) -> TaskAgreement:
    shared = [Counter(said.values()) for said in questions if len(said) > 1]
    kinds = sorted({answer for said in shared for answer in said})
    counts = np.array([[said[kind] for kind in kinds] for said in shared]).reshape(len(shared), len(kinds))
    return TaskAgreement(task, len(shared), _known(fleiss_kappa(counts)))


def _pair(task: str, first: str, second: str, questions: Iterable[dict[str, Answer]]) -> PairAgreement | None:
    both = [(said[first], said[second]) for said in questions if first in said and second in said]
    if not both:
        return None
    left, right = zip(*both, strict=True)
    share = sum(a == b for a, b in both) / len(both)
    return PairAgreement(task, first, second, len(both), share, _known(cohens_kappa(left, right)))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
