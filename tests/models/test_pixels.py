import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.models.tables import photos, picture, table, tensors

from labelwise.models import PixelEncoder, encoder_from_state
from labelwise.models.encoder import BLOCK


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(8, 8), (8, 12), (6, 6, 3)])
def test_small_tensors_keep_their_size_and_channels(shape):
    pixels = noise(20, *shape)
    encoded = PixelEncoder().fit_transform(table(media=("x", "image"), x=tensors(pixels)))
    channels = shape[2] if len(shape) == 3 else 1
    assert encoded.features.shape == (20, channels, *shape[:2])
    assert encoded.features.dtype == np.float32
    np.testing.assert_allclose(encoded.features.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(encoded.features.std(axis=(0, 2, 3)), 1, atol=1e-5)
    expected = pixels.reshape(20, *shape[:2], channels).transpose(0, 3, 1, 2).astype(float)
    expected = (expected - expected.mean(axis=(0, 2, 3), keepdims=True)) / expected.std(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(encoded.features, expected, atol=1e-4)


def test_files_give_what_tensors_give():
    pixels = noise(12, 16, 16, 3)
    files = PixelEncoder().fit_transform(photos([picture(one) for one in pixels]))
    arrays = PixelEncoder().fit_transform(table(media=("x", "image"), x=tensors(pixels)))
    assert (files.features == arrays.features).all()
    assert files.unreadable == {}


def test_fitting_then_transforming_is_the_same_as_both_at_once():
    rows = photos([picture(noise(20, 20, seed=at)) for at in range(BLOCK + 3)])
    encoder = PixelEncoder(10)
    at_once = encoder.fit_transform(rows)
    assert (PixelEncoder(10).fit(rows).transform(rows).features == at_once.features).all()
    assert (encoder.transform(rows.select([BLOCK + 1])).features == at_once.features[[BLOCK + 1]]).all()


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [
        ([(20, 30)] * 2, None, (20, 30)),
        ([(65, 30)] * 2, None, (48, 48)),
        ([(20, 20), (20, 21)], None, (48, 48)),
        ([(20, 20), (300, 21)], 24, (24, 24)),
    ],
)
def test_size(sizes, size, expected):
    rows = photos([picture(noise(*one)) for one in sizes])
    assert PixelEncoder(size).fit_transform(rows).features.shape[2:] == expected


def test_large_tensors_are_made_smaller():
    flat = np.full((3, 100, 80), 7, np.uint8)
    flat[1] = 90
    encoded = PixelEncoder().fit_transform(table(x=tensors(flat)))
    assert encoded.features.shape == (3, 1, 48, 48)
    assert np.ptp(encoded.features, axis=(1, 2, 3)).max() < 1e-4


def test_one_channel_only_if_all_are_grey():
    grey, colour = picture(noise(9, 9)), picture(noise(9, 9, 3))
    assert PixelEncoder().fit_transform(photos([grey, grey])).features.shape[1] == 1
    encoder = PixelEncoder().fit(photos([grey, colour]))
    assert encoder.transform(photos([grey])).features.shape[1] == 3
    assert PixelEncoder().fit(photos([grey])).transform(photos([colour])).features.shape[1] == 1


def test_tensors_are_brought_to_the_channels_learned():
    grey, colour = noise(4, 9, 9), noise(4, 9, 9, 3)
    encoder = PixelEncoder().fit(table(x=tensors(grey)))
    repeated = encoder.transform(table(x=tensors(np.repeat(grey[..., None], 3, axis=3)))).features
    np.testing.assert_allclose(repeated, encoder.transform(table(x=tensors(grey))).features, atol=1e-5)
    assert PixelEncoder().fit(table(x=tensors(colour))).transform(table(x=tensors(grey))).features.shape[1] == 3
    with pytest.raises(ValueError, match=r"3 channel.* got 2"):
        PixelEncoder().fit(table(x=tensors(colour))).transform(table(x=tensors(colour[..., :2])))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation):
    upright = noise(12, 20)
    # How a camera that is turned stores the same scene: the inverse of what the tag asks for.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = picture(np.ascontiguousarray(stored), exif=exif)
    encoder = PixelEncoder()
    encoded = encoder.fit_transform(photos([turned, picture(upright)]))
    assert encoded.features.shape[2:] == (12, 20)
    assert (encoded.features[0] == encoded.features[1]).all()


def test_every_mode_of_picture_is_read():
    files = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
        file = io.BytesIO()
        image = Image.fromarray(noise(9, 9).astype(np.uint16) * 257) if mode == "I;16" else None
        (image or Image.fromarray(noise(9, 9, 3)).convert(mode)).save(file, "TIFF")
        files.append(file.getvalue())
    encoded = PixelEncoder().fit_transform(photos(files))
    assert encoded.unreadable == {}
    assert encoded.features.shape == (8, 3, 9, 9)


def test_sixteen_bits_are_scaled_and_what_is_transparent_is_white():
    deep = io.BytesIO()
    Image.fromarray(noise(9, 9).astype(np.uint16) * 257).save(deep, "PNG")
    encoded = PixelEncoder().fit_transform(photos([deep.getvalue(), picture(noise(9, 9))]))
    np.testing.assert_allclose(encoded.features[0], encoded.features[1], atol=1e-5)
    clear = np.dstack([noise(9, 9, 3), np.zeros((9, 9, 1), np.uint8)])
    white = np.full((9, 9, 3), 255, np.uint8)
    encoded = PixelEncoder().fit_transform(photos([picture(clear), picture(white), picture(noise(9, 9, 3))]))
    assert (encoded.features[0] == encoded.features[1]).all()


def test_broken_pictures_are_reported_and_the_others_are_as_without_them():
    good = [picture(noise(30, 30, 3, seed=at), "JPEG") for at in range(4)]
    rows = photos(
        [good[0], good[1][:200], b"no picture at all", good[1], None, b"", good[2], good[3]], unreadable={7: "torn"}
    )
    encoder = PixelEncoder()
    encoded = encoder.fit_transform(rows)
    assert sorted(encoded.unreadable) == [1, 2, 4, 5, 7]
    assert "UnidentifiedImageError" in encoded.unreadable[2]
    assert "truncated" in encoded.unreadable[1].lower()
    assert encoded.unreadable[4] == encoded.unreadable[5] == "no picture"
    assert encoded.unreadable[7] == "torn"
    assert not encoded.features[list(encoded.unreadable)].any()
    alone = PixelEncoder().fit_transform(photos(good[:3]))
    np.testing.assert_allclose(encoded.features[[0, 3, 6]], alone.features, atol=1e-5)


def test_missing_and_infinite_tensors_are_reported():
    pixels = noise(5, 8, 8).astype(np.float32)
    pixels[2, 3, 3] = np.nan
    mask = np.array([False, True, False, False, False])
    encoded = PixelEncoder().fit_transform(table(x=tensors(pixels, mask)))
    assert encoded.unreadable == {1: "no picture", 2: "pixels that are not finite"}
    assert np.isfinite(encoded.features).all()
    assert not encoded.features[[1, 2]].any()


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_end_the_run(junk):
    whole = picture(noise(8, 8), "JPEG")
    rows = photos([whole, junk, whole[: len(whole) // 2] + junk])
    assert PixelEncoder().fit_transform(rows).features.shape[0] == 3


def test_state_is_plain_and_rebuilds_the_same_encoder():
    rows = photos([picture(noise(30, 31, 3, seed=at), "JPEG") for at in range(5)])
    encoder = PixelEncoder(20).fit(rows)
    config, arrays = encoder.state()
    again = encoder_from_state(json.loads(json.dumps(config)), arrays)
    assert (again.transform(rows).features == encoder.transform(rows).features).all()
    assert again.settings() == {"size": 20}


def test_bad_input():
    with pytest.raises(ValueError, match="none of the 2 pictures in column photo of photos is readable; row 0: not a"):
        PixelEncoder().fit(photos([b"x", b"y"]))
    with pytest.raises(ValueError, match="at least 4 pixels; got 1"):
        PixelEncoder(1)
    with pytest.raises(ValueError, match=r"column x of birds.csv must hold encoded pictures or arrays"):
        PixelEncoder().fit(table(x=["a.png"]))
    encoder = PixelEncoder().fit(photos([picture(noise(9, 9))]))
    with pytest.raises(ValueError, match="no column 'photo'; did you mean 'photos'"):
        encoder.transform(table(photos=[b"x"]))
    with pytest.raises(ValueError, match=r"column photo held pictures .*; birds.csv has int64"):
        encoder.transform(table(photo=[1]))
    with pytest.raises(ValueError, match="fit the encoder"):
        PixelEncoder().transform(photos([b"x"]))
