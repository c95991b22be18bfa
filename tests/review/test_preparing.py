import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

import labelwise
from labelwise.labels import read
from labelwise.labels.readers.files import wav_bytes
from labelwise.review.content import CONTENT, Contents
from labelwise.review.preparing import prepare, write_contents


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "cache"))


def picture(side: int, value: int) -> bytes:
    buffer = io.BytesIO()
    place = Image.Exif()
    place[0x010E] = "taken at a secret place"
    Image.new("RGB", (side, side // 2), (value, 0, 0)).save(buffer, "JPEG", exif=place)
    return buffer.getvalue()


def audited(tmp_path, n=30, **columns):
    """A run of an audit of `n` rows with a class and a group of classes each."""
    fine = [str(row % 4) for row in range(n)]
    table = pa.table(
        {"id": [f"r{row}" for row in range(n)], **columns, "fine": fine, "coarse": [c in "01" for c in fine]}
    )
    source = tmp_path / "source.parquet"
    pq.write_table(table, source)
    vectors = np.random.default_rng(0).normal(size=(n, 3))
    table = read(source, ["fine", "coarse"], id="id", parents={"fine": "coarse"}, quiet=True)
    settings = {"models": LogisticRegression(), "folds": 2, "jobs": 1, "quiet": True, "embeddings": vectors}
    _, run = labelwise.audit(table, run=tmp_path / "run", **settings)
    return run, source


def test_pictures_are_kept_large_and_small_without_what_the_camera_wrote(tmp_path):
    sizes = [2000, 200] + [20] * 28
    run, _ = audited(tmp_path, photo=pa.array([picture(side, 9 * row) for row, side in enumerate(sizes)], pa.binary()))
    contents = Contents(write_contents(run, [0, 1, 2], quiet=True))
    assert contents.note == ""
    for row, large, small in ((0, 1024, 192), (1, 200, 192), (2, 20, 20)):
        item = contents.item(row)
        assert (item["kind"], item["key"], item["width"], item["height"]) == ("image", f"r{row}", large, large // 2)
        assert item["labels"] == {"fine": str(row), "coarse": str(row in (0, 1)).lower()}
        for content, side in ((contents.content(row), large), (contents.thumbnail(row), small)):
            assert b"secret" not in content
            with Image.open(io.BytesIO(content)) as shown:
                assert shown.size == (side, side // 2)
                assert shown.convert("RGB").getpixel((1, 1))[0] == pytest.approx(9 * row, abs=4)
    assert contents.content(0).startswith(b"\xff\xd8")
    assert contents.thumbnail(2) == contents.content(2)
    assert contents.tree == {"fine": {"0": "true", "1": "true", "2": "false", "3": "false"}}


def test_the_nearest_others_are_kept_as_well(tmp_path):
    run, _ = audited(tmp_path, x=np.arange(30.0))
    flagged = pq.read_table(run / "neighbours.parquet").to_pylist()
    assert flagged
    first = flagged[0]
    contents = Contents(write_contents(run, [first["example"]], quiet=True))
    assert contents.neighbours(first["example"]) == list(zip(first["neighbours"], first["distances"], strict=True))
    assert all(contents.item(row)["cells"]["x"] == row for row in first["neighbours"])
    assert sum(row in contents for row in range(30)) == len({first["example"], *first["neighbours"]})


def test_sounds_and_texts_are_kept_whole(tmp_path):
    words = [f"row {row} " + "with many different words in it " * 300 for row in range(30)]
    run, _ = audited(tmp_path, note=words, site=["a\u0000<b>"] * 30)
    contents = Contents(write_contents(run, [4], quiet=True))
    item = contents.item(4)
    assert (item["kind"], item["text"], item["type"]) == ("text", words[4], "text/plain; charset=utf-8")
    assert item["cells"] == {"id": "r4", "site": "a\u0000<b>"}


def test_sound_files_stay_as_they_are(tmp_path):
    sounds = [wav_bytes(np.sin(np.arange(4000) * row / 40), 8000) for row in range(30)]
    run, _ = audited(tmp_path, call=pa.array(sounds, pa.binary()))
    contents = Contents(write_contents(run, [7], quiet=True))
    assert contents.item(7)["type"] == "audio/wav"
    assert contents.content(7) == sounds[7]
    assert contents.spectrogram(7).startswith(b"\x89PNG")
    assert contents.thumbnail(7) == b""


def test_a_file_that_fits_stays_and_one_of_other_rows_is_replaced(tmp_path):
    run, source = audited(tmp_path, x=np.arange(30.0))
    path = write_contents(run, [1, 2], quiet=True)
    before = path.stat()
    source.unlink()
    write_contents(run, [2, 1], quiet=True)
    assert os.path.samestat(before, path.stat())
    write_contents(run, [1, 2, 3], quiet=True)
    assert Contents(path).note.startswith("The source could not be read again")


def test_without_its_source_what_the_audit_kept_must_do_until_it_is_back(tmp_path):
    photos = pa.array([picture(500, row) for row in range(30)], pa.binary())
    run, source = audited(tmp_path, photo=photos)
    kept = pq.read_table(run / "items.parquet")["example"].to_pylist()
    other = next(row for row in range(30) if row not in kept)
    source.rename(tmp_path / "elsewhere.parquet")
    contents = Contents(write_contents(run, [kept[0], other], quiet=True))
    assert "source.parquet" in contents.note
    assert contents.item(kept[0])["width"] == 160
    assert contents.thumbnail(kept[0]).startswith(b"\x89PNG")
    assert contents.item(other)["kind"] == "none"
    assert contents.item(other)["labels"]["fine"] == str(other % 4)
    (tmp_path / "elsewhere.parquet").rename(source)
    assert Contents(write_contents(run, [kept[0], other], quiet=True)).item(other)["width"] == 500


def test_a_source_whose_labels_have_changed_is_not_shown(tmp_path):
    run, source = audited(tmp_path, x=np.arange(30.0))
    table = pq.read_table(source)
    pq.write_table(table.set_column(2, "fine", pa.array(["0"] * 10 + ["1", "2", "3"] + ["1"] * 17)), source)
    assert "have changed" in Contents(write_contents(run, [1], quiet=True)).note


def test_a_run_is_prepared_once(tmp_path):
    run, _ = audited(tmp_path, x=np.arange(30.0))
    prepare(run, sample=3, quiet=True)
    first = (run / CONTENT).stat()
    prepare(run, sample=9, quiet=True)
    assert os.path.samestat(first, (run / CONTENT).stat())
    assert json.loads(pa.ipc.open_file(str(run / CONTENT)).schema.metadata[b"review"])["note"] == ""
