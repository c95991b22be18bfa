import errno

import numpy as np
import pyarrow as pa
import pytest
from tests.models.tables import photos, picture, recordings, table, tensors, tone, wav

from labelwise.labels import LabelTable, Task
from labelwise.models import (
    AudioEncoder,
    PixelEncoder,
    TabularEncoder,
    TextEncoder,
    VisionEncoder,
    choose_encoder,
    encode,
    encoder_from_state,
)


def pixels(n=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8), np.uint8)


@pytest.fixture
def rows():
    return photos([picture(one) for one in pixels()] + [b"junk"])


@pytest.mark.parametrize(
    ("given_table", "expected"),
    [
        (photos([]), PixelEncoder),
        (table(x=tensors(pixels())), PixelEncoder),
        (table(x=tensors(pixels()), more=range(5)), TabularEncoder),
        (table(x=tensors(np.ones((5, 3)))), TabularEncoder),
        (table(note=["a"], media=("note", "text")), TextEncoder),
        (table(note=["a"], more=[1], media=("note", "text")), TextEncoder),
        (recordings([]), AudioEncoder),
        (table(a=[1.0]), TabularEncoder),
    ],
)
def test_the_encoder_follows_from_the_columns(given_table, expected):
    assert type(choose_encoder(given_table)) is expected


def test_a_model_that_is_named_is_used_or_refused(rows):
    assert choose_encoder(table(note=["a"], media=("note", "text")), text="m").settings() == {"model": "m"}
    assert type(choose_encoder(rows, vision="m")) is VisionEncoder
    with pytest.raises(ValueError, match="text='m' needs a column of texts, which photos does not name"):
        choose_encoder(rows, text="m")
    with pytest.raises(ValueError, match=r"vision='m' needs a column of images, which birds.csv does not name"):
        choose_encoder(table(a=[1]), vision="m")


def test_labels_alone_say_what_to_do():
    only_labels = LabelTable(pa.table({"y": ["a"]}), [Task("y", classes=("a",))], source="labels.csv")
    with pytest.raises(ValueError, match=r"labels.csv has no feature columns; .*--labels-only.*--embeddings"):
        choose_encoder(only_labels)


def test_the_second_time_comes_from_disk_and_leaves_the_encoder_fitted(rows, tmp_path, monkeypatch):
    first_encoder, second_encoder = PixelEncoder(6), PixelEncoder(6)
    first = encode(rows, first_encoder, tmp_path, quiet=True)
    monkeypatch.setattr(PixelEncoder, "_read", None)
    second = encode(rows, second_encoder, tmp_path, quiet=True)
    monkeypatch.undo()
    assert (second.features == first.features).all()
    assert second.unreadable == first.unreadable != {}
    assert (second_encoder.transform(rows).features == first.features).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: (recordings([wav(tone(300)), wav(tone(500)), None]), AudioEncoder()),
        lambda: (table(note=["a b", "b c", ""], media=("note", "text")), TextEncoder()),
    ],
)
def test_every_slow_encoder_can_be_cached(make, tmp_path):
    given_table, encoder = make()
    first = encode(given_table, encoder, tmp_path, quiet=True)
    given_table, encoder = make()
    second = encode(given_table, encoder, tmp_path, quiet=True)
    assert (second.features == first.features).all()
    assert second.unreadable == first.unreadable
    assert (encoder.transform(given_table).features == first.features).all()


def test_rows_to_fit_to_can_be_named(rows, tmp_path):
    expected = PixelEncoder().fit(rows.select([0, 3])).transform(rows)
    for _ in range(2):
        encoder = PixelEncoder()
        found = encode(rows, encoder, tmp_path, quiet=True, fit_rows=[0, 3])
        np.testing.assert_array_equal(found.features, expected.features)
        np.testing.assert_array_equal(encoder.transform(rows).features, expected.features)
    for other in (None, [3, 0, 1]):
        assert not np.array_equal(encode(rows, PixelEncoder(), tmp_path, True, other).features, expected.features)
    assert len(list(tmp_path.iterdir())) == 3


def test_other_content_settings_or_known_faults_are_other_files(rows, tmp_path):
    encode(rows, PixelEncoder(6), tmp_path, quiet=True)
    encode(rows, PixelEncoder(7), tmp_path, quiet=True)
    encode(photos([picture(one) for one in pixels(seed=1)]), PixelEncoder(6), tmp_path, quiet=True)
    torn = LabelTable(rows.data, media=rows.media, unreadable={0: "torn"})
    assert encode(torn, PixelEncoder(6), tmp_path, quiet=True).unreadable[0] == "torn"
    assert len(list(tmp_path.iterdir())) == 4


def test_labels_are_no_part_of_the_content(rows, tmp_path):
    encode(rows, None, tmp_path, quiet=True)
    labelled = LabelTable(rows.data.append_column("y", [["a"] * 6]), [Task("y", classes=("a",))], media=rows.media)
    encode(labelled, None, tmp_path, quiet=True)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("harm", ["cut", "empty", "flip", "other"])
def test_a_broken_file_is_made_again(rows, tmp_path, harm):
    first = encode(rows, PixelEncoder(), tmp_path, quiet=True)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if harm == "other":
        encode(photos([picture(one) for one in pixels(3)]), PixelEncoder(), tmp_path / "b", quiet=True)
        (other,) = (tmp_path / "b").iterdir()
        path.write_bytes(other.read_bytes())
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:-100], "empty": b"", "flip": flipped}[harm])
    with pytest.warns(UserWarning, match="broken and are made again"):
        again = encode(rows, PixelEncoder(), tmp_path, quiet=True)
    assert (again.features == first.features).all()
    assert path.read_bytes() == whole


def test_a_full_disk_costs_the_cache_and_not_the_result(rows, tmp_path, monkeypatch):
    def full(*_args, **_named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="could not be kept in the cache .* No space left"):
        encoded = encode(rows, None, tmp_path, quiet=True)
    assert len(encoded.features) == 6
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_the_cache(rows, tmp_path, monkeypatch):
    monkeypatch.setenv("LABELWISE_CACHE", str(tmp_path / "named"))
    encode(rows, quiet=True)
    assert len(list((tmp_path / "named").iterdir())) == 1
    monkeypatch.delenv("LABELWISE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    encode(rows, quiet=True)
    assert len(list((tmp_path / "home" / ".cache" / "labelwise").iterdir())) == 1


def test_quick_encoders_leave_nothing_on_disk(tmp_path):
    encode(table(a=[1.0, 2.0]), None, tmp_path, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_of_encoder():
    with pytest.raises(ValueError, match="must be one of tabular, pixels, text, audio, vision, pair; got 'x'"):
        encoder_from_state({"kind": "x"}, {})
