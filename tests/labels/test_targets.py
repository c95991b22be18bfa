import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from labelwise.labels import LabelTable, read
from labelwise.labels.targets import name_and_kind, to_numbers, to_sets, to_shares


def sets(column, names=()):
    return to_sets(column, "c", "t", names)


def shares(column, names=()):
    return to_shares(column, "c", "t", names)


@pytest.mark.parametrize(
    ("label", "expected"),
    [("a", ("a", None)), ("a=real", ("a", "real")), ("a=b=multi", ("a=b", "multi")), ("a=b", ("a=b", None))],
)
def test_a_label_says_its_kind_after_its_name(label, expected):
    assert name_and_kind(label) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, -1, None]), [1, -1, None]),
        (pa.array([1.5, float("nan"), 2.0]), [1.5, None, 2]),
        (pa.array([" 1e3", "", "-2.5 "]), [1000, None, -2.5]),
        (pa.array(["1", "2", "1"]).dictionary_encode(), [1, 2, 1]),
    ],
)
def test_numbers(values, expected):
    numbers, classes = to_numbers(pa.chunked_array([values]), "c", "t")
    assert (numbers.to_pylist(), classes) == (expected, ())


TEXT = pa.array(["b; a", "a", ";", "", None, "b|c|b"])
LISTS = [["b", "a"], ["a"], [], None, None, ["b", "c", "b"]]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string())])
def test_sets_as_text_and_as_lists(kind):
    for column in (TEXT, pa.array(LISTS, kind), pa.chunked_array([pa.array([["z"], *LISTS], kind)]).slice(1)):
        found, classes = sets(column)
        assert (found.to_pylist(), classes) == (LISTS, ("a", "b", "c"))
    assert sets(TEXT, ("c", "b", "a", "d"))[1] == ("c", "b", "a", "d")


def test_sets_as_vectors():
    vectors = np.array([[1, 0, 1], [0, 0, 0], [-1, -1, -1]])
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(vectors)
    assert sets(column) == (pa.array([["0", "2"], [], None]), ("0", "1", "2"))
    assert sets(column, ("x", "y", "z"))[0].to_pylist() == [["x", "z"], [], None]
    with pytest.raises(ValueError, match=r"must have 2 entries, one a class; got 3 \(t, column c\)"):
        sets(column, ("x", "y"))
    vectors[1, 1] = 2
    with pytest.raises(ValueError, match=r"must hold 0 and 1; got \[0.0, 2.0, 0.0\] at row 1 \(t, column c\)"):
        sets(pa.FixedShapeTensorArray.from_numpy_ndarray(vectors))


def test_shares_in_every_form():
    expected = [[0.25, 0.75], None, [1.0, 0.0]]
    vectors = np.array([[0.25, 0.75], [np.nan, np.nan], [1, 0]])
    for column in (
        pa.array(expected),
        pa.array(["0.25; 0.75", "", "1|0"]),
        pa.FixedShapeTensorArray.from_numpy_ndarray(vectors),
        pa.array(expected, pa.list_(pa.float32(), 2)),
    ):
        found, classes = shares(column)
        assert (found.to_pylist(), classes) == (expected, ("0", "1"))
    assert shares(pa.array(expected), ("no", "yes"))[1] == ("no", "yes")


@pytest.mark.parametrize(
    ("convert", "column", "message"),
    [
        (to_numbers, pa.array(["1", "two", None]), r"labels must be numbers; got 'two' at row 1 \(t, column c\)"),
        (to_numbers, pa.array([True, False]), r"must be numbers; the column holds bool"),
        (to_numbers, pa.array([2, 2, None]), r"all numbers are 2 \(t, column c\)"),
        (to_numbers, pa.array([None, None], pa.float64()), "every label is missing"),
        (to_sets, pa.array([1, 2]), "must be lists of names, or text with ';'.*holds int64"),
        (to_sets, pa.array([";", ""]), "all sets are empty"),
        (to_shares, pa.array([0.5]), "must be lists of numbers, or text with ';'.*holds double"),
        (to_shares, pa.array(["1;0", "0.5;half"]), r"labels must be numbers; got 'half' at row 1 \(t, column c\)"),
        (to_shares, pa.array([[1.0, 0.0], None, [1.0]]), r"must have 2 shares, one a class; got 1 at row 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(convert, column, message):
    with pytest.raises(ValueError, match=message):
        convert(column, "c", "t")


def frame():
    return pd.DataFrame(
        {
            "x": [0.1, 0.2, 0.3, 0.4],
            "price": [10.5, None, 12.0, 11.25],
            "tags": ["a;b", "b", "", ";"],
            "mood": [[0.5, 0.5], [1.0, 0.0], None, [0.2, 0.8]],
            "what": ["u", "v", "u", "v"],
        }
    )


def test_a_table_is_read_with_labels_of_every_kind():
    table = read(frame(), ["price=real", "tags=multi", "mood=soft", "what"])
    assert [task.kind for task in table.tasks] == ["real", "multi", "soft", "single"]
    assert table.feature_names == ["x"]
    assert "price (real), tags (2 classes), mood (2 classes), what (2 classes)" in repr(table)
    np.testing.assert_array_equal(table.labels("price"), [10.5, np.nan, 12, 11.25])
    np.testing.assert_array_equal(table.labels("tags"), [[1, 1], [0, 1], [-1, -1], [0, 0]])
    np.testing.assert_array_equal(table.labels("mood"), [[0.5, 0.5], [1, 0], [np.nan, np.nan], [0.2, 0.8]])
    again = read(table, ["price", "tags", "mood", "what"])
    assert isinstance(again, LabelTable)
    assert again.tasks == table.tasks


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            "price=reel",
            "kind of label 'price' must be one of single, multi, soft, real; got 'reel'; did you mean 'real'",
        ),
        ("prize=real", "has no column 'prize'; did you mean 'price'"),
        ("price", "name the label NAME=real to learn numbers"),
        ("mood", "name the label NAME=multi for sets of classes, NAME=soft"),
    ],
)
def test_wrong_kinds_are_told_with_the_remedy(label, message):
    with pytest.raises(ValueError, match=message):
        read(frame(), label)
