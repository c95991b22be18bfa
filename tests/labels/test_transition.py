import numpy as np
import pytest

from labelwise.labels import LabelTable, Task, Transition

MATRIX = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7]])


def test_counts_become_rows_and_a_class_without_any_is_never_mistaken():
    found = Transition.from_counts(np.array([[6, 2, 0], [0, 0, 0], [1, 0, 1]]), ("a", "b", "c"))
    np.testing.assert_allclose(found.matrix, [[0.75, 0.25, 0], [0, 1, 0], [0.5, 0, 0.5]])
    np.testing.assert_allclose(found.prior, [0.8, 0, 0.2])
    assert found.noise_rate() == pytest.approx(0.8 * 0.25 + 0.2 * 0.5)


def test_two_label_columns_are_joined_by_class_name():
    clean = Task("clean", classes=("x", "y", "invented"))
    given = Task("given", classes=("y", "x", "new"))
    columns = {"clean": ["x", "x", "y", None, "y", "x"], "given": ["x", "y", "y", "y", None, "x"]}
    found = Transition.measured(LabelTable.from_columns(columns, [clean, given]), "clean", "given")
    assert found.classes == ("y", "x", "new", "invented")
    np.testing.assert_allclose(found.matrix, [[1, 0, 0, 0], [1 / 3, 2 / 3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(ValueError, match=r"name one of the tasks clean, given; got .truth."):
        Transition.measured(LabelTable.from_columns(columns, [clean, given]), "truth", "given")


def test_only_single_labels_can_be_measured():
    table = LabelTable.from_columns({"a": ["x"], "b": [0.5]}, [Task("a", classes=("x",)), Task("b", "real")])
    with pytest.raises(ValueError, match="'b' is not"):
        Transition.measured(table, "a", "b")


def test_other_classes_are_joined_by_name():
    found = Transition(MATRIX, ("a", "b", "c")).for_classes(("c", "new", "a"))
    np.testing.assert_allclose(found.matrix, [[0.7, 0, 0.3], [0, 1, 0], [0.1 / 0.8, 0, 0.7 / 0.8]])
    assert found.prior is None
    lost = Transition(np.array([[0.0, 1.0], [0.0, 1.0]]), ("a", "b")).for_classes(("a",))
    assert lost.matrix.tolist() == [[1.0]]
    turned = Transition(MATRIX, ("a", "b", "c"), np.array([0.5, 0.3, 0.2])).for_classes(("b", "c", "a"))
    np.testing.assert_allclose(turned.prior, [0.3, 0.2, 0.5])
    np.testing.assert_allclose(turned.for_classes(("a", "b", "c")).matrix, MATRIX)


def test_the_posterior_turns_the_transition_round():
    prior = np.array([0.5, 0.3, 0.2])
    found = Transition(MATRIX, ("a", "b", "c"), prior)
    joint = prior[:, None] * MATRIX
    np.testing.assert_allclose(found.posterior(), joint / joint.sum(axis=0))
    never = Transition(np.array([[0.0, 1.0], [0.0, 1.0]]), ("a", "b")).posterior()
    np.testing.assert_allclose(never, [[0, 0.5], [0, 0.5]])
    identity = Transition.identity(("a", "b"))
    assert identity.noise_rate() == 0
    np.testing.assert_allclose(identity.posterior(), np.eye(2))


def test_it_is_written_and_read(tmp_path):
    for prior in (None, np.array([0.5, 0.3, 0.2])):
        Transition(MATRIX, ("a", "b", "é"), prior).write(tmp_path / "transition.json")
        found = Transition.read(tmp_path / "transition.json")
        assert found.classes == ("a", "b", "é")
        np.testing.assert_array_equal(found.matrix, MATRIX)
        assert (found.prior is None) == (prior is None)


@pytest.mark.parametrize(
    "text", ["[1, 2]", "classes: [a]", '{"classes": ["a"]}', '{"classes": ["a"], "matrix": [[0.5]]}', "{}"]
)
def test_a_file_that_is_no_transition_is_named(tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other\.json is no transition"):
        Transition.read(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("matrix", "classes", "prior", "message"),
    [
        (np.eye(2), ("a",), None, r"between 1 classes must be \[true, given\]; got \[2, 2\]"),
        (np.eye(2), ("a", "a"), None, "must differ"),
        ([[0.5, 0.4], [0, 1]], ("a", "b"), None, "row 'a' of a transition must be shares that sum to 1"),
        ([[1, 0], [-0.1, 1.1]], ("a", "b"), None, "row 'b'"),
        ([[np.nan, 1], [0, 1]], ("a", "b"), None, "row 'a'"),
        (np.eye(2), ("a", "b"), [0.5, 0.6], "the prior must be shares"),
        (np.eye(2), ("a", "b"), [1.0], "the prior must have 2 shares"),
    ],
)
def test_what_is_no_transition_is_refused(matrix, classes, prior, message):
    with pytest.raises(ValueError, match=message):
        Transition(np.array(matrix), classes, None if prior is None else np.array(prior))
