import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from labelwise.labels import read
from labelwise.labels.readers.files import wav_bytes

datasets = pytest.importorskip("datasets", reason="the extra labelwise[hf] is not installed")


def png(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def images(seeds, labels):
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["owl", "ant", "bee"])})
    rows = {"photo": [{"bytes": png(seed), "path": None} for seed in seeds], "kind": labels}
    return datasets.Dataset.from_dict(rows, features=features)


def test_images_and_class_names(tmp_path):
    images([0, 1, 2], [1, 0, -1]).save_to_disk(tmp_path / "one")
    table = read(tmp_path / "one", "kind", quiet=True)
    assert table.media == ("photo", "image")
    assert table.data["photo"].to_pylist() == [png(0), png(1), png(2)]
    assert table.tasks[0].classes == ("owl", "ant", "bee")
    assert table.labels().tolist() == [1, 0, -1]


def test_a_dictionary_of_splits(tmp_path):
    parts = {"train": images([0, 1], [1, 0]), "validation": images([2], [2]), "test": images([3], [2])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "all")
    table = read(tmp_path / "all", "kind")
    assert table.data["split"].to_pylist() == ["train", "train", "validation", "test"]


def test_sounds_are_not_decoded(tmp_path):
    sounds = [wav_bytes(np.arange(9, dtype=np.int16), 8000), wav_bytes(np.zeros(5, np.int16), 8000)]
    rows = pa.table({"sound": [{"bytes": sound, "path": None} for sound in sounds], "kind": [0, 1]})
    features = datasets.Features({"sound": datasets.Audio(), "kind": datasets.ClassLabel(names=["owl", "ant"])})
    arrow = rows.cast(features.arrow_schema)
    datasets.Dataset(arrow, datasets.DatasetInfo(features=features)).save_to_disk(tmp_path / "one")
    table = read(tmp_path / "one", "kind")
    assert table.media == ("sound", "audio")
    assert table.data["sound"].to_pylist() == sounds
    assert not table.unreadable


def test_a_selection_is_read_as_selected(tmp_path):
    images([0, 1, 2], [1, 0, 1]).select([2, 1]).save_to_disk(tmp_path / "some")
    assert read(tmp_path / "some", "kind").labels().tolist() == [1, 0]


def test_parquet_of_the_hub(tmp_path):
    images([0, 1, 2], [1, 0, 1]).to_parquet(tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet", "kind")
    assert table.media == ("photo", "image")
    assert table.data["photo"].to_pylist() == [png(0), png(1), png(2)]


def test_a_damaged_folder_is_named(tmp_path):
    images([0, 1], [1, 0]).save_to_disk(tmp_path / "one")
    for file in (tmp_path / "one").glob("*.arrow"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read by `datasets`"):
        read(tmp_path / "one", "kind")
