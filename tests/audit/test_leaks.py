import numpy as np
import pandas as pd
import pytest

from labelwise.audit.leaks import leak_issues
from labelwise.labels import LabelTable, Task

N = 300
CODES = np.arange(N) % 3
ORDER = np.argsort(CODES, kind="stable")
PLACE = np.argsort(ORDER)  # of each row, if rows were sorted by class


def names(column, codes=CODES, **roles):
    table = LabelTable.from_columns({"x": column, "y": codes}, [Task("y", "single", ("a", "b", "c"))], **roles)
    return [(each.subject, each.score) for each in leak_issues(table, "y")]


@pytest.mark.parametrize(
    "column",
    [
        PLACE,
        5000 + PLACE,
        [f"scan_{place:04}.tif" for place in PLACE],
        [f"{'abc'[code]}/{row}.png" for row, code in enumerate(CODES)],
        pd.Timestamp("2024-01-01") + pd.to_timedelta(PLACE, unit="min"),
    ],
    ids=["number", "shifted", "name", "path", "time"],
)
def test_numbers_names_and_times_in_the_order_of_classes_leak(column):
    ((subject, score),) = names(column)
    assert subject == "x"
    assert score > 0.9


@pytest.mark.parametrize(
    "column",
    [np.arange(N), [f"row {row}" for row in range(N)], np.random.default_rng(0).integers(0, 4, N)],
    ids=["number", "name", "few values"],
)
def test_columns_that_know_nothing_do_not(column):
    assert not names(column)


def test_copies_leak_but_measurements_that_tell_all_do_not():
    assert names([f"class {code}" for code in CODES])[0][1] == 1
    assert names(CODES * 7)
    assert not names(CODES + np.random.default_rng(0).uniform(0, 0.5, N))
    almost = np.where(np.arange(N) % 10 == 0, (CODES + 1) % 3, CODES)
    assert not names(almost)  # a good feature


def test_numbers_with_a_wide_range_are_measurements_unless_they_run_along_the_rows():
    wide = PLACE * 1000 + np.random.default_rng(0).integers(0, 900, N)
    assert not [each for each in names(wide) if each[1] < 0.98]
    noisy = CODES.copy()
    noisy[::4] = np.random.default_rng(1).integers(0, 3, len(noisy[::4]))
    assert not names(wide, noisy)
    assert names(PLACE, noisy)


def test_a_sample_of_many_rows_tells_the_same():
    n = 12_000
    codes = np.random.default_rng(0).integers(0, 3, n)
    shuffled = np.argsort(np.argsort(codes, kind="stable"))
    assert names(shuffled, codes)[0][1] > 0.9
    assert not names(np.random.default_rng(1).permutation(n), codes)


def test_the_id_column_and_few_rows_are_not_looked_at():
    assert not names([f"{place:04}" for place in PLACE], id="x")
    assert not names(PLACE[:40], CODES[:40])
    with_missing = CODES.copy()
    with_missing[::2] = -1
    assert names(PLACE, with_missing)
    assert not names(PLACE, np.full(N, -1))


def test_folds_keep_groups_whole():
    group = np.arange(N) // 10  # of one class each
    codes = np.random.default_rng(0).integers(0, 3, 30)[group]
    table = LabelTable.from_columns(
        {"x": np.arange(N), "g": group, "y": codes}, [Task("y", "single", ("a", "b", "c"))], group="g"
    )
    assert not list(leak_issues(table, "y"))
    free = LabelTable(table.data.drop(["g"]), table.tasks)
    assert [each.subject for each in leak_issues(free, "y")] == ["x"]
