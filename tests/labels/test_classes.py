import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.labels.classes import sort_classes, to_classes


def classes(values, **given):
    names, order = to_classes(pa.array(values, from_pandas=True), "y", "birds.csv", **given)
    return names.to_pylist(), order


@pytest.mark.parametrize(
    ("values", "names", "order"),
    [
        ([10, 9, -1, 10], ["10", "9", None, "10"], ("9", "10")),
        ([1.0, 2.0, np.nan, -1.0], ["1", "2", None, None], ("1", "2")),
        (["b", "a", "", None], ["b", "a", None, None], ("a", "b")),
        (["10", "9", "-1", "nan"], ["10", "9", None, None], ("9", "10")),
        (["a", "-1", "a"], ["a", "-1", "a"], ("-1", "a")),
        ([True, False, None], ["true", "false", None], ("false", "true")),
        (["été", "日本", "été"], ["été", "日本", "été"], ("été", "日本")),
        (np.array([3, 200], np.uint8), ["3", "200"], ("3", "200")),
    ],
)
def test_what_a_class_is(values, names, order):
    assert classes(values) == (names, order)


@given(st.lists(st.integers(0, 15), min_size=2).filter(lambda codes: len(set(codes)) > 1))
@pytest.mark.filterwarnings("ignore:.*most of them once")
def test_whole_numbers_are_the_same_classes_in_every_form(codes):
    first = classes(codes)
    assert classes([float(code) for code in codes]) == first
    assert classes([str(code) for code in codes]) == first
    assert classes(pa.array([str(code) for code in codes]).dictionary_encode()) == first
    assert list(first[1]) == [str(code) for code in sorted(set(codes))]


def test_white_space_is_dropped_with_one_warning():
    with pytest.warns(UserWarning, match="around 2 labels was dropped.*birds.csv, column y") as warned:
        assert classes([" a", "a", "b\t", "b"])[1] == ("a", "b")
    assert len(warned) == 1


def test_doubtful_names_are_told_of():
    with pytest.warns(UserWarning, match="2 labels are 'NA' and taken as a class"):
        assert classes(["NA", "DE", "NA"])[1] == ("DE", "NA")


def test_names_of_the_source_give_the_order_and_empty_classes():
    assert classes([1, 0, -1], names=("z", "a", "m")) == (["a", "z", None], ("z", "a", "m"))
    assert classes(["a", "z"], names=("z", "a", "m"))[1] == ("z", "a", "m")


@pytest.mark.parametrize(
    ("values", "given", "words"),
    [
        ([0.5, 1.0], {}, "real number 0.5 at row 0"),
        ([1.0, np.inf], {}, "inf at row 1"),
        (list(range(21)), {}, "all 21 labels differ.*id column"),
        ([f"bird-{i}" for i in range(30)], {}, "all 30 labels differ"),
        (["a", "a", None], {}, "all 2 labels are 'a'"),
        ([None, None], {}, "every label is missing"),
        (["", "nan"], {}, "every label is missing"),
        ([["a"], ["b"]], {}, "one class name or number a row"),
        ([0, 3], {"names": ("a", "b")}, r"in \[0, 2\).*got 3 at row 1"),
        (["a", "x"], {"names": ("a", "b")}, "one of the 2 classes.*'x' at row 1"),
    ],
)
def test_what_cannot_be_a_label_is_refused_with_the_place(values, given, words):
    with pytest.raises(ValueError, match=words) as refusal:
        classes(values, **given)
    assert "birds.csv, column y" in str(refusal.value)


def test_a_single_class_is_one_if_the_source_names_it():
    assert classes(["a", "a", None], names=("a",))[1] == ("a",)
    assert classes(["a", "a"], names=("a", "b"))[1] == ("a", "b")


def test_few_different_labels_are_no_identifier():
    assert len(classes(list(range(20)))[1]) == 20


def test_many_classes_of_one_row_are_told_of():
    with pytest.warns(UserWarning, match="most of them once"):
        classes([*range(20), 0, 1])


@given(st.lists(st.text(), unique=True))
def test_order_does_not_depend_on_the_order_of_rows(names):
    assert sort_classes(names) == sort_classes(names[::-1])
