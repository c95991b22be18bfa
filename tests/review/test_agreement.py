import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from labelwise.review.agreement import cohens_kappa, fleiss_kappa, reviewer_statistics
from labelwise.review.schema import question
from labelwise.review.verdicts import record, undo

# Ten questions, fourteen people, five answers: the example of the article on Fleiss' kappa in Wikipedia, 0.210 there.
PUBLISHED = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_kappa_of_the_published_example():
    assert fleiss_kappa(PUBLISHED) == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=2, max_size=50))
def test_cohens_kappa_is_that_of_scikit_learn(answers):
    first, second = zip(*answers, strict=True)
    ours = cohens_kappa(first, second)
    if len({*first, *second}) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(cohen_kappa_score(first, second))
        assert ours == cohens_kappa(second, first)


def test_kappa_is_one_for_full_agreement_and_about_zero_for_chance():
    generator = np.random.default_rng(0)
    first, second = generator.integers(3, size=(2, 5000))
    assert cohens_kappa(first.tolist(), first.tolist()) == 1
    assert cohens_kappa(first.tolist(), second.tolist()) == pytest.approx(0, abs=0.04)
    assert fleiss_kappa(3 * np.eye(3)) == 1
    assert fleiss_kappa(generator.multinomial(6, [0.2, 0.3, 0.5], 5000)) == pytest.approx(0, abs=0.02)
    assert fleiss_kappa([[1, 1], [1, 1]]) == -1


def test_questions_of_one_answer_or_none_say_nothing_of_agreement():
    assert fleiss_kappa([*PUBLISHED, [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]) == fleiss_kappa(PUBLISHED)
    assert math.isnan(fleiss_kappa([[1, 0], [0, 1]]))
    assert math.isnan(fleiss_kappa([[3, 0], [2, 0]]))
    assert math.isnan(fleiss_kappa(np.zeros((0, 0))))
    assert math.isnan(cohens_kappa([], []))


def test_unfit_answers_are_refused():
    with pytest.raises(ValueError, match="got 2 and 1 answers"):
        cohens_kappa(["a", "b"], ["a"])
    with pytest.raises(ValueError, match=r"counts must be \[n, answers\]"):
        fleiss_kappa([1, 2])
    with pytest.raises(ValueError, match="at least 0"):
        fleiss_kappa([[-1, 3]])


def ids(database, task, n):
    rows = database.read(
        lambda connection: connection.execute(
            question.select().where(question.c.task == task, ~question.c.sampled).order_by(question.c.position).limit(n)
        ).all()
    )
    assert len(rows) == n
    return [row.id for row in rows], [row.given for row in rows]


def test_statistics_of_people(database):
    questions, labels = ids(database, "animal", 6)
    for at, (number, given_label) in enumerate(zip(questions, labels, strict=True)):
        record(database, "ada", number, "keep", at=100.0 + 10 * at)
        other = "cat" if given_label != "cat" else "dog"
        if at < 4:  # says what ada says, but for the first
            action, classes = ("choose", [other]) if at == 0 else ("choose", [given_label])
            record(database, "bo", number, action, classes, at=200.0 + 1000 * at)
    record(database, "bo", questions[4], "unsure")
    record(database, "cy", questions[5], "skip")
    record(database, "cy", questions[5], "spoiled")
    undo(database, "cy")

    found = reviewer_statistics(database)
    ada, bo, cy = found.reviewers
    assert (ada.name, ada.answered, ada.changed, ada.unsure, ada.shared) == ("ada", 6, 0, 0, 5)
    assert ada.agreed == pytest.approx(3 / 5)
    assert ada.seconds == 10
    assert (bo.answered, bo.changed, bo.unsure, bo.shared) == (5, 1, 1, 5)
    assert bo.seconds is None  # was away between any two
    assert (cy.answered, cy.skipped, cy.undone, cy.shared) == (0, 1, 1, 0)
    assert cy.agreed is None

    (pair,) = found.pairs
    assert pair[:5] == ("animal", "ada", "bo", 5, pytest.approx(3 / 5))
    (task,) = found.tasks
    assert task[:2] == ("animal", 5)
    assert -1 <= task.kappa <= 1
    assert pair.kappa == pytest.approx(
        cohen_kappa_score(labels[:5], ["cat" if labels[0] != "cat" else "dog", *labels[1:4], "?"])
    )


def test_of_nobody_there_are_no_statistics(database):
    assert reviewer_statistics(database) == ([], [], [])
