import io
import wave

import numpy as np
import pytest
from PIL import Image

from labelwise.labels import read

GENERATOR = np.random.default_rng(0)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


def jpegs(n):
    files = []
    for _ in range(n):
        file = io.BytesIO()
        Image.fromarray(GENERATOR.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "JPEG")
        files.append(file.getvalue())
    flat = np.frombuffer(b"".join(files), np.uint8)
    return files, flat, np.cumsum([0, *map(len, files)])


def test_pictures_vectors_and_names(tmp_path):
    pictures = GENERATOR.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    vectors = GENERATOR.normal(size=(5, 2)).astype(np.float32)
    path = saved(tmp_path, x=pictures, v=vectors, y=np.array([2, 0, 1, 0, -1]), y_names=np.array(["p", "q", "r", "s"]))
    table = read(path, "y")
    assert table.media == ("x", "image")
    assert np.array_equal(table.data["x"].combine_chunks().to_numpy_ndarray(), pictures)
    assert np.array_equal(table.data["v"].combine_chunks().to_numpy_ndarray(), vectors)
    assert table.tasks[0].classes == ("p", "q", "r", "s")
    assert table.labels().tolist() == [2, 0, 1, 0, -1]


@pytest.mark.parametrize("shape", [(5, 4, 6, 3), (5, 3, 4, 6), (5, 4, 6, 1), (5, 1, 4, 6), (5, 4, 6)])
def test_every_layout_of_pictures_becomes_channels_last_or_grey(tmp_path, shape):
    table = read(saved(tmp_path, x=np.zeros(shape, np.uint8)))
    assert table.media == ("x", "image")
    assert list(table.data["x"].type.shape) in ([4, 6, 3], [4, 6])


def test_encoded_pieces_are_images(tmp_path):
    files, flat, offsets = jpegs(3)
    table = read(saved(tmp_path, jpeg=flat, jpeg_offsets=offsets, y=[0, 1, 0], class_names=["a", "b"]), "y")
    assert table.media == ("jpeg", "image")
    assert table.data["jpeg"].to_pylist() == files
    assert table.tasks[0].classes == ("a", "b")
    assert not table.unreadable


def test_a_broken_piece_is_told_of(tmp_path):
    _, flat, offsets = jpegs(3)
    flat = flat.copy()
    flat[offsets[1] : offsets[2]] = 0
    assert list(read(saved(tmp_path, jpeg=flat, jpeg_offsets=offsets)).unreadable) == [1]


def test_samples_become_wav(tmp_path):
    samples = GENERATOR.integers(-1000, 1000, 30).astype(np.int16)
    path = saved(tmp_path, samples=samples, offsets=[0, 10, 30], sample_rate=np.int32(8000), y=[0, 1])
    table = read(path, "y")
    assert table.media == ("samples", "audio")
    with wave.open(io.BytesIO(table.data["samples"][1].as_py())) as sound:
        assert sound.getframerate() == 8000
        assert np.array_equal(np.frombuffer(sound.readframes(99), "<i2"), samples[10:])
    floats = saved(tmp_path, samples=samples / 32767, offsets=[0, 10, 30], sample_rate=np.int32(8000))
    with wave.open(io.BytesIO(read(floats).data["samples"][1].as_py())) as sound:
        assert np.array_equal(np.frombuffer(sound.readframes(99), "<i2"), samples[10:])
    with pytest.warns(UserWarning, match="16000 samples a second were assumed"):
        read(saved(tmp_path, samples=samples, offsets=[0, 10, 30], y=[0, 1]))


@pytest.mark.parametrize("name", ["{part}_{base}", "{base}_{part}"])
def test_train_and_test_are_joined(tmp_path, name):
    arrays = {}
    for part, n in (("train", 3), ("test", 2), ("val", 1)):
        arrays[name.format(part=part, base="x")] = np.full((n, 2, 2), n, np.uint8)
        arrays[name.format(part=part, base="y")] = np.arange(n) % 2
    table = read(saved(tmp_path, **arrays, class_names=["a", "b"]), "y")
    assert table.data["split"].to_pylist() == ["train"] * 3 + ["validation"] + ["test"] * 2
    assert table.data["y"].to_pylist() == ["a", "b", "a", "a", "a", "b"]
    assert table.split == "split"
    assert np.array_equal(table.data["x"].combine_chunks().to_numpy_ndarray()[:, 0, 0], [3, 3, 3, 1, 2, 2])


def test_a_split_with_names(tmp_path):
    table = read(saved(tmp_path, v=[1.0, 2.0, 3.0], split=[0, 2, 1], split_names=["train", "val", "test"]))
    assert table.data["split"].to_pylist() == ["train", "test", "validation"]


def test_arrays_of_other_lengths_are_left_out_with_a_warning(tmp_path):
    path = saved(tmp_path, v=np.zeros(4), y=[0, 1, 0, 1], other=np.zeros(9), tree_names=["a"], tree=[0] * 4)
    with pytest.warns(UserWarning, match=r"do not have 4 rows were left out: other \(9\)"):
        assert read(path, "y").feature_names == ["v", "tree"]


@pytest.mark.parametrize(
    ("arrays", "labels", "words"),
    [
        ({"x": np.array([{"a": 1}], dtype=object)}, (), "'x' .* holds Python objects.*never unpickled"),
        ({"y": [0, 1], "z": [0, 1, 2]}, ("y", "z"), "label arrays must be of one length"),
        ({"x": np.zeros(5, np.uint8), "x_offsets": [0, 3, 2, 5]}, (), "offsets of 'x' must be integers that rise"),
        ({"x": np.zeros(5, np.uint8), "x_offsets": [0, 9]}, (), "rise from 0 to its length 5"),
        ({"y": [0, 2, 1], "y_names": ["a", "b"]}, "y", r"integers in \[0, 2\).* got 2 at row 1"),
        ({"y": [0, 2, 1], "class_names": ["a", "b"]}, "y", r"integers in \[0, 2\).* got 2 at row 1"),
        ({"y": [0, 1]}, "label", "no column 'label'"),
        ({"x": np.zeros((0, 3))}, (), "no rows"),
        ({}, (), "holds no arrays"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, arrays, labels, words):
    with pytest.raises(ValueError, match=words) as refusal:
        read(saved(tmp_path, **arrays), labels)
    assert "a.npz" in str(refusal.value)


def test_broken_archives_are_named(tmp_path):
    path = saved(tmp_path, x=np.zeros(1000))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"a\.npz"):
        read(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ValueError, match="not a NumPy archive"):
        read(path)
