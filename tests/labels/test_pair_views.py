import numpy as np
import pandas as pd

from labelwise.labels import associations, read
from labelwise.labels.pair_views import POINTS, pair_view


def test_two_numbers_are_points_of_rows_that_have_both():
    x, y = pd.Series([1.0, np.nan, 3, np.inf, 5], name="x"), pd.Series([1.0, 2, np.nan, 4, 5], name="y")
    view = pair_view(x, y, "continuous", "discrete")
    assert view == {"form": "points", "a": "x", "b": "y", "x": [1, 5], "y": [1, 5]}
    many = pd.Series(np.arange(2000) / 3, name="x")
    view = pair_view(many, many, "continuous", "continuous")
    assert len(view["x"]) == POINTS
    assert view["x"] == view["y"] == sorted(view["x"])


def test_a_number_spreads_by_category_whichever_comes_first():
    word, number = pd.Series([*list("aabb"), None], name="word"), pd.Series([1.0, 3, 5, np.nan, 9], name="number")
    view = pair_view(number, word, "continuous", "category")
    assert (view["form"], view["a"], view["b"]) == ("ranges", "word", "number")
    assert view["levels"] == [
        {"level": "a", "n": 2, "quantiles": [1, 1.5, 2, 2.5, 3]},
        {"level": "b", "n": 1, "quantiles": [5, 5, 5, 5, 5]},
    ]
    assert pair_view(word, number, "category", "continuous") == view


def test_two_categories_are_counted_as_pandas_counts():
    generator = np.random.default_rng(0)
    a = pd.Series(generator.choice(list("xyz"), 90), name="a")
    b = pd.Series(generator.choice([True, False], 90), name="b")
    view = pair_view(a, b, "category", "boolean")
    table = pd.crosstab(a, b.astype(str)).loc[view["rows"], view["columns"]]
    assert view["counts"] == table.to_numpy().tolist()


def test_the_strongest_pairs_are_viewed():
    views = associations(read("iris"))["views"]
    assert [(view["form"], view["a"], view["b"]) for view in views[:3]] == [
        ("ranges", "species", "petal length (cm)"),
        ("ranges", "species", "petal width (cm)"),
        ("points", "petal length (cm)", "petal width (cm)"),
    ]
    assert len(views) == 6
