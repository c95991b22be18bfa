import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.review.learning import ErrorsLeft, Estimate, Sample, advice, calibrate, errors_left

NOTHING = Estimate(0, 0, 0)


def rising(score):
    return 1 / (1 + np.exp(-10 * (score - 0.6)))


def simulate(seed, curve, n, decided, worst_first):
    """Scores, true outcomes, and those that people have decided."""
    generator = np.random.default_rng(seed)
    score = generator.random(n)
    truth = (generator.random(n) < curve(score)).astype(int)
    order = np.argsort(-score) if worst_first else generator.permutation(n)
    outcome = np.full(n, -1)
    outcome[order[:decided]] = truth[order[:decided]]
    return score, truth, outcome


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([-1, 0, 1])), max_size=60))
def test_the_chance_never_falls_as_the_score_rises_and_lies_in_its_interval(findings):
    score, outcome = [each[0] for each in findings], [each[1] for each in findings]
    course = calibrate(score, outcome)
    assert (np.diff(course.draws, axis=1) >= 0).all()
    chance = course.chance(np.linspace(-0.1, 1.1, 50))
    for values in chance:
        assert (np.diff(values) >= 0).all()
        assert ((values >= 0) & (values <= 1)).all()
    assert (chance.low <= chance.value).all()
    assert (chance.value <= chance.high).all()


def test_without_verdicts_there_is_a_wide_prior():
    chance = calibrate(np.linspace(0, 1, 500), np.full(500, -1)).chance([0.0, 0.5, 1.0])
    assert chance.value == pytest.approx([0.18, 0.3, 0.5], abs=0.03)
    assert (chance.high - chance.low > 0.8).all()


def test_many_verdicts_overrule_the_prior_and_only_the_order_of_scores_matters():
    score, _, outcome = simulate(0, rising, 20_000, 20_000, False)
    course = calibrate(score, outcome)
    at = np.linspace(0.1, 0.9, 9)
    assert course.chance(at).value == pytest.approx(
        rising(at), abs=0.08
    )  # a cell holds scores whose chances differ by as much
    assert (course.chance(at).high - course.chance(at).low < 0.15).all()
    assert (calibrate(np.exp(score), outcome).draws == course.draws).all()


def test_where_nobody_has_looked_the_interval_reaches_down_and_not_up():
    score, _, outcome = simulate(0, rising, 2000, 300, True)  # the worst ones, which are nearly all wrong
    chance = calibrate(score, outcome).chance([0.1, np.sort(score)[-301], 0.99])
    assert chance.low[0] < 0.1
    assert chance.high[0] > 0.7
    assert chance.value[1] > 0.75  # just below what was decided
    assert chance.low[2] > 0.9


@pytest.mark.parametrize(("curve", "n", "decided"), [(rising, 500, 150), (np.square, 500, 60), (rising, 3000, 600)])
def test_intervals_cover_at_their_rate_where_rows_are_decided_at_random(curve, n, decided):
    at = np.linspace(0.05, 0.95, 19)
    inside, covered = [], []
    for seed in range(50):
        score, truth, outcome = simulate(seed, curve, n, decided, False)
        course = calibrate(score, outcome, seed)
        low, high = course.chance(at)[1:]
        inside.append((low <= curve(at)) & (curve(at) <= high))
        left = errors_left([(course, score[outcome < 0])], [], seed).flagged
        covered.append(left.low <= truth[outcome < 0].sum() <= left.high)
    assert np.mean(inside) > 0.9
    assert np.mean(covered) > 0.88  # of 50 simulations at 95 %


@pytest.mark.parametrize("curve", [rising, np.square, lambda score: np.full_like(score, 0.3)])
def test_intervals_cover_at_their_rate_where_the_worst_are_decided_first(curve):
    covered = []
    for seed in range(50):
        score, truth, outcome = simulate(seed, curve, 1000, 150, True)
        left = errors_left([(calibrate(score, outcome, seed), score[outcome < 0])], [], seed).flagged
        covered.append(left.low <= truth[outcome < 0].sum() <= left.high)
    assert np.mean(covered) > 0.88


def test_the_share_among_the_worst_is_not_carried_over_to_the_rest():
    score, truth, outcome = simulate(0, rising, 1000, 150, True)
    left = errors_left([(calibrate(score, outcome), score[outcome < 0])], []).flagged
    carried_over, open_errors = truth[outcome >= 0].mean() * 850, truth[outcome < 0].sum()
    assert open_errors < left.value < 0.8 * carried_over
    assert left.low < open_errors < left.high


def test_the_interval_covers_at_its_rate_over_courses_of_the_prior():
    generator = np.random.default_rng(3)
    prior = calibrate(np.linspace(0, 1, 200), np.full(200, -1), seed=9)
    score = np.linspace(0, 1, 200)
    covered = []
    for at in range(120):
        truth = generator.random(200) < prior.draws[at][prior.cells(score)]
        outcome = np.where(generator.random(200) < 0.3, truth, -1)
        left = errors_left([(calibrate(score, outcome, at), score[outcome < 0])], [], at).flagged
        covered.append(left.low <= truth[outcome < 0].sum() <= left.high)
    assert 0.9 < np.mean(covered) <= 0.99


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_the_random_sample_covers_at_its_rate(share):
    generator = np.random.default_rng(1)
    covered = []
    for seed in range(300):
        wrong = generator.random(1500) < share
        drawn = generator.permutation(1500)[:80]
        left = errors_left([], [Sample(1500, 80, int(wrong[drawn].sum()))], seed).total
        covered.append(left.low <= wrong.sum() - wrong[drawn].sum() <= left.high)
    assert np.mean(covered) > 0.9


def test_when_all_is_decided_nothing_is_left_with_certainty():
    score, _, outcome = simulate(0, rising, 300, 300, True)
    course = calibrate(score, outcome)
    left = errors_left([(course, score[outcome < 0])], [Sample(40, 40, 3), Sample(0, 0, 0)])
    assert left == ErrorsLeft(NOTHING, NOTHING, NOTHING)


def test_of_labels_without_finding_nothing_is_known_before_the_sample_is_looked_at():
    course = calibrate([0.1, 0.9], [-1, -1])
    left = errors_left([(course, [0.1, 0.9])], [Sample(1000, 0, 0), Sample(1000, 10, 0)])
    assert left.unflagged is None
    assert left.total is None
    assert left.flagged.low == 0
    assert left.flagged.high == 2


def test_estimates_add_up():
    score, _, outcome = simulate(2, rising, 400, 200, False)
    left = errors_left([(calibrate(score, outcome), score[outcome < 0])], [Sample(1000, 50, 2)])
    assert left.total.value == pytest.approx(left.flagged.value + left.unflagged.value)
    assert left.unflagged.value == pytest.approx(950 * 2.5 / 51)
    assert left.total.low < left.total.value < left.total.high


def test_the_same_seed_gives_the_same_figures():
    score, _, outcome = simulate(2, rising, 400, 200, False)
    assert (calibrate(score, outcome, 5).draws == calibrate(score, outcome, 5).draws).all()


def test_advice_is_to_go_on_while_errors_come():
    go = advice(np.full(100, 0.7), decided=60)
    assert go.go_on
    assert go.expected == pytest.approx(14)
    assert go.words == "Go on: about 14 of the next 20 questions should turn out to be wrong."
    stop = advice(np.full(100, 0.02), decided=60)
    assert not stop.go_on
    assert stop.words == "You may stop: fewer than one of the next 20 questions should turn out to be wrong."
    assert advice(np.full(100, 0.02), decided=60, bound=0.3).go_on
    assert advice(np.full(5, 0.1), decided=60).go_on  # half an error in 5 is as much as two in 20
    early = advice(np.full(100, 0.02), decided=3)
    assert early.go_on
    assert "too early" in early.words
    assert not advice([], decided=0).go_on


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"must be \[n\] both"):
        calibrate([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="scores finite"):
        calibrate([np.nan], [1])
    with pytest.raises(ValueError, match=r"outcomes must be 1 .* got \[2\]"):
        calibrate([0.5], [2])


def test_what_the_server_loads_is_light():
    code = "import sys, labelwise.review.learning; print({'torch', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
