import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from labelwise.labels import LabelTable, Task, Transition, bundled, plant

RECIPE = {
    "symmetric": 0.05,
    "pair": 0.04,
    "instance": 0.03,
    "pseudo_class": ("3", 12),
    "spoil": 0.02,
    "open_set": ["8"],
}


@pytest.fixture(scope="module")
def digits():
    return bundled("digits")


@pytest.fixture(scope="module")
def planted(digits):
    return plant(digits, "digit", RECIPE, seed=3)


def test_every_kind_has_its_rate_and_no_row_is_hit_twice(digits, planted):
    _, truth = planted
    own = truth[truth["task"] == "digit"]
    assert own["example"].is_unique
    n = len(digits)
    eights = (digits.labels("digit") == 8).sum()
    assert own["kind"].value_counts().to_dict() == {
        "symmetric": round(0.05 * n),
        "pair": round(0.04 * n),
        "instance": round(0.03 * n),
        "spoiled": round(0.02 * n),
        "pseudo_class": 12,
        "open_set": eights,
    }


def test_the_truth_tells_of_every_difference_and_of_no_other(digits, planted):
    noisy, truth = planted
    for name in ("digit", "holes"):
        own = truth[truth["task"] == name].set_index("example")
        clean, given = (np.array(table.data[name].to_pylist()) for table in (digits, noisy))
        changed = np.flatnonzero(clean != given)
        spoiled = own.index[own["kind"] == "spoiled"]
        assert sorted(own.index) == sorted({*changed, *spoiled})
        assert (own.loc[changed, "clean"] == clean[changed]).all()
        assert (own["given"] == given[own.index]).all()
        assert own.loc[spoiled, "clean"].isna().all()
    before, after = (table.data["picture"].combine_chunks().to_numpy_ndarray() for table in (digits, noisy))
    assert sorted(spoiled) == np.flatnonzero((before != after).any(axis=(1, 2))).tolist()
    assert truth["example"].is_monotonic_increasing


def test_classes_taken_away_and_invented(digits, planted):
    noisy, truth = planted
    assert noisy.task("digit").classes == ("0", "1", "2", "3", "4", "5", "6", "7", "9", "3?")
    kinds = truth[truth["task"] == "digit"].groupby("kind")
    assert set(kinds.get_group("open_set")["clean"]) == {"8"}
    pseudo = kinds.get_group("pseudo_class")
    assert (set(pseudo["clean"]), set(pseudo["given"])) == ({"3"}, {"3?"})
    for kind in ("symmetric", "pair", "instance"):
        assert not set(kinds.get_group(kind)["clean"]) & {"8", "3?"}
        assert not set(kinds.get_group(kind)["given"]) & {"8", "3?"}


def test_a_flipped_digit_carries_its_holes_along(digits, planted):
    holes = dict(zip(digits.data["digit"].to_pylist(), digits.data["holes"].to_pylist(), strict=True))
    noisy, truth = planted
    flipped = truth[(truth["task"] == "digit") & truth["kind"].isin(["symmetric", "pair", "instance"])]
    given = np.array(noisy.data["holes"].to_pylist())[flipped["example"]]
    assert given.tolist() == [holes[digit] for digit in flipped["given"]]
    alone, truth = plant(digits, "digit", {"symmetric": 0.1}, carry=False)
    assert alone.data["holes"].equals(digits.data["holes"])
    assert set(truth["task"]) == {"digit"}


def test_the_seed_decides_and_the_input_stays(digits):
    print_before = digits.fingerprint(digits.data.column_names)
    first, truth = plant(digits, None, RECIPE, seed=1)
    again, same = plant(digits, None, RECIPE, seed=1)
    other, _ = plant(digits, None, RECIPE, seed=2)
    assert first.data.equals(again.data)
    assert truth.equals(same)
    assert not first.data.equals(other.data)
    assert digits.fingerprint(digits.data.column_names) == print_before
    nothing, truth = plant(digits, None, {})
    assert nothing.data.equals(digits.data)
    assert len(truth) == 0


def test_only_the_rows_asked_for_are_hit(digits):
    rows = np.arange(len(digits)) % 2 == 0
    _, truth = plant(digits, "digit", {"symmetric": 0.1, "pseudo_class": 9, "spoil": 0.1}, rows=rows)
    assert rows[truth["example"]].all()
    own = truth[truth["task"] == "digit"]["kind"].value_counts()
    assert own.to_dict() == {
        "symmetric": round(0.1 * rows.sum()),
        "spoiled": round(0.1 * rows.sum()),
        "pseudo_class": 9,
    }


def test_flows_as_given(digits):
    _, truth = plant(digits, "digit", {"pair": 0.02}, flows={"4": "9", "9": "4"})
    own = truth[truth["task"] == "digit"]
    assert set(zip(own["clean"], own["given"], strict=True)) == {("4", "9"), ("9", "4")}


def test_missing_labels_stay_missing(digits):
    codes = digits.labels("digit").copy()
    codes[::3] = -1
    noisy, truth = plant(digits.with_labels("digit", codes), "digit", {"symmetric": 0.5, "spoil": 0.1})
    assert (noisy.labels("digit")[::3] == -1).all()
    assert (truth["example"] % 3 != 0).all()


def test_encoded_images_are_spoiled_and_compared():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    files = []
    for label in labels:
        file = io.BytesIO()
        picture = generator.integers(0, 60, (20, 20, 3)) + np.array([0, 90, 150])[label]
        Image.fromarray(picture.astype(np.uint8)).save(file, "JPEG")
        files.append(file.getvalue())
    files[5] = b"broken"
    table = LabelTable.from_columns(
        {"shot": files, "y": labels},
        [Task("y", classes=tuple("abc"))],
        media=("shot", "image"),
        unreadable={5: "broken"},
    )
    noisy, truth = plant(table, "y", {"spoil": 0.5, "pair": 0.2})
    own = truth.set_index("example")["kind"]
    changed = [i for i, (a, b) in enumerate(zip(files, noisy.data["shot"].to_pylist(), strict=True)) if a != b]
    assert changed == own.index[own == "spoiled"].tolist()
    assert 5 not in changed
    for row in changed:
        Image.open(io.BytesIO(noisy.data["shot"][row].as_py())).load()
    flips = truth[truth["kind"] == "pair"]
    assert set(zip(flips["clean"], flips["given"], strict=True)) <= {("a", "b"), ("b", "c"), ("c", "b")}


def test_numbers_are_features_too():
    noisy, truth = plant(bundled("wine"), None, {"instance": 0.2})
    assert set(truth["kind"]) == {"instance"}
    assert noisy.features.equals(bundled("wine").features)


@pytest.mark.parametrize(
    ("name", "recipe", "words"),
    [
        ("digits", {"symetric": 0.1}, "may hold symmetric, .*got 'symetric'"),
        ("digits", {"symmetric": 2}, r"in \[0, 1\]; got 2"),
        ("digits", {"open_set": "x"}, "'x' is not a class of 'digit'"),
        ("digits", {"pseudo_class": ("3", 5000)}, "5000 rows were to be changed"),
        ("digits", {"pseudo_class": 5000}, "no class of 'digit' has more than 5000 rows"),
        ("digits", {"symmetric": 0.7, "spoil": 0.7}, "plant less noise"),
        ("wine", {"spoil": 0.1}, "no images to spoil"),
    ],
)
def test_recipes_that_cannot_be(name, recipe, words):
    with pytest.raises(ValueError, match=words):
        plant(bundled(name), None, recipe)


def test_what_has_no_features_cannot_have_noise_that_depends_on_them():
    table = LabelTable.from_columns({"y": [0, 1] * 10}, [Task("y", classes=("a", "b"))])
    with pytest.raises(ValueError, match="for noise to depend on"):
        plant(table, "y", {"instance": 0.1})
    noisy, _ = plant(table, "y", {"pair": 0.5})
    assert (noisy.labels() != table.labels()).sum() == 10
    real = LabelTable(pa.table({"y": [1.0, 2.0]}), [Task("y", "real")])
    with pytest.raises(ValueError, match="'y' is 'real'"):
        plant(real, "y", {"symmetric": 0.5})


def test_a_transition_is_drawn_from_and_can_be_measured_again(digits):
    wanted = Transition(0.7 * np.eye(10) + 0.3 * np.roll(np.eye(10), 1, axis=1), tuple("0123456789"))
    noisy, truth = plant(digits, "digit", {"transition": wanted}, carry=False)
    own = truth[truth["task"] == "digit"]
    assert set(own["kind"]) == {"transition"}
    assert len(own) == pytest.approx(0.3 * len(digits), rel=0.15)
    assert (own["given"].astype(int) == (own["clean"].astype(int) + 1) % 10).all()
    both = LabelTable.from_columns(
        {"clean": digits.labels("digit"), "given": noisy.labels("digit")},
        [Task(name, classes=tuple("0123456789")) for name in ("clean", "given")],
    )
    assert np.abs(Transition.measured(both, "clean", "given").matrix - wanted.matrix).max() < 0.15


def test_a_transition_goes_with_other_noise_and_hits_no_row_twice(digits):
    away = Transition(np.full((10, 10), 0.1), tuple("0123456789"))
    noisy, truth = plant(digits, "digit", {"transition": away, "symmetric": 0.2, "open_set": ["8"], "spoil": 0.05})
    own = truth[truth["task"] == "digit"]
    assert own["example"].is_unique
    assert set(own["kind"]) == {"transition", "symmetric", "open_set", "spoiled"}
    assert "8" not in noisy.task("digit").classes
