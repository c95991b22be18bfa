import threading
from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.bench.mock_runs import make_run, say
from labelwise.review.database import open_database
from labelwise.review.deciding import answered, decide, meaning, rebuild, require
from labelwise.review.filling import fill
from labelwise.review.queue import question_by_id
from labelwise.review.schema import question, verdict
from labelwise.review.verdicts import NewVerdict, history, record, record_many, undo

FOUND = [
    say(0, "animal", "label", 0.9, "cat", "dog"),
    say(0, "family", "taxonomy", 0.8, "mammal", "bird"),
    say(1, "animal", "label", 0.7, "dog", None),
    say(2, None, "outlier", 0.6, None, None),
]


@pytest.fixture
def review(tmp_path, url):
    """Two questions on row 0 (its animal and its family), one on row 1's animal, one on row 2 itself."""
    with open_database(make_run(tmp_path / "run", rows=12, findings=FOUND), url) as opened:
        fill(opened, sample=0)
        yield opened


def ask(database, row, task="animal"):
    return database.rows(question.select().where(question.c.item_id == row, question.c.task == task))[0].id


def state(database, number):
    found = question_by_id(database, number)
    return found.state, found.opinions


@pytest.mark.parametrize(
    ("row", "action", "classes", "means"),
    [
        (0, "keep", (), ("cat",)),
        (0, "take", (), ("dog",)),
        (0, "choose", ("owl",), ("owl",)),
        (0, "several", ("yak", "cat"), ("cat", "yak")),
        (0, "unsure", (), ()),
        (0, "spoiled", (), ()),
        (0, "new_class", ("ibex",), ("ibex",)),
    ],
)
def test_a_verdict_is_kept_with_what_it_means(review, row, action, classes, means):
    number = ask(review, row)
    said = record(review, "ada", number, action, classes, "why", at=5.0)
    assert (said.action, said.classes, said.note, said.created_at) == (action, means, "why", 5.0)
    assert history(review, number) == [said]
    assert state(review, number) == ("decided", 1)


@pytest.mark.parametrize(
    ("row", "action", "classes", "message"),
    [
        (1, "take", (), "nothing is suggested"),
        (0, "choose", (), "takes one class"),
        (0, "choose", ("zebu",), "no class of 'animal'"),
        (0, "several", ("cat",), "two or more classes"),
        (0, "keep", ("cat",), "takes no class"),
        (0, "dance", (), "a verdict is one of keep"),
        (0, "new_class", (" ",), "needs a name"),
        (0, "new_class", ("a\0b",), "must be text that can be stored"),
        (0, "new_class", ("x" * 201,), "at most 200"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_kept(review, row, action, classes, message):
    with pytest.raises(ValueError, match=message):
        record_many(
            review,
            [NewVerdict("ada", ask(review, 2, ""), "keep"), NewVerdict("ada", ask(review, row), action, classes)],
        )
    assert review.rows(verdict.select()) == []


def test_unknown_questions_and_nobody_are_refused(review):
    for number in (0, -1, 99, 2**40):
        with pytest.raises(LookupError, match=f"no question {number}"):
            record(review, "ada", number, "keep")
    with pytest.raises(ValueError, match="needs the name of its reviewer"):
        record(review, " ", 1, "keep")
    with pytest.raises(ValueError, match="about the item itself"):
        record(review, "ada", ask(review, 2, ""), "choose", ["cat"])


def test_one_token_records_once_and_serves_nobody_else(review):
    number = ask(review, 0)
    first = record(review, "ada", number, "keep", token="t")
    assert record(review, "ada", number, "take", token="t") == first
    assert len(history(review, number)) == 1
    with pytest.raises(ValueError, match="was used for another verdict"):
        record(review, "bo", number, "keep", token="t")


def test_undo_goes_back_to_any_depth_each_batch_at_once(review):
    numbers = [ask(review, 0), ask(review, 1), ask(review, 2, "")]
    record(review, "ada", numbers[0], "keep")
    record(review, "ada", numbers[0], "take")
    record_many(review, [NewVerdict("ada", each, "unsure") for each in numbers], "b")
    record(review, "ada", numbers[1], "skip")
    record(review, "bo", numbers[2], "keep")
    before = review.rows(verdict.select())
    taken = [[each.action for each in undo(review, "ada")] for _ in range(5)]
    assert taken == [["skip"], ["unsure"] * 3, ["take"], ["keep"], []]
    assert review.rows(verdict.select().where(verdict.c.undoes.is_(None))) == before  # nothing was overwritten
    assert [state(review, each)[0] for each in numbers] == ["open", "open", "decided"]


def test_an_undo_that_is_sent_twice_takes_back_once(review):
    for row in (0, 1):
        record(review, "ada", ask(review, row), "keep")
    first = undo(review, "ada", token="u")
    assert undo(review, "ada", token="u") == first
    assert state(review, ask(review, 0)) == ("decided", 1)
    assert state(review, ask(review, 1)) == ("open", 0)


def test_a_new_class_may_be_chosen_by_others_until_it_is_taken_back(review):
    first, second = ask(review, 0), ask(review, 1)
    record(review, "ada", first, "new_class", ["ibex"])
    assert review.classes("animal")[-1] == "ibex"
    record(review, "bo", second, "choose", ["ibex"])
    undo(review, "ada")
    with pytest.raises(ValueError, match="no class of"):
        record(review, "cy", second, "choose", ["ibex"])


def test_two_opinions_decide_conflict_and_are_overruled(review):
    require(review, 2)
    number = ask(review, 0)
    record(review, "ada", number, "take")
    assert state(review, number) == ("open", 1)
    record(review, "bo", number, "choose", ["dog"])  # means the same
    assert state(review, number) == ("decided", 2)
    record(review, "cy", number, "keep")
    assert state(review, number) == ("conflict", 3)
    record(review, "dee", number, "unsure", final=True)
    assert state(review, number) == ("decided", 4)
    (row,) = answered(review)
    assert (row["action"], row["classes"]) == ("unsure", ())
    undo(review, "dee")
    require(review, 4)
    undo(review, "cy")
    assert state(review, number) == ("open", 2)
    with pytest.raises(ValueError, match="1 person or more"):
        require(review, 0)


def test_spoiled_answers_every_question_of_its_item(review):
    record(review, "ada", ask(review, 0), "spoiled")
    assert state(review, ask(review, 0, "family")) == ("decided", 1)
    record(review, "ada", ask(review, 0, "family"), "keep")  # the newer word counts for its own question
    found = {row["task"]: row["action"] for row in answered(review)}
    assert found == {"animal": "spoiled", "family": "label"}


ACTS = st.tuples(
    st.sampled_from(["ada", "bo"]),
    st.integers(1, 4),
    st.sampled_from(["keep", "take", "choose", "unsure", "spoiled", "skip", "undo", "final"]),
)


@settings(max_examples=25)
@given(acts=st.lists(ACTS, max_size=12), opinions=st.integers(1, 2))
def test_the_state_is_what_the_verdicts_say_whatever_came_before(tmp_path_factory, acts, opinions):
    with open_database(make_run(tmp_path_factory.mktemp("law") / "run", rows=6, findings=FOUND)) as database:
        fill(database, sample=0)
        require(database, opinions)
        for who, number, action in acts:
            asked = question_by_id(database, number)
            if action == "undo":
                undo(database, who)
            elif action == "choose" and asked.task:
                record(database, who, number, "choose", ["owl" if asked.task == "animal" else "bird"])
            elif action == "final":
                record(database, who, number, "keep", final=True)
            elif action != "choose" and (action != "take" or asked.suggested):
                record(database, who, number, action)
        kept = {row.id: (row.state, row.opinions) for row in database.rows(question.select())}
        for row in answered(database):
            assert kept.pop(row["question_id"]) == (row["state"], len(row["reviewers"]))
        assert set(kept.values()) <= {("open", 0)}
        before = database.rows(question.select())
        rebuild(database)
        assert database.rows(question.select()) == before


def test_one_class_means_a_label_however_it_was_said():
    assert meaning("keep", ["cat"]) == meaning("choose", ["cat"]) == meaning("several", ["cat"])
    assert meaning("several", ["b", "a"]) == meaning("several", ["a", "b"]) != meaning("unsure", [])
    assert decide([], 1) == ("open", None)


def test_many_at_once_lose_nothing_and_agree_on_the_state(review):
    number, errors = ask(review, 0), []

    def work(who):
        try:
            for turn in range(6):
                record(review, who, number, "keep" if turn % 2 else "unsure", token=f"{who} {turn}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"person {each}",)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    said = Counter(each.reviewer for each in history(review, number))
    assert set(said.values()) == {6}
    assert len(said) == 8
    assert state(review, number) == ("decided", 8)
    assert asdict(history(review, number)[0])["undoes"] is None
