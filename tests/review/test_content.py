import io
import wave

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from labelwise.review.content import SCHEMA, Contents, draw_spectrogram, facts_of, media_type


def sound(samples: np.ndarray, rate: int = 8000, width: int = 2, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((samples * 30_000).astype("<i2").tobytes() if width == 2 else samples.astype("u1").tobytes())
    return buffer.getvalue()


def test_a_spectrogram_shows_the_pitch_at_its_height():
    rate = 8000
    seconds = np.arange(2 * rate) / rate
    content = sound(np.sin(2 * np.pi * np.where(seconds < 1, 1000, 3000) * seconds), rate)
    with Image.open(io.BytesIO(draw_spectrogram(content))) as picture:
        assert picture.size == (900, 192)
        bright = np.asarray(picture.convert("L"), float)
    for column, pitch in ((225, 1000), (675, 3000)):
        row = bright[:, column].argmax()
        assert (1 - row / 192) * rate / 2 == pytest.approx(pitch, abs=60)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF broken", b"fLaC and more", sound(np.zeros(10)), sound(np.zeros(30), width=3)]
)
def test_what_is_no_sound_has_no_spectrogram(content):
    assert draw_spectrogram(content) == b""


@pytest.mark.parametrize("width", [1, 2])
def test_silence_and_many_channels_have_a_spectrogram(width):
    assert draw_spectrogram(sound(np.full(16_000, 0), width=width, channels=2)).startswith(b"\x89PNG")


def test_a_long_sound_is_as_wide_as_a_short_one():
    with Image.open(io.BytesIO(draw_spectrogram(sound(np.zeros(8000 * 120))))) as picture:
        assert picture.size == (900, 192)


def test_types_are_told_by_content_and_nothing_is_served_as_a_page():
    assert media_type(b"\x89PNG\r\n") == "image/png"
    assert media_type(sound(np.zeros(9))) == "audio/wav"
    for hostile in (b"<html><script>", b"<svg onload=alert(1)>", b"%PDF", b"GIF89a"):
        assert media_type(hostile).startswith("text/plain")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "content.arrow"
    assert facts_of(path) == {}
    path.write_bytes(b"ARROW1 but no more")
    assert facts_of(path) == {}
    with pytest.raises(ValueError, match=r"content\.arrow cannot be read .* start the review again"):
        Contents(path)


def test_nothing_is_kept_of_a_row_that_is_not_there(tmp_path):
    path = tmp_path / "content.arrow"
    schema = SCHEMA.with_metadata({"review": '{"note": "", "tree": {}, "words": {}, "fingerprint": "0"}'})
    with pa.ipc.new_file(str(path), schema) as writer:
        rows = [{"example": row, "key": str(row), "kind": "none", "labels": "{}"} for row in (2, 5)]
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    contents = Contents(path)
    assert [row in contents for row in (-1, 0, 2, 3, 5, 6)] == [False, False, True, False, True, False]
    assert contents.item(5)["cells"] == {}
    assert contents.neighbours(5) == []
    assert contents.content(5) == contents.thumbnail(5) == b""
    with pytest.raises(LookupError, match="item 3"):
        contents.content(3)
