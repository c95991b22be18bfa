import io
import json
import wave

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelwise.audit.items import write_items, write_neighbours
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


def test_photographs_are_shown_upright(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side
    buffer = io.BytesIO()
    Image.new("RGB", (40, 10)).save(buffer, "JPEG", exif=turned)
    found = items(tmp_path, make(pa.array([buffer.getvalue()], pa.binary()), ("x", "image")), [0])
    with Image.open(io.BytesIO(found[0]["content"])) as picture:
        assert picture.size == (10, 40)


def neighbours(tmp_path, features, rows, compared=None):
    compared = np.ones(len(features), bool) if compared is None else compared
    write_neighbours(tmp_path / "neighbours.parquet", features, np.array(rows), compared)
    return pq.read_table(tmp_path / "neighbours.parquet").to_pylist()


def test_neighbours_are_the_nearest_others_nearest_first(tmp_path):
    points = np.random.default_rng(0).normal(size=(60, 2, 3))
    distances = np.linalg.norm(points.reshape(60, 1, 6) - points.reshape(1, 60, 6), axis=2)
    np.fill_diagonal(distances, np.inf)
    found = neighbours(tmp_path, points, [7, 3])
    assert [each["example"] for each in found] == [3, 7]
    for each in found:
        nearest = distances[each["example"]].argsort()[:8]
        assert each["neighbours"] == nearest.tolist()
        np.testing.assert_allclose(each["distances"], distances[each["example"]][nearest], rtol=1e-5)


def test_no_row_is_its_own_neighbour_even_among_many_equal_ones(tmp_path):
    for each in neighbours(tmp_path, np.zeros((30, 2)), range(30)):
        assert len(set(each["neighbours"]) - {each["example"]}) == 8


def test_what_cannot_be_compared_neither_has_nor_is_a_neighbour(tmp_path):
    compared = np.array([True, False, True, True])
    found = neighbours(tmp_path, np.arange(4.0)[:, None], [0, 1], compared)
    assert [(each["example"], each["neighbours"]) for each in found] == [(0, [2, 3])]
    assert neighbours(tmp_path, np.zeros((1, 2)), [0])[0]["neighbours"] == []
