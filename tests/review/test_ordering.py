import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelwise.review.ordering import EVERY, gains, positions, severities


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.integers(0, 2)), min_size=1, max_size=40))
def test_severity_keeps_the_order_within_a_group_and_is_blind_to_scales(rows):
    score, group = (np.array(each) for each in zip(*rows, strict=True))
    found = severities(score, group)
    assert ((found > 0) & (found <= 1)).all()
    same = group[:, None] == group
    assert ((np.sign(np.subtract.outer(score, score)) == np.sign(np.subtract.outer(found, found))) | ~same).all()
    np.testing.assert_array_equal(severities(np.where(group == 1, score**3, score), group), found)


def test_gain_is_one_where_the_models_are_sure_of_the_suggestion_and_zero_where_of_the_given():
    probabilities = np.array([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]])
    rows = np.arange(3)
    np.testing.assert_allclose(gains(probabilities, rows, np.zeros(3, int), np.ones(3, int)), [0, 1, 0.5])
    np.testing.assert_allclose(gains(probabilities, rows, np.zeros(3, int), np.full(3, -1)), [0.5, 1, 0.5])
    np.testing.assert_allclose(gains(probabilities, rows, np.full(3, -1), np.zeros(3, int)), [1, 0.5, 0.75])


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 30))
def test_positions_keep_items_together_the_worthiest_first_with_one_drawn_in_ten(seed, questions, items):
    generator = np.random.default_rng(seed)
    item = generator.integers(items, size=questions)
    sampled = np.isin(item, generator.integers(items, size=items // 2)) & (generator.random(questions) < 0.8)
    worth = np.where(sampled, 0, generator.random(questions))
    position = positions(item, worth, sampled)
    assert sorted(position) == list(range(questions))
    order = np.argsort(position)
    starts = np.flatnonzero(np.diff(item[order], prepend=-1))
    assert len(starts) == len(set(item))  # each item is met once
    drawn = np.array([sampled[item == each].all() for each in item[order][starts]])
    totals = np.array([worth[item == each].sum() for each in item[order][starts]])[~drawn]
    assert (np.diff(totals) <= 1e-12).all()
    found = int((~drawn).sum())
    for at, place in enumerate(np.flatnonzero(drawn)):
        before = min(found, (at + 1) * (EVERY - 1))
        assert place == before + at
