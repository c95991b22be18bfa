import warnings

import numpy as np
import pandas as pd
import pytest

from labelwise.audit.probabilities import (
    given_features,
    given_probabilities,
    rescaled,
    warn_if_in_another_order,
    warn_if_in_sample,
)
from labelwise.labels import LabelTable, Task

TABLE = LabelTable.from_columns({"y": [0, 1, 2, 0]}, [Task("y", "single", ("a", "b", "c"))], source="some.csv")
GOOD = np.array([[0.5, 0.3, 0.2], [0, 1, 0], [0.2, 0.2, 0.6], [0.9, 0.1, 0]])


def changed(row, value):
    bad = GOOD.copy()
    bad[row] = value
    return bad


def test_arrays_and_files_of_every_form_are_taken(tmp_path):
    np.save(tmp_path / "p.npy", GOOD)
    pd.DataFrame(GOOD, columns=["x", "y", "z"]).to_parquet(tmp_path / "by_order.parquet")
    pd.DataFrame(GOOD[:, [2, 0, 1]], columns=["c", "a", "b"]).assign(id="i").to_parquet(tmp_path / "by_name.parquet")
    forms = [GOOD, GOOD.tolist(), {"y": GOOD}, str(tmp_path / "p.npy")]
    forms += [tmp_path / name for name in ("p.npy", "by_order.parquet", "by_name.parquet")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for form in forms:
            np.testing.assert_array_equal(given_probabilities(TABLE, form)["y"], GOOD[None])
        assert given_probabilities(TABLE, np.stack([GOOD, GOOD]))["y"].shape == (2, 4, 3)
        for array in (GOOD.astype(np.float32), np.load(tmp_path / "p.npy", mmap_mode="r")):
            assert np.shares_memory(given_probabilities(TABLE, array)["y"], array)


def test_rows_that_nearly_sum_to_one_are_rescaled_with_a_warning():
    off = GOOD * 1.0009
    with pytest.warns(UserWarning, match=r"4 rows of probabilities do not quite sum to 1 \(off by at most 0.0009\)"):
        given = given_probabilities(TABLE, off)["y"]
    assert np.shares_memory(given, off)
    np.testing.assert_allclose(np.concatenate(list(rescaled(given))), GOOD)


def test_only_rows_that_are_off_are_rescaled_block_by_block():
    generator = np.random.default_rng(0)
    probs = generator.dirichlet(np.ones(40), (2, 120_000)).astype(np.float32)
    probs[1, 110_000] *= 1.0005
    slabs = list(rescaled(probs))
    assert len(slabs) == 4
    whole = np.concatenate(slabs).reshape(probs.shape)
    np.testing.assert_allclose(whole[1, 110_000].sum(), 1, rtol=1e-6)
    whole[1, 110_000] = probs[1, 110_000]
    np.testing.assert_array_equal(whole, probs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GOOD[:3], "row for each of the 4 rows of some.csv; got 3 x 3 numbers"),
        (GOOD[:, :2], r"column for each of the 3 classes of 'y' \(a, b, c\); got 2 columns"),
        (GOOD[0], r"must be \[n, classes\] or \[models, n, classes\]; got 3 numbers"),
        (changed(2, [0.2, 0.2, 0.7]), r"sum to 1 .*; row 2 holds \[0.2, 0.2, 0.7\], sum 1.1"),
        (changed(1, [0, 1.002, 0]), "row 1 holds .* sum 1.002"),
        (changed(1, [-0.5, 1, 0.5]), r"numbers of at least 0; row 1 holds \[-0.5, 1, 0.5\]"),
        (changed([1, 3], [np.nan, 1, 0]), r"row 1 holds \[nan, 1, 0\].*2 rows are so"),
        (changed(3, [np.inf, 0, 0]), "row 3 holds"),
        (np.array([["a", "b", "c"]] * 4), "must hold numbers"),
        ({"z": GOOD}, "name one of the tasks y; got 'z'"),
        ("nowhere.npy", "there is no file nowhere.npy"),
    ],
)
def test_unfit_probabilities_are_refused(given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        given_probabilities(TABLE, given)


def test_unfit_files_are_refused_by_name(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    (tmp_path / "p.csv").write_text("1,2")
    pd.DataFrame({"a": ["x"] * 4, "b": 0.5, "c": 0.5}).to_parquet(tmp_path / "words.parquet")
    for name, message in (
        ("objects.npy", r"objects\.npy is not a whole \.npy file of numbers"),
        ("broken.npy", r"broken\.npy is not a whole"),
        ("broken.parquet", r"broken\.parquet is not a Parquet file"),
        ("p.csv", r"p\.csv should end in \.npy or \.parquet"),
        ("words.parquet", r"words\.parquet must hold one column of numbers a class; 'a'"),
    ):
        with pytest.raises(ValueError, match=message):
            given_probabilities(TABLE, tmp_path / name)


def test_several_tasks_need_names():
    two = LabelTable.from_columns({"y": [0, 1], "z": [0, 1]}, [Task(n, "single", ("a", "b")) for n in "yz"])
    with pytest.raises(ValueError, match="has the tasks y, z; probabilities are of one of them"):
        given_probabilities(two, GOOD)
    numbers = LabelTable.from_columns({"y": [0.5, 1.0]}, [Task("y", "real")])
    with pytest.raises(ValueError, match="'y' is of kind 'real'"):
        given_probabilities(numbers, {"y": GOOD})


def test_features_are_checked(tmp_path):
    np.save(tmp_path / "e.npy", GOOD)
    assert given_features(TABLE, tmp_path / "e.npy").dtype == np.float32
    with pytest.raises(ValueError, match=r"n = 4 rows, as some.csv has; got 3 x 3 numbers"):
        given_features(TABLE, GOOD[:3])
    with pytest.raises(ValueError, match="embeddings must be finite; row 2 holds nan or infinity"):
        given_features(TABLE, changed(2, np.nan))
    pd.DataFrame(GOOD).rename(columns=str).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(ValueError, match=r"should end in \.npy$"):
        given_features(TABLE, tmp_path / "e.parquet")


def test_in_sample_probabilities_are_suspected():
    labels = np.arange(300) % 3
    perfect = np.eye(3)[labels] * 0.997 + 0.001
    with pytest.warns(UserWarning, match="look in-sample"):
        assert "'y' agree with 100.00% of the labels" in warn_if_in_sample("y", labels, perfect)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_if_in_sample("y", labels[:100], perfect[:100]) is None
        assert warn_if_in_sample("y", labels, perfect * 0.9 + 0.1 / 3) is None
        assert warn_if_in_sample("y", np.where(np.arange(300) < 3, 0, labels), perfect) is None


def test_columns_in_another_order_are_told():
    task, generator = Task("y", "single", tuple("abcde")), np.random.default_rng(0)
    labels = np.where(generator.random(400) < 0.8, generator.integers(0, 5, 400), 0)
    probs = 0.7 * np.eye(5)[np.where(generator.random(400) < 0.2, generator.integers(0, 5, 400), labels)] + 0.06
    told = r"'y' agree with 3\d% of the labels, and with 8\d% if .* of the classes \(a, b, c, d, e\)"
    with pytest.warns(UserWarning, match=told):
        assert warn_if_in_another_order(task, labels, probs[:, [0, 2, 3, 4, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_if_in_another_order(task, labels, probs) is None
        assert warn_if_in_another_order(task, labels, generator.dirichlet(np.ones(5), 400)) is None
        assert warn_if_in_another_order(task, labels[:90], probs[:90, [0, 2, 3, 4, 1]]) is None
