import numpy as np
import pytest

from labelwise.review.suggestions import Predictions, find_classes, likeliest

BIRDS = ("Parus major", "Cyanistes caeruleus", "Turdus merula", "Turdus philomelos", "Major Tom", "turdus")
GENERA = {"Parus major": "Parus", "Turdus merula": "Turdus", "Turdus philomelos": "Turdus", "Major Tom": "Tits"}


def test_what_begins_as_typed_comes_before_what_holds_it():
    assert find_classes(BIRDS, "major") == ["Major Tom", "Parus major"]
    assert find_classes(BIRDS, "TURDUS") == ["turdus", "Turdus merula", "Turdus philomelos"]
    assert find_classes(BIRDS, "aer") == ["Cyanistes caeruleus"]


def test_words_may_come_in_any_order_and_all_must_be_there():
    assert find_classes(BIRDS, " merula  tur ") == ["Turdus merula"]
    assert find_classes(BIRDS, "merula parus") == []


def test_the_likelier_comes_first_among_equals_and_for_no_word():
    chances = np.array([0.1, 0.2, 0.3, 0.4])  # two classes were made since
    assert find_classes(BIRDS, "turdus ", probabilities=chances)[1:] == ["Turdus philomelos", "Turdus merula"]
    assert find_classes(BIRDS, "", probabilities=chances, limit=2) == ["Turdus philomelos", "Turdus merula"]


def test_the_parent_narrows_and_its_name_finds_its_classes():
    assert find_classes(BIRDS, "", under="Turdus", above=GENERA) == ["Turdus merula", "Turdus philomelos"]
    assert find_classes(BIRDS, "tits", above=GENERA) == ["Major Tom"]
    assert find_classes(BIRDS, "tits tom", above=GENERA) == ["Major Tom"]
    assert find_classes(BIRDS, "parus", above=GENERA) == ["Parus major"]


def test_the_likeliest_classes_come_with_their_mean_over_the_models(tmp_path):
    (tmp_path / "probabilities").mkdir()
    two = np.array([[[0.9, 0.1, 0.0]], [[0.3, 0.3, 0.4]]], np.float32)
    np.save(tmp_path / "probabilities" / "bird.npy", two)
    known = Predictions(tmp_path, {"bird": ("a", "b", "c"), "never modelled": ("x",)})
    assert likeliest("abc", known.of(0, "bird"), 2) == [("a", pytest.approx(0.6)), ("b", pytest.approx(0.2))]
    assert known.of(0, "never modelled") is None
    assert likeliest("x", None) == []


def test_probabilities_of_other_classes_and_damaged_ones_are_refused(tmp_path):
    (tmp_path / "probabilities").mkdir()
    path = tmp_path / "probabilities" / "bird.npy"
    np.save(path, np.zeros((1, 4, 3)))
    with pytest.raises(ValueError, match=r"bird\.npy should be \[models, n, 2\]; got \[1, 4, 3\]"):
        Predictions(tmp_path, {"bird": ("a", "b")})
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"not a whole \.npy file"):
        Predictions(tmp_path, {"bird": ("a", "b")})
