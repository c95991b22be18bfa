import numpy as np
import pytest

from labelwise.audit.neighbours import NEIGHBOURS, Neighbours, nearest
from labelwise.audit.outliers import outlier_findings, outlying
from labelwise.labels import bundled
from labelwise.models import encode


def find(vectors):
    return list(outlier_findings(nearest(vectors, quiet=True), np.arange(len(vectors))))


@pytest.mark.parametrize("width", [5, 40, 600])
def test_rows_of_one_normal_distribution_are_no_outliers_and_a_far_one_is(width):
    vectors = np.random.default_rng(width).standard_normal((600, width))
    assert not find(vectors)
    vectors[7] *= 6
    (only,) = find(vectors)
    assert (only.example, only.task, only.kind, only.suggested) == (7, None, "outlier", None)
    assert 0.5 < only.score < 1


def test_units_and_place_do_not_matter_and_farther_is_worse():
    vectors = np.random.default_rng(0).standard_normal((300, 10))
    vectors[0, 0], vectors[1, 1] = 40, 80
    found = {each.example: each.score for each in find(vectors)}
    assert set(found) == {0, 1}
    assert found[1] > found[0]
    moved = {each.example: each.score for each in find(vectors * 1000 + 5)}
    assert moved == pytest.approx(found, rel=1e-3)


def test_equal_distances_have_no_outlier():
    assert not outlying(np.ones((80, NEIGHBOURS)))[1].any()
    assert not outlying(np.zeros((80, NEIGHBOURS)))[1].any()
    ratio, out = outlying(np.repeat([[1.0], [3.0]], [79, 1], axis=0))
    assert out.tolist() == [False] * 79 + [True]
    assert ratio[-1] == pytest.approx(3)


def test_few_rows_are_left_alone_and_rows_keep_their_numbers():
    near = Neighbours(np.zeros((40, 10), np.int64), np.ones((40, 10)))
    assert not list(outlier_findings(near, np.arange(40)))
    vectors = np.random.default_rng(0).standard_normal((100, 4))
    vectors[3] = 50
    (only,) = outlier_findings(nearest(vectors, quiet=True), np.arange(100) + 1000)
    assert only.example == 1003


def test_clean_digits_have_none():
    features = encode(bundled("digits"), quiet=True).features
    assert not find(features.reshape(len(features), -1))
