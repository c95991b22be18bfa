import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import labelwise
from labelwise.estimators import Classifier, Regressor


@parametrize_with_checks(
    [Classifier(max_epochs=30), Regressor(max_epochs=30)],
    expected_failed_checks=lambda estimator: {
        "check_classifiers_classes": "has a class called -1, which means unlabelled here"
    },
)
def test_scikit_learn_agrees(estimator, check):
    check(estimator)


def test_digits_are_read():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    # Sums in another order, as other numbers of threads give, change it by a percent.
    assert Classifier(max_epochs=30).fit(X, y).score(X_test, y_test) > 0.9


@pytest.mark.parametrize("method", ["cross-entropy", "dselect-k"])
@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_small_tables_are_learned_as_they_come(load, method):
    X, y = load(return_X_y=True)
    assert cross_val_score(Classifier(method), X, y, cv=3).mean() > 0.9


def test_several_tasks_with_gaps_and_names():
    X, species = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[species]
    large = np.where(X[:, 2] > 4.3, "large", "small").astype(object)
    gaps = names.copy()
    gaps[::4] = None
    y = np.stack([gaps, large], axis=1)
    model = Classifier("cross-entropy").fit(X, y)
    assert [list(classes) for classes in model.classes_] == [["setosa", "versicolor", "virginica"], ["large", "small"]]
    assert model.predict(X).shape == (150, 2)
    species_chances, size_chances = model.predict_proba(X)
    assert species_chances.shape == (150, 3)
    np.testing.assert_allclose(size_chances.sum(1), 1)
    assert model.score(X, np.stack([names, large], axis=1)) > 0.9
    frame = pd.DataFrame(y, columns=["species", "size"])
    again = Classifier("cross-entropy").fit(pd.DataFrame(X), frame)
    np.testing.assert_array_equal(again.predict_proba(pd.DataFrame(X))[0], species_chances)


@pytest.mark.parametrize("method", ["cross-entropy", "c-mixup"])
def test_numbers_of_several_tasks_with_gaps(method):
    X, _ = load_iris(return_X_y=True)
    y = np.stack([100 * X[:, 2] + X[:, 0], X[:, 1] - X[:, 3]], axis=1)
    gaps = y.copy()
    gaps[::4, 0] = gaps[1::5, 1] = np.nan
    model = Regressor(method, max_epochs=40).fit(X, gaps)
    assert model.predict(X).shape == (150, 2)
    assert model.score(X, y) > 0.85
    assert model.score(X, gaps) == pytest.approx(model.score(X, y), abs=0.05)
    one = Regressor(method, max_epochs=40).fit(pd.DataFrame(X), pd.Series(y[:, 0]))
    assert one.predict(pd.DataFrame(X)).shape == (150,)
    with pytest.raises(ValueError, match="those of task 1 are all missing"):
        Regressor(method).fit(X, np.stack([y[:, 0], np.full(150, np.nan)], axis=1))
    with pytest.raises(ValueError, match="learns tasks of kind 'single'; 'task 0' is of kind 'real'"):
        Regressor("rank-mixup").fit(X, y)


def test_unlabelled_rows_change_nothing():
    X, y = load_wine(return_X_y=True)
    more = np.concatenate([X, X[:40]])
    marked = np.concatenate([y, np.full(40, -1)])
    model, wider = Classifier(max_epochs=8).fit(X, y), Classifier(max_epochs=8)
    wider.fit(more, marked)
    assert list(wider.classes_) == [0, 1, 2]
    assert wider.score(more, marked) == wider.score(X, y)
    assert len(model.history_) == len(wider.history_) == 8


@pytest.mark.parametrize("as_array", [list, np.array], ids=["a list", "an array of text"])
def test_minus_one_among_names_is_unlabelled(as_array):
    X, y = load_wine(return_X_y=True)
    names = as_array(["abc"[code] if row % 7 else -1 for row, code in enumerate(y)])
    gaps = np.array([None if name in (-1, "-1") else name for name in names], dtype=object)
    model, other = Classifier("cross-entropy", max_epochs=3), Classifier("cross-entropy", max_epochs=3)
    chances = model.fit(X, names).predict_proba(X)
    assert list(model.classes_) == ["a", "b", "c"]
    np.testing.assert_array_equal(chances, other.fit(X, gaps).predict_proba(X))
    assert model.score(X, names) == other.score(X, gaps)


def test_pictures_are_taken():
    images = load_digits().images[:300, None]
    y = load_digits().target[:300]
    model = Classifier("cross-entropy", max_epochs=15).fit(images, y)
    assert model.predict_proba(images).shape == (300, 10)
    assert model.score(images, y) > 0.9
    with pytest.raises(ValueError, match=r"X must be \['n', 1, 8, 8\], as it was in fit; got \[300, 1, 8, 7\]"):
        model.predict(images[..., :7])
    with pytest.raises(ValueError, match=r"\[n, d\] or \[n, channels, height, width\]"):
        Classifier().fit(images[:, 0], y)


def test_equal_fits_are_equal_also_after_cloning_and_pickling():
    X, y = load_iris(return_X_y=True)
    model = Classifier(max_epochs=5, seed=3, options={"k": 1}).fit(X, y)
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), expected)
    assert not np.array_equal(clone(model).set_params(seed=4).fit(X, y).predict_proba(X), expected)


def test_in_pipelines_and_searches():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), Classifier("cross-entropy", max_epochs=3))
    search = GridSearchCV(
        pipeline, {"classifier__max_epochs": [1, 20], "classifier__options": [{"learning_rate": 1e-2}]}, cv=2
    )
    assert search.fit(X, y).best_params_["classifier__max_epochs"] == 20


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "dselectk"}, "did you mean 'dselect-k'"),
        ({"options": {"kk": 2}}, "no option 'kk'; did you mean 'k'"),
        ({"options": {"epochs": 2}}, "said by max_epochs; leave 'epochs' out of options"),
        ({"max_epochs": 0}, "epochs must be at least 1"),
        ({"max_epochs": 2.5}, "'epochs' must be int"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\)"),
    ],
)
def test_parameters_are_checked_in_fit(parameters, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        Classifier(**parameters).fit(X, y)


def test_labels_are_checked():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="at least 2 classes"):
        Classifier().fit(X, np.where(y == 0, 0, -1))
    with pytest.raises(ValueError, match="with n = 150"):
        Classifier().fit(X, y[:100])
    with pytest.raises(ValueError, match="continuous"):
        Classifier().fit(X, X[:, 0])


def test_it_is_what_the_package_offers():
    assert labelwise.Classifier is Classifier
