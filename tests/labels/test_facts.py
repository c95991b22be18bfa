import datetime
import decimal
import hashlib
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from labelwise.labels import LabelTable, Task, column_statistics, describe, read
from labelwise.labels.facts import file_facts


def test_facts_of_a_small_table():
    columns = {"x": range(8), "y": [0, 0, 0, 0, 1, 1, -1, 3], "g": list("aaabbcdd"), "s": ["train"] * 6 + ["test"] * 2}
    table = LabelTable.from_columns(columns, [Task("y", classes=tuple("pqrs"))], group="g", split="s")
    facts = describe(table)
    assert facts["rows"] == 8
    assert facts["groups"] == {"column": "g", "number": 4, "largest": 3}
    assert facts["splits"] == {"train": 6, "test": 2}
    (task,) = facts["tasks"]
    shares = np.array([4, 2, 1]) / 7
    assert task.pop("effective_classes") == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert task == {
        "name": "y",
        "kind": "single",
        "parent": None,
        "classes": 4,
        "labelled": 7,
        "missing": 1,
        "counts": {"p": 4, "q": 2, "r": 0, "s": 1},
        "imbalance_factor": 4.0,
        "empty": ["r"],
        "rare": 3,
    }
    assert list(task["counts"]) == list("pqrs")
    json.dumps(facts, allow_nan=False)


def test_equal_classes_count_in_full():
    table = LabelTable.from_columns({"y": np.arange(100) % 5}, [Task("y", classes=tuple("abcde"))])
    assert describe(table)["tasks"][0]["effective_classes"] == pytest.approx(5)
    assert describe(table)["tasks"][0]["imbalance_factor"] == 1.0


def test_no_label_at_all_is_no_crash():
    table = LabelTable.from_columns({"y": [-1, -1], "z": [1.0, 2.0]}, [Task("y", classes=("a",)), Task("z", "real")])
    facts = describe(table)
    assert facts["tasks"][0]["imbalance_factor"] is None
    assert facts["tasks"][1] == {
        "name": "z",
        "kind": "real",
        "parent": None,
        "classes": 0,
        "labelled": 2,
        "missing": 0,
    }
    assert facts["groups"] is facts["splits"] is None
    json.dumps(facts, allow_nan=False)


def test_column_statistics_of_odd_columns():
    frame = pd.DataFrame(
        {
            "number": [1.0, np.nan, np.inf, -4.0],
            "constant": 7,
            "missing": [None] * 4,
            "name": ["größe", "日本", "<script>", None],
            "flag": [True, False, True, False],
            "day": pd.date_range("2026-01-01", periods=4),
            "kind": list("abab"),
        }
    )
    table = read(frame, "kind")
    data = table.data.append_column("bytes", pa.array([b"x"] * 4))
    data = data.append_column("vector", pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((4, 3))))
    statistics = column_statistics(LabelTable(data, table.tasks))
    assert list(statistics["columns"]) == ["number", "constant", "missing", "name", "flag", "day"]
    assert statistics["columns"]["constant"]["value_is_constant"]
    assert statistics["columns"]["missing"]["null_count"] == 4
    assert statistics["columns"]["name"]["n_unique"] == 3
    assert (statistics["rows"], statistics["sampled"]) == (4, False)
    text = json.dumps(statistics, allow_nan=False)
    assert "<svg" not in text


def test_many_columns_and_many_rows():
    generator = np.random.default_rng(0)
    wide = LabelTable(pa.table({f"x{i}": generator.normal(size=50) for i in range(300)}))
    assert len(column_statistics(wide)["columns"]) == 300
    long = LabelTable(pa.table({"x": np.arange(100_001)}))
    statistics = column_statistics(long)
    assert (statistics["rows"], statistics["sampled"]) == (100_000, True)


def test_no_columns_to_speak_of():
    assert column_statistics(LabelTable(pa.table({"b": [b"x"]})))["columns"] == {}


def test_shape_of_columns_is_that_of_pandas():
    generator = np.random.default_rng(0)
    skewed = np.round(generator.lognormal(size=200), 3)
    skewed[:20] = 0
    skewed[20:30] = np.nan
    words = ["a"] * 120 + ["b"] * 75 + ["c"] * 5
    statistics = column_statistics(read(pd.DataFrame({"x": skewed, "word": words, "y": list("pq") * 100}), "y"))
    column, series = statistics["columns"]["x"], pd.Series(skewed).dropna()
    assert column["kind"] == "continuous"
    assert column["skewness"] == pytest.approx(series.skew())
    assert column["zeros"] == pytest.approx((series == 0).mean())
    low, high = series.quantile(0.25), series.quantile(0.75)
    assert column["outliers"] == pytest.approx((~series.between(2.5 * low - 1.5 * high, 2.5 * high - 1.5 * low)).mean())
    word = statistics["columns"]["word"]
    assert word["kind"] == "category"
    assert word["entropy"] == pytest.approx(-sum(p * np.log(p) for p in (0.6, 0.375, 0.025)))
    assert word["rare"] == pytest.approx(0.025)


def test_a_file_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x\n1\n")
    assert file_facts(str(path)) == {"name": "a.csv", "bytes": 4, "sha256": hashlib.sha256(b"x\n1\n").hexdigest()}
    assert file_facts("digits") is None
    assert file_facts(str(tmp_path)) is None


def test_days_times_decimals_and_durations_are_described():
    days = [datetime.date(2026, 1, day) for day in range(1, 7)]
    columns = {
        "day": pa.array(days),
        "clock": pa.array([datetime.time(8, minute) for minute in range(6)]),
        "price": pa.array([decimal.Decimal("1.5"), None] * 3),
        "took": pa.array([datetime.timedelta(seconds=at) for at in range(6)]),
        "word": pa.array(list("aabbcc")).dictionary_encode(),
    }
    told = column_statistics(LabelTable(pa.table(columns)))["columns"]
    assert {name: column["kind"] for name, column in told.items()} == {
        "day": "date",
        "clock": "identifier",
        "price": "continuous",
        "took": "date",
        "word": "category",
    }
    assert told["day"]["min"].startswith("2026-01-01")
    assert told["price"]["mean"] == 1.5
    json.dumps(told, allow_nan=False)
