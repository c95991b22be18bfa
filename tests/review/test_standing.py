import pytest

from labelwise.bench.mock_runs import make_run, say
from labelwise.review.database import open_database
from labelwise.review.filling import fill
from labelwise.review.learning import Estimate, Sample
from labelwise.review.schema import question
from labelwise.review.standing import KindStanding, Learned, statistics
from labelwise.review.verdicts import record, undo

CLASSES = ("cat", "dog", "owl", "yak")


@pytest.fixture
def review(tmp_path, url):
    """80 rows, of which 27 have a finding about their animal, five of these more than one; row 70 is an outlier."""
    found = [say(row, "animal", "label", 1 - row / 100, CLASSES[row % 4], None) for row in range(30) if row % 8 != 7]
    found += [say(row, "animal", "near_duplicate", 0.9, CLASSES[row % 4], None) for row in (0, 0, 1, 2, 3, 4)]
    found += [say(70, None, "outlier", 0.5, None, None)]
    with open_database(make_run(tmp_path / "run", rows=80, findings=found), url) as opened:
        fill(opened, sample=20)
        yield opened


def asked(database, row=None, task="animal", **wanted):
    rows = database.rows(question.select().order_by(question.c.position))
    rows = [each for each in rows if each.task == task and row in (None, each.item_id)]
    return [each for each in rows if all(getattr(each, name) == value for name, value in wanted.items())]


def test_before_any_verdict_all_is_left_and_nothing_known_of_what_has_no_finding(review):
    stands = Learned(review).standing()
    assert (stands.decided, stands.wrong) == (0, 0)
    assert {each.kind: each.findings for each in stands.kinds} == {"label": 27, "near_duplicate": 6, "outlier": 1}
    assert stands.left.flagged.low < 6
    assert stands.left.flagged.high > 22
    assert stands.left.total is None
    assert stands.samples == {"animal": Sample(43, 0, 0), "family": Sample(80, 0, 0)}
    assert stands.advice.go_on


def test_verdicts_are_learned_from(review):
    for each in asked(review, sampled=False)[:20]:
        other = "cat" if each.given != "cat" else "dog"
        record(review, "ada", each.id, "choose", [other])
    for task in ("animal", "family"):
        for at, each in enumerate(asked(review, task=task, sampled=True)):
            record(review, "ada", each.id, "keep" if at else "unsure")
    learned = Learned(review)
    assert learned.chance("label", 0.99) is None  # nothing was learned yet
    stands = learned.standing()
    assert (stands.decided, stands.wrong) == (20, 20)
    assert stands.samples == {"animal": Sample(43, 19, 0), "family": Sample(80, 19, 0)}
    assert stands.left.flagged.value > 0.6 * 7
    assert stands.left.flagged.high == 8  # seven labels and the outlier
    assert stands.left.unflagged.value == pytest.approx((24 + 61) * 0.5 / 20)
    assert stands.advice.go_on
    assert learned.chance("label", 0.99).low > 0.8
    assert learned.chance("near_duplicate", 0.9) is None  # too few of them are decided


def test_kept_labels_say_that_one_may_stop(review):
    for each in [*asked(review, sampled=False)[:-2], *asked(review, task="")]:
        record(review, "ada", each.id, "keep")
    learned = Learned(review)
    assert not learned.standing().advice.go_on
    assert learned.chance("label", 0.72).high < 0.3
    low, high = learned.chance("label", 0.7), learned.chance("label", 1.0)
    assert low.low <= high.low
    assert low.value <= high.value
    assert low.high <= high.high


def test_when_all_is_decided_nothing_is_left_of_the_findings(review):
    for each in [*asked(review, sampled=False), *asked(review, row=70, task="")]:
        record(review, "ada", each.id, "spoiled" if each.item_id == 70 else "keep")
    stands = Learned(review).standing()
    assert stands.left.flagged == Estimate(0, 0, 0)
    assert (stands.decided, stands.wrong) == (28, 1)
    assert stands.kinds[-1] == KindStanding("outlier", 1, 1, 1)
    assert not stands.advice.go_on


def test_undone_conflicting_and_skipped_questions_are_not_decided(review):
    first, second, third = asked(review, sampled=False)[:3]
    record(review, "ada", first.id, "unsure")
    undo(review, "ada")
    record(review, "ada", second.id, "keep")
    record(review, "bo", second.id, "choose", ["owl" if second.given != "owl" else "cat"])
    record(review, "ada", third.id, "skip")
    assert Learned(review).standing().decided == 0
    record(review, "cy", second.id, "keep", final=True)
    stands = Learned(review).standing()
    assert (stands.decided, stands.wrong) == (1, 0)


def test_spoiled_counts_for_all_questions_of_an_item_also_after_another_word_on_one_of_them(tmp_path):
    found = [say(0, "animal", "label", 0.9, "cat", "dog"), say(0, "family", "taxonomy", 0.9, "mammal", "bird")]
    with open_database(make_run(tmp_path / "run", findings=found)) as database:
        fill(database, sample=0)
        (animal,), (family,) = asked(database, 0), asked(database, 0, "family")
        record(database, "ada", animal.id, "keep")
        record(database, "ada", family.id, "spoiled")
        stands = Learned(database).standing()
        assert (stands.decided, stands.wrong) == (2, 2)


def test_it_is_learned_anew_only_when_there_is_more_to_learn(review):
    learned = Learned(review)
    before = learned.standing()
    (first, *_) = asked(review, sampled=False)
    record(review, "ada", first.id, "keep")
    assert learned.standing() is before  # too soon to look
    assert learned.standing(patience=0).decided == 1
    assert learned.standing(patience=0) is learned.standing(patience=0)


def test_statistics_of_a_run(review, url):
    record(review, "ada", asked(review, sampled=False)[0].id, "keep")
    found = statistics(review.run, url)
    assert found.standing.decided == 1
    assert [each.name for each in found.people.reviewers] == ["ada"]
