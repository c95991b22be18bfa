import numpy as np
import pytest

from labelwise.bench.ranks import compare_ranks


def test_the_critical_difference_is_the_published_one():
    # Demšar 2006, section 3.2.2: four classifiers on fourteen data sets have a critical difference of 1.25.
    generator = np.random.default_rng(0)
    found = compare_ranks({name: generator.random(14).tolist() for name in "abcd"})
    assert found["critical_difference"] == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    assert found["p"] > 0.01
    assert sum(found["ranks"].values()) == pytest.approx(10)
    assert found["groups"] == [list(found["ranks"])]


def test_methods_that_always_come_in_the_same_order_are_told_apart():
    found = compare_ranks({name: [at / 10 + k for k in range(40)] for at, name in enumerate("abcd")})
    assert found["ranks"] == {"d": 1, "c": 2, "b": 3, "a": 4}
    assert found["p"] < 1e-9
    assert found["groups"] == []


def test_groups_are_the_longest_rows_within_the_difference():
    scores = {"a": [3, 3, 2, 3], "b": [2, 2, 3, 2], "c": [1, 1, 1, 1]}
    found = compare_ranks(scores)
    assert found["ranks"] == {"a": 1.25, "b": 1.75, "c": 3}
    assert found["critical_difference"] == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 4)), abs=1e-3)
    assert found["groups"] == [["a", "b"], ["b", "c"]]
    assert compare_ranks({"a": [1, 1], "b": [1, 1], "c": [0, 0]})["ranks"]["a"] == 1.5


def test_too_little_to_compare_is_refused():
    with pytest.raises(ValueError, match=r"got scores \[2, 3\]"):
        compare_ranks({"a": [1, 2, 3], "b": [1, 2, 3]})
