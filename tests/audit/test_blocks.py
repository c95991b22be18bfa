import threading
import time
import tracemalloc

import numpy as np
import pytest

from labelwise.audit import class_thresholds, confident_joint, estimate_joint, find_label_issues, label_quality
from labelwise.audit.blocks import best_classes, in_threads, labelled_rows, over

EVERY = (class_thresholds, confident_joint, estimate_joint, find_label_issues, label_quality)


def test_blocks_hold_every_row_once_and_in_order():
    probs = np.arange(40_000 * 30, dtype=np.float32).reshape(40_000, 30)
    every = list(over(probs, slice(None), lambda rows, values: values))
    assert len(every) > 2
    np.testing.assert_array_equal(np.concatenate([values for _, values in every]), probs)
    np.testing.assert_array_equal(np.concatenate([probs[rows] for rows, _ in every]), probs)
    some = np.arange(3, 40_000, 7)
    blocks = list(over(probs, some, lambda rows, values: values))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in blocks]), some)
    np.testing.assert_array_equal(np.concatenate([values for _, values in blocks]), probs[some])
    assert list(over(probs, np.arange(0), lambda rows, values: values)) == []


def test_columns_go_along_with_their_rows():
    probs = np.random.default_rng(0).random((40_000, 30))
    first, second = np.arange(40_000), np.arange(40_000)[::-1]
    for rows in (slice(None), np.arange(5, 40_000, 3)):
        blocks = list(over(probs, rows, lambda rows, values, a, b: (a, b, values[:, 0]), first, second))
        assert len(blocks) > 1
        for part, (a, b, column) in blocks:
            np.testing.assert_array_equal(a, first[part])
            np.testing.assert_array_equal(b, second[part])
            np.testing.assert_array_equal(column, probs[part, 0])


def test_the_best_class_of_a_mapped_array_is_found_without_a_copy(tmp_path):
    probs = np.random.default_rng(0).integers(50, size=(100_000, 100)).astype(np.float32)  # many are equal
    np.save(tmp_path / "p.npy", probs)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    tracemalloc.start()
    best = best_classes(mapped)
    assert tracemalloc.get_traced_memory()[1] < probs.nbytes / 4
    tracemalloc.stop()
    np.testing.assert_array_equal(best, probs.argmax(axis=1))


def test_half_precision_comes_as_single():
    for dtype, work in ((np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)):
        ((_, values),) = over(np.ones((5, 2), dtype), slice(None), lambda _, values: values)
        assert values.dtype == work


def test_results_come_in_order_and_few_items_are_taken_ahead():
    taken = []

    def items():
        for item in range(200):
            taken.append(item)
            yield item

    def work(item):
        time.sleep(0.001 * (item % 3))
        return item

    results = in_threads(work, items())
    assert next(results) == 0
    assert len(taken) < 100
    assert list(results) == list(range(1, 200))


def test_the_first_error_is_the_one_that_is_told():
    def work(item):
        if item >= 3:
            time.sleep(0.05 if item == 3 else 0)
            raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 3"):
        list(in_threads(work, range(100)))
    assert threading.active_count() < 20


def test_rows_with_a_label():
    assert labelled_rows(np.array([0, 2])) == slice(None)
    assert labelled_rows(np.array([0, -1, 2])).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        ([0, 1], np.full((3, 2), 0.5), r"got shapes \[2\] and \[3, 2\]"),
        ([0, 2], np.full((2, 2), 0.5), r"in \[0, 2\).*got 2 at row 1"),
        ([0, -2], np.full((2, 2), 0.5), r"got -2 at row 1"),
        ([0.0, 1.0], np.full((2, 2), 0.5), "must be integers"),
        ([0, 1], np.ones((2, 2), int), "probs floats"),
        ([-1, -1], np.full((2, 2), 0.5), "all are missing"),
        ([0, 0], np.ones((2, 1)), "at least 2 classes"),
        ([-1, 0, 1], np.array([[np.nan, 1], [0.5, 0.5], [np.inf, 0]]), "got inf at row 2, column 0"),
        ([0, 1], np.array([[0.5, 0.5], [1.0, np.nan]]), "got nan at row 1, column 1"),
        ([1, 0], np.array([[0.5, 0.5], [1.2, -0.2]]), r"at least 0; got -0\.2 at row 1, column 1"),
        ([0, 1], np.array([[0.5, 0.5], [0.9, 0.2]]), r"sum to 1; row 1 sums to 1\.1, .* 0\.9 in column 0"),
        ([0, 1], np.array([[3.0, 1.0], [0.5, 0.5]]), "row 0 sums to 4, .* softmax of logits"),
    ],
)
def test_unfit_arrays_are_refused(labels, probs, message):
    for function in EVERY:
        with pytest.raises(ValueError, match=message):
            function(np.asarray(labels), probs)


def test_an_unfit_number_is_named_in_whatever_block_it_is():
    labels, probs = np.zeros(100_000, int), np.full((100_000, 10), 0.1, np.float32)
    labels[50_000] = -1
    probs[50_000] = np.nan  # of a row that counts nowhere
    for function in EVERY:
        function(labels, probs)
    probs[77_777, 3] = np.nan
    probs[99_999, 3] = np.nan
    for function in EVERY:
        with pytest.raises(ValueError, match="got nan at row 77777, column 3"):
            function(labels, probs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_may_be_off_by_what_rounding_does(dtype):
    probs = np.random.default_rng(0).dirichlet(np.ones(2000), 20).astype(dtype)
    for function in EVERY:
        function(np.arange(20), probs)
