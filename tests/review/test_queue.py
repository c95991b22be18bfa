from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.bench.mock_runs import CLASSES, make_run, say
from labelwise.review import queue
from labelwise.review.database import open_database
from labelwise.review.deciding import require
from labelwise.review.filling import fill
from labelwise.review.queue import Filter, counts, details, next_question, page, pairs, question_by_id, release
from labelwise.review.schema import item, question
from labelwise.review.verdicts import record, undo


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A filled review; do not write to it."""
    run = make_run(tmp_path_factory.mktemp("fixed") / "run", annotators=["animal"])
    with open_database(run) as database:
        fill(database, sample=5)
        yield database


def everything(database):
    rows = database.rows(question.select().order_by(question.c.position))
    search = {row.id: row.search for row in database.rows(item.select())}
    return [(row, search[row.item_id]) for row in rows]


def fits(row, search, wanted):
    return (
        wanted.task in (None, row.task)
        and (wanted.kind is None or wanted.kind in row.kinds.split())
        and wanted.given in (None, row.given)
        and wanted.suggested in (None, row.suggested)
        and wanted.annotator in (None, row.task)
        and (wanted.text or "").lower() in search
        and wanted.state in (row.state, "all")
    )


WANTED = st.builds(
    Filter,
    task=st.sampled_from([None, "animal", "family"]),
    kind=st.sampled_from([None, "label", "taxonomy", "outlier"]),
    given=st.sampled_from([None, "cat", "mammal"]),
    suggested=st.sampled_from([None, "dog", "bird"]),
    annotator=st.sampled_from([None, "animal"]),
    text=st.sampled_from([None, "row 1", "OWL", "%", "_", "w 3"]),
    state=st.sampled_from(["open", "all", "decided"]),
)


@settings(max_examples=60)
@given(wanted=WANTED, few=st.sampled_from([0, 500]))
def test_filters_pages_counts_and_pairs_are_those_of_looking_at_each(fixed, wanted, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "_FEW", few)
        compare(fixed, wanted)


def compare(fixed, wanted):
    rows = [row for row, search in everything(fixed) if fits(row, search, wanted)]
    assert [each.id for each in page(fixed, wanted, 0, 1000)] == [row.id for row in rows]
    assert [each.id for each in page(fixed, wanted, 3, 4)] == [row.id for row in rows[3:7]]
    found = counts(fixed, wanted)
    assert found.tasks == dict(sorted(Counter(row.task for row in rows).items()))
    assert found.kinds == dict(sorted(Counter(kind for row in rows for kind in row.kinds.split()).items()))
    pair = Counter((row.task, row.given, row.suggested) for row in rows)
    assert {tuple(each[:3]): each[3] for each in pairs(fixed, wanted, 1000)} == pair


def test_a_filter_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="the state of a question is one of"):
        Filter(state="lost")
    with pytest.raises(ValueError, match="text must be text that can be stored"):
        Filter(text="\0")


def walk(database, who, wanted=Filter(), now=0.0, most=200):  # noqa: B008
    """The questions that a person skips one after another."""
    for _ in range(most):
        found = next_question(database, who, wanted, now)
        if found is None:
            return
        yield found
        record(database, who, found.id, "skip")


def test_the_queue_gives_each_question_once_in_order_also_after_an_undo(database):
    first = [each.id for each in walk(database, "ada")]
    assert first == [row.id for row, _ in everything(database)]
    for _ in range(3):
        undo(database, "ada")
    assert [each.id for each in walk(database, "ada")] == first[-3:]
    assert next_question(database, "bo", Filter(), 0.0).id == first[0]


def test_an_item_is_held_for_one_person_until_they_leave_it(database):
    database.set(lease_seconds=60)
    ada = next_question(database, "ada", Filter(), 100.0)
    bo = next_question(database, "bo", Filter(), 101.0)
    assert ada.item_id != bo.item_id
    assert next_question(database, "ada", Filter(), 102.0).id == ada.id  # asking again changes nothing
    assert next_question(database, "cy", Filter(), 103.0).item_id not in (ada.item_id, bo.item_id)
    release(database, "ada")
    assert next_question(database, "dee", Filter(), 104.0).id == ada.id
    assert next_question(database, "eve", Filter(), 162.0).id == bo.id  # whose lease has ended
    assert details(database, bo.id)["leased_by"] == "eve"


def test_whoever_goes_on_lets_go_of_what_they_held(database):
    first = next_question(database, "ada", Filter(), 0.0)
    record(database, "ada", first.id, "skip")
    second = next_question(database, "ada", Filter(), 1.0)
    held = [row.id for row in database.rows(item.select().where(item.c.leased_by == "ada"))]
    assert held == [second.item_id]


def test_a_second_opinion_is_asked_of_somebody_else(database):
    require(database, 2)
    first = next_question(database, "ada", Filter(), 0.0)
    record(database, "ada", first.id, "keep")
    assert next_question(database, "ada", Filter(), 1.0).id != first.id
    release(database, "ada")
    assert next_question(database, "bo", Filter(), 1.0).id == first.id


def test_conflicts_have_a_queue_which_both_sides_see(database):
    first = next_question(database, "ada", Filter(task="animal"), 0.0)
    release(database, "ada")
    record(database, "ada", first.id, "keep")
    record(database, "bo", first.id, "unsure")
    for who in ("ada", "bo", "cy"):
        assert next_question(database, who, Filter(state="conflict"), 0.0).id == first.id
        release(database, who)
    record(database, "ada", first.id, "skip")
    assert next_question(database, "ada", Filter(state="conflict"), 0.0) is None
    record(database, "bo", first.id, "spoiled")  # something new was said
    assert next_question(database, "ada", Filter(state="conflict"), 0.0).id == first.id


def test_all_of_a_question_is_told_at_once(database):
    asked = next(row for row, _ in everything(database) if row.task == "animal" and row.item_id % 15 == 0)
    record(database, "ada", asked.id, "unsure", note="dark")
    found = details(database, asked.id)
    assert [each["kind"] for each in found["findings"]] == ["label"]
    assert {each.task for each in found["others"]} >= {"family"}
    assert found["labels"] == {"animal": asked.given, "family": "mammal" if asked.given != "owl" else "bird"}
    assert [each.note for each in found["history"]] == ["dark"]
    for number in (0, -3, 2**60):
        with pytest.raises(LookupError):
            question_by_id(database, number)


def test_questions_stand_by_severity_times_gain(tmp_path):
    found = [say(row, "animal", "label", 0.9 - row / 100, CLASSES["animal"][row % 4], None) for row in range(6)]
    with open_database(make_run(tmp_path / "run", rows=12, findings=found)) as database:
        fill(database, sample=0)
        rows = page(database, Filter(), 0, 100)
    assert [each.item_id for each in rows] == list(range(6))
    worth = [each.severity * each.gain for each in rows]
    assert worth == sorted(worth, reverse=True)
