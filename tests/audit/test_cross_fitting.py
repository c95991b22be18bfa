import json
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from labelwise import labels
from labelwise.audit import cross_fit, default_models
from labelwise.audit.cross_fitting import _fit_part
from labelwise.labels import LabelTable, Task, bundled


class Memory(BaseEstimator):
    """Knows the class of what it was shown, by the first feature, and nothing of anything else."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = set(X.reshape(len(X), -1)[:, 0].tolist())
        return self

    def predict_proba(self, X):
        known = np.array([value in self.seen_ for value in X.reshape(len(X), -1)[:, 0]])
        probabilities = np.full((len(X), len(self.classes_)), 1 / len(self.classes_))
        probabilities[known] = -1  # nothing that was learned from may be asked about
        return probabilities


class Counter:
    """No scikit-learn object at all: class shares, without `classes_` and `get_params`."""

    def fit(self, X, y):
        self.shares = np.bincount(y)[np.unique(y)] / len(y)

    def predict_proba(self, X):
        assert X.ndim == 4
        return np.tile(self.shares, (len(X), 1))


def make(codes, classes=None, group=None, n_features=3, seed=0):
    codes = np.asarray(codes)
    names = tuple(map(str, range(classes or codes.max() + 1)))
    generator = np.random.default_rng(seed)
    columns = {f"x{i}": generator.standard_normal(len(codes)) + codes for i in range(n_features)}
    roles = {}
    if group is not None:
        columns["group"], roles["group"] = group, "group"
    features = np.stack([columns[f"x{i}"] for i in range(n_features)], axis=1).astype(np.float32)
    return LabelTable.from_columns(columns | {"y": codes}, [Task("y", "single", names)], **roles), features


def test_every_row_is_out_of_sample():
    table, features = make(np.arange(90) % 3)
    features[:, 0] = np.arange(90)
    probabilities = cross_fit(table, Memory(), folds=5, repeats=3, features=features, jobs=1, quiet=True)
    assert probabilities.shape == (3, 90, 3)
    assert probabilities.dtype == np.float32
    assert probabilities.min() > 0


def test_groups_are_never_split():
    group = np.repeat(np.arange(12), 5)
    table, features = make(np.arange(60) % 3, group=group)
    features[:, 0] = group
    assert cross_fit(table, Memory(), folds=4, repeats=2, features=features, jobs=1, quiet=True).min() > 0


def test_absent_classes_have_probability_zero_and_missing_labels_are_predicted():
    codes = np.arange(60) % 3
    codes[0], codes[1:4] = 3, -1  # one row of class 3, none of class 4
    table, features = make(codes, classes=5)
    probabilities = cross_fit(table, LogisticRegression(), folds=5, features=features, jobs=1, quiet=True)[0]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert probabilities[0, 3] == 0
    assert not probabilities[:, 4].any()
    assert (probabilities[1:4] > 0).any(axis=1).all()
    fold_of = labels.folds(table, "y", 5, 0)
    np.testing.assert_array_equal(probabilities[:, 3] == 0, fold_of == fold_of[0])


def test_a_missing_label_teaches_nothing():
    codes = np.arange(60) % 3
    codes[::7] = -1
    table, features = make(codes)
    changed = features.copy()
    changed[0] += 100
    one, other = (cross_fit(table, LogisticRegression(), features=f, jobs=1, quiet=True) for f in (features, changed))
    np.testing.assert_array_equal(one[0, 1:], other[0, 1:])


def test_models_come_in_order_each_with_its_repeats_and_see_features_as_they_are():
    table, features = make(np.arange(40) % 2)
    models = {"tree": DecisionTreeClassifier(), "counter": Counter()}
    pictures = features.reshape(40, 1, 1, 3)
    with pytest.raises(ValueError, match="model 'tree' failed on fold 0: ValueError: Found array with dim 4"):
        cross_fit(table, models, folds=2, features=pictures, jobs=1, quiet=True)
    alone = cross_fit(table, Counter(), folds=4, repeats=2, features=pictures, jobs=1, quiet=True)
    np.testing.assert_allclose(alone, 0.5, atol=0.02)
    default = cross_fit(table, features=pictures, folds=4, repeats=2, jobs=1, quiet=True)
    assert default.shape == (6, 40, 2)
    names = list(default_models())
    for at, name in enumerate(names):
        one = cross_fit(
            table, {name: default_models()[name]}, features=pictures, folds=4, repeats=2, jobs=1, quiet=True
        )
        np.testing.assert_array_equal(default[2 * at : 2 * at + 2], one)


def test_repeats_differ_and_seeds_decide():
    table, features = make(np.arange(60) % 3)
    tree = DecisionTreeClassifier(splitter="random")
    first = cross_fit(table, tree, folds=3, repeats=2, features=features, jobs=1, quiet=True)
    assert (first[0] != first[1]).any()
    again = cross_fit(table, tree, folds=3, repeats=2, features=features, jobs=1, quiet=True)
    np.testing.assert_array_equal(first, again)
    other = cross_fit(table, tree, folds=3, repeats=2, features=features, jobs=1, seed=5, quiet=True)
    assert (first != other).any()
    assert tree.random_state is None


def test_processes_and_the_file_give_the_same_bytes(tmp_path):
    table, features = make(np.arange(80) % 4, n_features=8)
    settings = {"folds": 4, "features": features, "quiet": True}
    here = cross_fit(table, jobs=1, **settings)
    there = cross_fit(table, jobs=2, store=tmp_path / "deep" / "y.npy", **settings)
    np.testing.assert_array_equal(here, there)
    assert isinstance(there, np.memmap)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["y.npy", "y.npy.json"]
    record = json.loads((tmp_path / "deep" / "y.npy.json").read_text())
    assert record["models"] == list(default_models())
    assert record["shape"] == [3, 80, 4]


def test_slabs_put_parts_together_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("labelwise.audit.arrays._NUMBERS", 28)
    table, features = make(np.arange(83) % 4)
    model = DecisionTreeClassifier(random_state=0)
    blocks = cross_fit(table, model, folds=5, features=features, jobs=1, store=tmp_path / "y.npy", quiet=True)
    monkeypatch.undo()
    np.testing.assert_array_equal(blocks, cross_fit(table, model, folds=5, features=features, jobs=1, quiet=True))


class Interrupted(DecisionTreeClassifier):
    """A tree that fails where the file `stop` is not there, and counts its fits in the file `count`."""

    def __init__(self, stop="", random_state=None):
        super().__init__(random_state=random_state)
        self.stop = stop

    def fit(self, X, y):
        from pathlib import Path

        count = Path(self.stop).with_name("count")
        done = int(count.read_text()) if count.exists() else 0
        if done == 3 and not Path(self.stop).exists():
            raise KeyboardInterrupt
        count.write_text(str(done + 1))
        return super().fit(X, y)


def test_finished_parts_are_not_computed_again_and_stale_ones_not_used(tmp_path):
    table, features = make(np.arange(60) % 3)
    model, store = Interrupted(str(tmp_path / "go")), tmp_path / "y.npy"
    settings = {"folds": 5, "features": features, "jobs": 1, "quiet": True}
    with pytest.raises(KeyboardInterrupt):
        cross_fit(table, model, store=store, **settings)
    assert len(list((tmp_path / "y.npy.parts").glob("*.npy"))) == 3
    (tmp_path / "go").touch()
    whole = cross_fit(table, model, store=store, **settings)
    assert (tmp_path / "count").read_text() == "5"
    assert not (tmp_path / "y.npy.parts").exists()
    np.testing.assert_array_equal(whole, cross_fit(table, model, **settings))

    cross_fit(table, model, store=store, **settings)
    assert (tmp_path / "count").read_text() == "10"  # five for the comparison, none for the call that finds the file
    other = table.with_labels("y", (np.arange(60) + 1) % 3)
    changed = cross_fit(other, model, store=store, **settings)
    assert (tmp_path / "count").read_text() == "15"
    assert (np.asarray(changed) != whole).any()


def test_a_file_without_its_record_is_made_again(tmp_path):
    table, features = make(np.arange(60) % 3)
    model, store = Interrupted(str(tmp_path / "go")), tmp_path / "y.npy"
    (tmp_path / "go").touch()
    settings = {"folds": 5, "features": features, "jobs": 1, "quiet": True}
    first = np.array(cross_fit(table, model, store=store, **settings))
    (tmp_path / "y.npy.json").unlink()
    np.save(store, np.zeros(3))
    np.testing.assert_array_equal(cross_fit(table, model, store=store, **settings), first)
    np.save(store, np.zeros(3))
    with pytest.raises(ValueError, match=r"y\.npy should be of shape \[1, 60, 3\] and is \[3\]; delete it"):
        cross_fit(table, model, store=store, **settings)


def test_a_fold_that_leaves_one_class_predicts_it():
    part, probabilities = _fit_part(
        [("tree", DecisionTreeClassifier())],
        np.zeros((4, 1)),
        np.array([2, 2, 0, -1]),
        np.array([[0, 0, 1, 1]]),
        3,
        0,
        (0, 0, 1),
    )
    assert part == (0, 0, 1)
    assert probabilities.tolist() == [[0, 0, 1], [0, 0, 1]]


class Nan(Memory):
    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), np.nan)


def test_what_cannot_be_cross_fitted_is_refused():
    table, features = make(np.arange(20) % 2)
    with pytest.raises(ValueError, match="row for each of the 20 examples; got 19"):
        cross_fit(table, features=features[1:], quiet=True)
    with pytest.raises(ValueError, match="repeats must be at least 1; got 0"):
        cross_fit(table, features=features, repeats=0, quiet=True)
    with pytest.raises(ValueError, match="folds must be at least 2; got 1"):
        cross_fit(table, features=features, folds=1, quiet=True)
    with pytest.raises(ValueError, match="'bad' \\(int\\) has not"):
        cross_fit(table, {"bad": 3}, features=features, quiet=True)
    with pytest.raises(ValueError, match="at least one model"):
        cross_fit(table, {}, features=features, quiet=True)
    with pytest.raises(ValueError, match="'Nan' must predict finite probabilities"):
        cross_fit(table, Nan(), features=features, jobs=1, quiet=True)
    one_class, features = make(np.zeros(20, int), classes=2)
    with pytest.raises(ValueError, match="column 'y' of table holds only one class, '0'"):
        cross_fit(one_class, features=features, quiet=True)
    unlabelled, features = make(np.full(20, -1), classes=2)
    with pytest.raises(ValueError, match="column 'y' of table holds no label at all"):
        cross_fit(unlabelled, features=features, quiet=True)
    numbers = LabelTable.from_columns({"x": [1.0, 2.0], "y": [0.1, 0.2]}, [Task("y", "real")])
    with pytest.raises(ValueError, match="'y' is of kind 'real'"):
        cross_fit(numbers, features=np.zeros((2, 1)), quiet=True)


def test_default_models_learn_digits_of_any_shape():
    digits = bundled("digits").select(np.arange(400))
    features = digits.data["picture"].combine_chunks().to_numpy_ndarray().astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = cross_fit(
            digits, task="digit", folds=3, features=np.repeat(features, 5, axis=1)[:, None], jobs=1, quiet=True
        )
    truth = digits.labels("digit")
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, rtol=1e-5)
    assert ((probabilities.argmax(axis=2) == truth).mean(axis=1) > 0.85).all()
