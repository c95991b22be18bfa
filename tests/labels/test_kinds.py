import numpy as np
import pandas as pd
import pytest

from labelwise.labels import LabelTable, Task, read
from labelwise.labels.kinds import KINDS, codes_of, kind_of, numbers_of, scalar_columns

NAMES = [f"person {i}" for i in range(100)]
EXAMPLES = {
    "boolean": [True, False, None] * 20,
    "discrete": [1, 2, 5, None] * 20,
    "continuous": np.linspace(0, 1, 40),
    "category": ["größe", "日本", "<b>", None] * 20,
    "identifier": NAMES,
    "date": ["2026-01-01", "2025-12-31T10:00", None] * 9,
    "text": ["a sentence of more than five words"] * 3,
    "empty": [None] * 5,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_is_known_by_its_looks(kind: str):
    values = pd.Series(EXAMPLES[kind])
    assert kind_of(values, len(values)) == kind
    assert kind_of(values[::-1], len(values)) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (range(1000, 1100), "identifier"),  # a count of the rows
        (np.arange(100) * 1000, "continuous"),
        ([float(i % 3) for i in range(50)], "discrete"),  # whole numbers with holes are read as floats
        ([i / 2 for i in range(10)], "continuous"),
        ([np.inf, 1.0, 2.5], "continuous"),
        (pd.date_range("2026-01-01", periods=4), "date"),
        (["2026-13-45"] * 30, "category"),
        ([f"2026 {i}" for i in range(30)], "identifier"),
        ([7], "discrete"),
    ],
)
def test_columns_that_might_be_mistaken(values: object, kind: str):
    series = pd.Series(values)
    assert kind_of(series, len(series)) == kind


def test_numbers_that_are_dense_among_many_rows_tell_rows_apart():
    sample = pd.Series(np.random.default_rng(0).permutation(100_000)[:5000])
    assert kind_of(sample, 100_000) == "identifier"
    assert kind_of(sample, 5000) == "continuous"


def test_what_a_person_says_counts():
    frame = pd.DataFrame({"zip": [1010, 8008, 3011] * 20, "size": np.arange(60) / 7, "y": list("abcd") * 15})
    table = read(frame, "y")
    columns = scalar_columns(table, 1000, {"zip": "identifier"}, labels=True)
    assert columns.kinds == {"y": "category", "zip": "identifier", "size": "continuous"}
    with pytest.raises(ValueError, match="has no column 'zipp'; did you mean 'zip'"):
        scalar_columns(table, 1000, {"zipp": "identifier"})
    with pytest.raises(ValueError, match="got 'identifyer'; did you mean 'identifier'"):
        scalar_columns(table, 1000, {"zip": "identifyer"})


def test_of_many_rows_a_sample_is_taken_in_their_order():
    table = LabelTable.from_columns({"x": np.arange(500) / 3, "y": np.arange(500) % 2}, [Task("y", classes=("a", "b"))])
    columns = scalar_columns(table, 100)
    assert len(columns.rows) == len(columns.frame) == 100
    assert (np.diff(columns.rows) > 0).all()
    assert columns.frame["x"].to_numpy() == pytest.approx(columns.rows / 3)


def test_rarer_values_share_a_code():
    codes, levels = codes_of(pd.Series(["b", "a", "b", None, "c", "d", "a"]), 2)
    assert levels == ["a", "b", "(any other)"]
    assert codes.tolist() == [1, 0, 1, -1, 2, 2, 0]
    assert codes_of(pd.Series(["x", None]), 2)[1] == ["x"]


def test_what_is_no_finite_number_is_missing():
    assert numbers_of(pd.Series([1, np.inf, None, 2.5])).isna().tolist() == [False, True, True, False]
