import numpy as np
import pandas as pd
import pyarrow as pa

from labelwise.audit import Finding
from labelwise.audit.findings import COLUMNS, as_frame, from_frame, read, write

FOUND = [
    Finding(3, "y", "label", 0.5, "a", None, "first"),
    Finding(7, None, "unreadable", 1.0, None, None, "cannot be read"),
    Finding(1, "y", "label", 0.5, "a", "b", "ünd"),
    Finding(3, "z", "label", 0.5, "c", "d", "second"),
]


def test_worst_come_first_then_rows_in_order():
    frame = as_frame(FOUND)
    assert list(frame.columns) == COLUMNS
    assert frame["example"].tolist() == [7, 1, 3, 3]
    assert frame["why"].tolist()[2:] == ["first", "second"]
    assert frame["example"].dtype == np.int64
    assert frame["score"].dtype == np.float64
    assert frame["task"].tolist()[0] is None
    assert from_frame(frame) == [FOUND[1], FOUND[2], FOUND[0], FOUND[3]]


def test_files_give_the_same_table_back(tmp_path):
    for found in (FOUND, []):
        frame = as_frame(found)
        write(tmp_path / "issues.parquet", frame, pa.array([f"row {i}" for i in range(10)]))
        pd.testing.assert_frame_equal(read(tmp_path / "issues.parquet"), frame)
        ids = pd.read_parquet(tmp_path / "issues.parquet")["id"]
        assert ids.tolist() == [f"row {i}" for i in frame["example"]]
