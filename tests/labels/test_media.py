import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from labelwise.labels import read
from labelwise.labels.readers.files import wav_bytes

LONG = [f"a long remark of some seven words number {i}" for i in range(8)]


def png(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shots").mkdir()
    for i in range(8):
        (tmp_path / f"shots/{i}.png").write_bytes(png(i))
        (tmp_path / f"shots/{i}.wav").write_bytes(wav_bytes(np.arange(50, dtype=np.int16), 8000))
    return tmp_path


def frame(**columns):
    return pd.DataFrame({"size": np.arange(8) / 2, **columns, "kind": list("abababab")})


def test_images_that_a_column_names_are_read(folder):
    names = [f"shots/{i}.png" for i in range(8)]
    names[3] = "shots/lost.png"
    (folder / "shots/5.png").write_bytes(b"broken")
    frame(file=names, remark=LONG).to_csv(folder / "t.csv", index=False)
    table = read(folder / "t.csv", "kind")
    assert table.media == ("image", "image")
    assert table.data["image"][0].as_py() == png(0)
    assert table.data["image"][3].as_py() is None
    assert table.ids[0] == "shots/0.png"
    assert sorted(table.unreadable) == [3, 5]
    assert "lost.png: No such file" in table.unreadable[3]


def test_sounds_that_a_column_names_are_read(folder):
    frame(file=[f"shots/{i}.wav" for i in range(8)]).to_parquet(folder / "t.parquet")
    table = read(folder / "t.parquet", "kind")
    assert table.media == ("audio", "audio")
    assert not table.unreadable


def test_names_of_images_that_are_not_there_are_ids_alone(tmp_path):
    frame(file=[f"rose/{i}.tif" for i in range(8)]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(UserWarning, match="'rose/0.tif' and others are not under"):
        table = read(tmp_path / "t.csv", "kind")
    assert table.media is None
    assert table.feature_names == ["size"]
    assert table.id == "file"


def test_an_id_that_names_images_is_followed(folder):
    frame(file=[f"shots/{i}.png" for i in range(8)]).to_csv(folder / "t.csv", index=False)
    table = read(folder / "t.csv", "kind", id="file")
    assert (table.id, table.media) == ("file", ("image", "image"))


def test_bytes_of_images_and_sounds():
    table = read(pa.table({"shot": [png(0), png(1), None], "kind": ["a", "b", "a"]}), "kind")
    assert table.media == ("shot", "image")
    assert list(table.unreadable) == [2]
    sounds = [wav_bytes(np.arange(9, dtype=np.int16), 8000), b"RIFF....WAVEbroken"]
    table = read(pa.table({"sound": sounds}))
    assert table.media == ("sound", "audio")
    assert list(table.unreadable) == [1]


def test_the_longest_text_is_learned_from():
    longer = [f"{remark} and even more words after it" for remark in LONG]
    assert read(frame(remark=LONG, note=longer), "kind").media == ("note", "text")


@pytest.mark.parametrize(
    "column",
    [
        [f"bird-{i}" for i in range(8)],
        ["Anna Maria Smith", "John F. Kennedy"] * 4,
        ["the same few words again and again"] * 8,
    ],
    ids=["ids", "names", "few different texts"],
)
def test_what_is_no_text(column):
    assert read(frame(remark=column), "kind").media is None


def test_a_label_is_never_the_text():
    assert read(frame(remark=[*LONG[:4], *LONG[:4]]).drop(columns="kind"), "remark").media is None
