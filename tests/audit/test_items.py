import io
import json
import wave

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelwise.audit.items import write_items
from labelwise.labels import LabelTable, Task


def items(tmp_path, table, rows=(1, 0)):
    write_items(tmp_path / "items.parquet", table, list(rows))
    return pq.read_table(tmp_path / "items.parquet").to_pylist()


def make(column, media=None, **more):
    y = np.zeros(len(column), int)
    return LabelTable.from_columns({"x": column, "y": y} | more, [Task("y", "single", ("a",))], media=media)


def png(size, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return buffer.getvalue()


def test_rows_are_json_of_what_one_can_read(tmp_path):
    column = pa.array([1.5, None])
    found = items(tmp_path, make(column, word=["ü" * 600, "b"], vector=np.ones((2, 3)), raw=pa.array([b"1", b"2"])))
    assert [(each["example"], each["kind"]) for each in found] == [(1, "row"), (0, "row")]
    assert json.loads(found[0]["content"]) == {"x": None, "word": "b"}
    assert json.loads(found[1]["content"]) == {"x": 1.5, "word": "ü" * 500}


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 3), (8, 6, 1), (500, 300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_become_small_pngs(tmp_path, shape, dtype):
    pictures = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(dtype)
    first, _ = items(tmp_path, make(pictures, ("x", "image")))
    assert (first["kind"], first["example"]) == ("image", 1)
    with Image.open(io.BytesIO(first["content"])) as picture:
        assert picture.format == "PNG"
        assert max(picture.size) <= 160
        if shape == (8, 6) and dtype == np.uint8:
            np.testing.assert_array_equal(np.asarray(picture), pictures[1])


def test_image_files_become_small_pngs_and_broken_ones_rows(tmp_path):
    contents = pa.array([png((400, 100), "RGBA"), b"broken", None, b"\xff\xd8\xff\xe0 half"], pa.binary())
    found = items(tmp_path, make(contents, ("x", "image"), name=["a", "b", "c", "d"]), [0, 1, 2, 3])
    assert [each["kind"] for each in found] == ["image", "row", "row", "row"]
    with Image.open(io.BytesIO(found[0]["content"])) as picture:
        assert picture.size == (160, 40)
    assert json.loads(found[1]["content"]) == {"name": "b"}


def test_text_and_sound(tmp_path):
    found = items(tmp_path, make(["one", None], ("x", "text")))
    assert [each["kind"] for each in found] == ["row", "text"]
    assert found[1]["content"] == b"one"
    samples = pa.array([[0.0, 0.5, -1.0], [], [float("nan")]])
    found = items(tmp_path, make(samples, ("x", "audio")), [0, 1, 2])
    assert [each["kind"] for each in found] == ["audio", "row", "row"]
    with wave.open(io.BytesIO(found[0]["content"])) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (16_000, 3)
    found = items(tmp_path, make(pa.array([b"RIFF", b"RIFF2"], pa.binary()), ("x", "audio")))
    assert found[0]["content"] == b"RIFF2"


def test_no_rows_make_an_empty_table(tmp_path):
    assert items(tmp_path, make([1.0]), []) == []
