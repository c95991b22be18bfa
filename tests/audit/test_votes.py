import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelwise.audit import necv

predictions = st.tuples(st.integers(1, 6), st.integers(0, 20)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int64, shape, elements=st.integers(0, 4)), arrays(np.int64, shape[1], elements=st.integers(-1, 4))
    )
)


@given(predictions)
def test_votes_follow_the_definition(both):
    predicted, labels = both
    vote = necv(predicted, labels)
    for i, given_class in enumerate(labels):
        votes = predicted[:, i].tolist()
        most = max(votes.count(k) for k in set(votes))
        assert vote.suggestion[i] == min(k for k in set(votes) if votes.count(k) == most)
        if given_class < 0:
            assert np.isnan(vote.agreement[i])
            assert not vote.flags[i]
        else:
            assert vote.agreement[i] == pytest.approx(votes.count(given_class) / len(votes))
            assert vote.flags[i] == (2 * votes.count(given_class) < len(votes))


@given(predictions)
def test_one_model_flags_what_it_does_not_predict(both):
    predicted, labels = both
    np.testing.assert_array_equal(necv(predicted[:1], labels).flags, (predicted[0] != labels) & (labels >= 0))


@given(predictions, st.randoms(use_true_random=False))
def test_the_order_of_models_does_not_matter(both, random):
    predicted, labels = both
    order = list(range(len(predicted)))
    random.shuffle(order)
    for one, other in zip(necv(predicted, labels), necv(predicted[order], labels), strict=True):
        np.testing.assert_array_equal(one, other)


def test_agreement_at_the_threshold_is_not_flagged():
    assert not necv([[0], [1]], [0]).flags[0]
    assert necv([[0], [1]], [0], threshold=0.51).flags[0]
    assert not necv([[1], [1]], [0], threshold=0).flags[0]


@pytest.mark.parametrize(
    ("predicted", "labels", "threshold", "message"),
    [
        ([0, 1], [0, 1], 0.5, r"got \[2\] and \[2\]"),
        ([[0, 1]], [0], 0.5, r"got \[1, 2\] and \[1\]"),
        (np.zeros((0, 2), int), [0, 1], 0.5, r"got \[0, 2\]"),
        ([[0.2]], [0], 0.5, "class indices; got float64"),
        ([[-1]], [0], 0.5, "at least 0"),
        ([[1]], [0], 1.5, r"in \[0, 1\]; got 1.5"),
    ],
)
def test_unfit_arguments_are_refused(predicted, labels, threshold, message):
    with pytest.raises(ValueError, match=message):
        necv(predicted, labels, threshold)
