import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelwise.labels import read

FRAME = pd.DataFrame({"x": [1.5, 2.0, None], "name": ["a", "b", None], "kind": ["rose", "tulip", "rose"]})


def test_the_same_table_from_every_form(tmp_path):
    FRAME.to_parquet(tmp_path / "t.parquet")
    lines = "\n".join(json.dumps(row) for row in FRAME.astype(object).where(FRAME.notna(), None).to_dict("records"))
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    first = read(FRAME, "kind").data.to_pydict()
    assert read(tmp_path / "t.parquet", "kind").data.to_pydict() == first
    assert read(tmp_path / "t.jsonl.gz", "kind").data.to_pydict() == first
    assert read(tmp_path / "t.csv", "kind").data.to_pydict() == first
    assert read(pa.Table.from_pandas(FRAME), "kind").data.to_pydict() == first


def test_a_named_index_is_a_column_and_a_plain_one_is_not():
    assert read(FRAME.set_index("name")).data.column_names == ["x", "kind", "name"]
    assert read(FRAME[::-1]).data.column_names == ["x", "name", "kind"]


def test_categories_and_large_text_are_plain_text():
    table = read(FRAME.astype({"kind": "category"}), "kind")
    assert table.tasks[0].classes == ("rose", "tulip")
    assert table.data.schema.field("name").type == pa.string()


def test_class_names_in_hugging_face_metadata(tmp_path):
    features = {"y": {"names": ["zebra", "ant", "owl"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table({"y": [0, 1, 0]}).replace_schema_metadata(metadata), tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet", "y")
    assert table.tasks[0].classes == ("zebra", "ant", "owl")
    assert table.data["y"].to_pylist() == ["zebra", "ant", "zebra"]


def test_broken_files_are_named(tmp_path):
    for name, content in (("t.parquet", b"PAR1 not really"), ("t.jsonl", b'{"a": 1}\n{"a": ')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            read(tmp_path / name)


def test_frames_that_are_no_tables():
    with pytest.raises(ValueError, match="both called 'a'"):
        read(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))
    with pytest.raises(ValueError, match="holds no rows"):
        read(FRAME.iloc[:0])
    with pytest.raises(ValueError, match="mixes kinds"):
        read(pd.DataFrame({"a": [1, "x", None]}))
