import numpy as np
import pandas as pd
import pyarrow as pa

from labelwise.audit.columns import coded_columns
from labelwise.labels import LabelTable


def test_values_are_coded_in_their_order_and_missing_ones_as_minus_one():
    columns = {
        "word": pa.array(["b", None, "a", "b"]),
        "number": pa.array([10, 9, None, 10]),
        "truth": pa.array([True, False, None, True]),
        "category": pa.array(["z", "y", None, "z"]).dictionary_encode(),
        "time": pa.array(pd.to_datetime(["2024-03-01", "2024-01-01", None, "2024-03-01"])),
        "measured": pa.array([0.5, 1.5, None, 0.5]),
        "vector": pa.array([[1.0], [2.0], [3.0], [4.0]]),
        "text": pa.array(["one", "two", "three", "four"]),
    }
    table = LabelTable(pa.table(columns), media=("text", "text"))
    coded = {column.name: column for column in coded_columns(table, table.feature_names)}
    assert list(coded) == ["word", "number", "truth", "category", "time"]
    assert coded["word"].codes.tolist() == [1, -1, 0, 1]
    for name in ("number", "truth", "category", "time"):
        assert coded[name].codes.tolist() == [1, 0, -1, 1]
        assert coded[name].codes.dtype == np.int64
    assert pa.types.is_integer(coded["number"].type)
    assert pa.types.is_string(coded["category"].type)
