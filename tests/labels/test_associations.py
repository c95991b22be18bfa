import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.labels import LabelTable, Task, associations, read
from labelwise.labels.associations import correlation_ratio, cramers_v

TASK = Task("y", classes=("a", "b", "c"))


def made(n: int = 400, seed: int = 0, holes: float = 0.1) -> LabelTable:
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 3, n)
    numbers = pd.Series(generator.normal(size=n) + codes)
    numbers[generator.random(n) < holes] = np.nan
    words = pd.Series(generator.choice(list("uvw"), n)).where(generator.random(n) > holes)
    other = numbers.fillna(0) ** 3 + generator.normal(size=n)
    columns = {"number": numbers.to_numpy(), "other": other.to_numpy(), "word": words.to_numpy(object), "y": codes}
    return LabelTable.from_columns(columns, [TASK])


def named(facts: dict, key: str = "matrix") -> pd.DataFrame:
    names = [column["name"] for column in facts["columns"]]
    return pd.DataFrame(facts[key], names, names, dtype=float)


def test_numbers_are_those_of_pandas():
    table = made()
    facts = associations(table)
    frame = table.to_pandas()[["number", "other"]]
    for key, method in (("matrix", "pearson"), ("spearman", "spearman")):
        found = named(facts, key).loc[["number", "other"], ["number", "other"]]
        assert found.to_numpy() == pytest.approx(frame.corr(method).to_numpy(), abs=1e-4)
    assert named(facts, "both").loc["number", "word"] == table.to_pandas()[["number", "word"]].notna().all(axis=1).sum()
    assert named(facts, "spearman").loc["y", "number"] != named(facts, "spearman").loc["y", "number"]  # nan
    json.dumps(facts, allow_nan=False)


def test_the_order_of_rows_does_not_matter():
    table = made()
    turned = table.select(np.random.default_rng(1).permutation(len(table)))
    one, other = associations(table), associations(turned)
    assert len(one.pop("views")) == len(other.pop("views"))  # these are of samples of rows
    assert one == other


def test_a_column_is_wholly_associated_with_itself():
    matrix = named(associations(made())).to_numpy()
    assert np.diag(matrix)[[0, 1, 2]] == pytest.approx(1)
    assert np.diag(matrix)[3] == pytest.approx(1)
    assert matrix == pytest.approx(matrix.T)


def test_independent_columns_are_hardly_associated():
    generator = np.random.default_rng(0)
    a, b, x = generator.integers(0, 4, 5000), generator.integers(0, 5, 5000), generator.normal(size=5000)
    assert cramers_v(a, b) < 0.05
    assert correlation_ratio(a, x) < 0.05


def test_equal_means_have_no_ratio_and_means_alone_a_full_one():
    codes = np.array([0, 0, 1, 1, -1])
    assert correlation_ratio(codes, np.array([1.0, 3, 0, 4, 90])) == 0
    assert correlation_ratio(codes, np.array([1.0, 1, 4, 4, 90])) == 1
    assert np.isnan(correlation_ratio(codes, np.ones(5)))


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=60))
def test_cramers_v_is_the_formula(pairs: list[tuple[int, int]]):
    a, b = np.array(pairs).T
    found = cramers_v(a, b)
    frame = pd.DataFrame({"a": a, "b": b})[(a >= 0) & (b >= 0)]
    if not len(frame) or frame["a"].nunique() < 2 or frame["b"].nunique() < 2:
        assert np.isnan(found)
        return
    table = pd.crosstab(frame["a"], frame["b"]).to_numpy()
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    chi2 = ((table - expected) ** 2 / expected).sum()
    assert found == pytest.approx(np.sqrt(chi2 / (table.sum() * (min(table.shape) - 1))))
    assert 0 <= found <= 1 + 1e-12


def test_a_copied_column_is_called_redundant():
    table = made()
    assert associations(table)["flags"] == []
    copied = LabelTable(table.data.append_column("copy", table.data["number"]), table.tasks)
    copied = LabelTable(copied.data.append_column("word again", table.data["word"]), table.tasks)
    flags = associations(copied)["flags"]
    assert [(flag["kind"], flag["a"], flag["b"], flag["value"]) for flag in flags] == [
        ("redundant", "number", "copy", 1.0),
        ("redundant", "word", "word again", 1.0),
    ]
    assert flags[0]["n"] == table.to_pandas()["number"].notna().sum()


def test_iris_has_a_redundant_column_and_two_that_tell_the_species():
    flags = associations(read("iris"))["flags"]
    assert [(flag["kind"], flag["a"], flag["b"], flag["value"]) for flag in flags] == [
        ("leak", "species", "petal length (cm)", 0.9702),
        ("leak", "species", "petal width (cm)", 0.9638),
        ("redundant", "petal length (cm)", "petal width (cm)", 0.9629),
    ]
    assert associations(read("wine"))["flags"] == []


def test_chance_among_few_rows_raises_no_flag():
    generator = np.random.default_rng(0)
    table = pa.table({"x": generator.normal(size=60), "k": [f"k{i // 2}" for i in range(60)], "z": np.arange(60) % 7})
    assert associations(LabelTable(table))["flags"] == []
    assert associations(LabelTable(table.slice(0, 3)))["flags"] == []


def test_labels_that_lie_in_each_other_raise_no_flag():
    tasks = (Task("species", classes=("a", "b", "c"), parent="genus"), Task("genus", classes=("A", "B")))
    codes = np.arange(90) % 3
    table = LabelTable.from_columns({"species": codes, "genus": np.minimum(codes, 1)}, tasks)
    facts = associations(table)
    assert facts["matrix"][0][1] == 1
    assert facts["flags"] == []


def test_odd_tables():
    odd = {"one": 7, "none": None, "id": [f"n{i}" for i in range(30)], "bad": [np.inf] * 30, "y": list("ab") * 15}
    facts = associations(read(pd.DataFrame(odd), "y"))
    assert facts["columns"] == [{"name": "y", "kind": "category", "label": True}]
    assert facts["matrix"] == [[1.0]]
    assert set(facts["left_out"]) == {"one", "none", "id", "bad"}
    assert associations(LabelTable(pa.table({"b": [b"x"]})))["columns"] == []
    single = associations(made(1))
    assert single["flags"] == []


def test_time_is_bounded():
    generator = np.random.default_rng(0)
    table = LabelTable(pa.table({f"x{i}": generator.normal(size=20_000) for i in range(80)}))
    facts = associations(table)
    assert (facts["rows"], facts["sampled"], len(facts["columns"])) == (10_000, True, 60)
    assert facts["left_out"]["x79"] == "only the first 60 columns are looked at"
