import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.labels import LabelTable, Task

ABC = ("a", "b", "c")
codes_of_three = st.lists(st.integers(-1, 2), min_size=1, max_size=40)


def table(codes, **columns):
    return LabelTable.from_columns({"x": np.arange(len(codes)), "y": codes, **columns}, [Task("y", classes=ABC)])


@given(codes_of_three)
def test_codes_come_back_as_they_went_in(codes):
    assert table(codes).labels("y").tolist() == codes
    assert table([0] * len(codes)).with_labels("y", np.array(codes)).labels().tolist() == codes


@given(codes_of_three, st.data())
def test_selected_rows_are_those_rows(codes, data):
    rows = data.draw(st.lists(st.integers(0, len(codes) - 1), max_size=20))
    whole = table(codes)
    part = whole.select(rows)
    assert part.labels().tolist() == [codes[row] for row in rows]
    assert part.data["x"].to_pylist() == rows
    mask = np.isin(np.arange(len(codes)), rows)
    assert whole.select(mask).data["x"].to_pylist() == sorted(set(rows))


def test_selection_moves_unreadable_rows_along_even_when_repeated():
    whole = LabelTable(pa.table({"x": range(4)}), unreadable={1: "broken", 3: "missing"})
    assert whole.select([3, 0, 1, 1]).unreadable == {0: "missing", 2: "broken", 3: "broken"}


@given(codes_of_three)
def test_fingerprint_depends_on_content_alone(codes):
    whole = table(codes, text=[str(code) for code in codes], picture=np.zeros((len(codes), 2, 3), np.uint8))
    again = whole.select(np.arange(len(codes)))
    assert whole.fingerprint() == again.fingerprint()
    chunks = pa.concat_tables([whole.data.slice(i, 1) for i in range(len(codes))])
    assert LabelTable(chunks, whole.tasks).fingerprint() == whole.fingerprint()
    relabelled = whole.with_labels("y", np.zeros(len(codes), int))
    assert relabelled.fingerprint() == whole.fingerprint()
    changed = whole.data.set_column(0, "x", pa.array(np.arange(len(codes)) + 1))
    assert LabelTable(changed, whole.tasks).fingerprint() != whole.fingerprint()


def test_roles_are_not_features():
    columns = {"x": [1, 2], "text": ["a", "b"], "y": ["a", "b"], "g": [1, 1], "s": ["train", "test"], "i": ["p", "q"]}
    whole = LabelTable.from_columns(columns, [Task("y", classes=ABC)], group="g", split="s", id="i")
    assert whole.feature_names == ["x", "text"]
    assert whole.ids.tolist() == ["p", "q"]
    assert whole.rows("test").tolist() == [1]
    assert table([0, 1]).ids.tolist() == ["0", "1"]
    assert table([0, 1]).rows("test").tolist() == []


def test_rows_without_group_are_groups_of_their_own():
    groups = LabelTable(pa.table({"g": ["a", None, "a", None, "b"]}), group="g").groups
    assert groups[0] == groups[2]
    assert len(set(groups)) == 4
    assert LabelTable(pa.table({"g": [1]})).groups is None


def test_pictures_stay_pictures():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    whole = table([0, 1, 2], picture=pictures).select([2, 0])
    assert np.array_equal(whole.data["picture"].combine_chunks().to_numpy_ndarray(), pictures[[2, 0]])


def test_labels_of_every_kind():
    tasks = [
        Task("multi", "multi", ABC),
        Task("soft", "soft", ABC),
        Task("count", "count", ABC),
        Task("real", "real"),
    ]
    columns = {
        "multi": [["a", "c"], [], None],
        "soft": [[0.2, 0.3, 0.5], None, [1.0, 0.0, 0.0]],
        "count": [[2, 0, 1], None, [0, 0, 0]],
        "real": [1.5, None, -2.0],
    }
    whole = LabelTable.from_columns(columns, tasks)
    assert whole.labels("multi").tolist() == [[1, 0, 1], [0, 0, 0], [-1, -1, -1]]
    assert np.array_equal(whole.labels("soft")[[0, 2]], [[0.2, 0.3, 0.5], [1, 0, 0]])
    assert np.isnan(whole.labels("soft")[1]).all()
    assert np.array_equal(whole.labels("count")[[0, 2]], [[2, 0, 1], [0, 0, 0]])
    assert np.array_equal(whole.labels("real"), [1.5, np.nan, -2.0], equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("single", ["a", "d"], "'d' at row 1"),
        ("single", [0, 3], r"in \[0, 3\).*got 3 at row 1"),
        ("single", [0, -2], "got -2 at row 1"),
        ("single", [["a"], ["b"]], "one class name a row"),
        ("multi", [["a"], ["a", "d"]], "at row 1"),
        ("multi", ["a", "b"], "must be lists"),
        ("soft", [[1.0, 0.0, 0.0], [0.5, 0.5]], "3 numbers; got .* at row 1"),
        ("soft", [[0.5, 0.5, 0.5]], "sum to 1"),
        ("soft", [[1.5, -0.5, 0.0]], "0 or more"),
        ("count", [[1, float("nan"), 0]], "finite"),
        ("real", ["1", "2"], "must be numbers"),
        ("real", [1.0, float("inf")], "finite.*row 1"),
    ],
)
def test_labels_that_break_their_kind_are_named(kind, values, words):
    task = Task("y", kind, () if kind == "real" else ABC)
    with pytest.raises(ValueError, match=words):
        LabelTable.from_columns({"y": values}, [task])


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no column 'z'"):
        table([0]).select([0]).check_column("z")
    with pytest.raises(ValueError, match="did you mean 'genus'"):
        LabelTable(pa.table({"genus": [1]})).check_column("gennus")
    with pytest.raises(ValueError, match="parent of task 'y' must be another task"):
        LabelTable.from_columns({"y": [0]}, [Task("y", classes=ABC, parent="z")])
    circle = [Task("a", classes=ABC, parent="b"), Task("b", classes=ABC, parent="a")]
    with pytest.raises(ValueError, match="own ancestors: a -> b -> a"):
        LabelTable.from_columns({"a": [0], "b": [0]}, circle)
    with pytest.raises(ValueError, match="got -2 at row 0"):
        table([0]).with_labels("y", np.array([-2]))
    with pytest.raises(ValueError, match="one integer a row"):
        table([0]).with_labels("y", np.array([0.0]))
    with pytest.raises(ValueError, match="got 'z'"):
        table([0]).task("z")


def test_a_split_can_be_set_and_replaced():
    whole = table([0, 1, 2]).with_split(np.array(["train", "test", "train"]))
    assert whole.rows("train").tolist() == [0, 2]
    assert "split" not in whole.feature_names
    assert whole.with_split(np.array(["test"] * 3)).rows("test").tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="'dev'"):
        whole.with_split(np.array(["train", "dev", "train"]))
    with pytest.raises(ValueError, match=r"got \[2\]"):
        whole.with_split(np.array(["train", "test"]))
    taken = table([0], split=["mine"]).with_split(np.array(["train"]))
    assert taken.data["split"].to_pylist() == ["mine"]


def test_a_table_says_what_it_is_in_one_line():
    assert repr(table([0, 1])) == "LabelTable(table: 2 rows; y (3 classes); 1 feature columns)"


def test_to_pandas_keeps_all_columns():
    assert isinstance(table([0, -1]).to_pandas(), pd.DataFrame)
    assert table([0, -1]).to_pandas()["y"].isna().tolist() == [False, True]
