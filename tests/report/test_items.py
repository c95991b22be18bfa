import base64
import io
import json
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labelwise.report import items
from labelwise.report.items import items_of
from labelwise.report.plain import Missing


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, rows: list[tuple[int, str, bytes]]) -> Path:
    pd.DataFrame(rows, columns=["example", "kind", "content"]).to_parquet(folder / "items.parquet")
    return folder


def test_a_small_picture_keeps_its_bytes_and_a_large_one_shrinks(tmp_path: Path):
    small = png(np.arange(64, dtype=np.uint8).reshape(8, 8))
    large = png(np.random.default_rng(0).integers(0, 255, (300, 600, 3), dtype=np.uint8))
    first, second = items_of(write(tmp_path, [(4, "image", small), (7, "image", large)]), [4, 7])
    assert base64.b64decode(first["data"].partition(",")[2]) == small
    assert (second["width"], second["height"]) == (items.SIDE, items.SIDE // 2)
    with Image.open(io.BytesIO(base64.b64decode(second["data"].partition(",")[2]))) as shown:
        assert shown.size == (items.SIDE, items.SIDE // 2)


def test_texts_rows_and_sounds(tmp_path: Path):
    row = json.dumps({"length": 3.5, "name": "ä", "none": None, **{f"c{i}": i for i in range(50)}}).encode()
    folder = write(tmp_path, [(0, "text", b"a <b>\x07"), (1, "row", row), (2, "audio", b"RIFFdata")])
    text, cells, sound = items_of(folder, [0, 1, 2])
    assert text == {"kind": "text", "text": "a <b>\ufffd"}
    assert cells["cells"][:3] == [["length", "3.5"], ["name", "ä"], ["none", None]]
    assert len(cells["cells"]) + cells["more"] == 53
    assert base64.b64decode(sound["data"].removeprefix("data:audio/wav;base64,")) == b"RIFFdata"


def sound(rate: int, seconds: float) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        time = np.arange(int(rate * seconds)) / rate
        file.writeframes((20_000 * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes())
    return buffer.getvalue()


def test_a_long_sound_gets_short_and_keeps_its_pitch(tmp_path: Path):
    short, long = sound(8_000, 0.5), sound(44_100, 10)
    first, second = items_of(write(tmp_path, [(0, "audio", short), (1, "audio", long)]), [0, 1])
    assert base64.b64decode(first["data"].partition(",")[2]) == short
    with wave.open(io.BytesIO(base64.b64decode(second["data"].partition(",")[2]))) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.uint8).astype(float) - 128
    assert len(samples) == items.SECONDS * rate
    strongest = np.abs(np.fft.rfft(samples)).argmax() / items.SECONDS
    assert strongest == pytest.approx(440, abs=1)
    assert samples.max() == pytest.approx(20_000 / 256, abs=2)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("image", b"no picture"), ("image", png(np.zeros((9, 9), np.uint8))[:45]), ("row", b"{"), ("row", b"[1]")],
)
def test_what_cannot_be_shown_says_so(tmp_path: Path, kind: str, content: bytes):
    (item,) = items_of(write(tmp_path, [(0, kind, content)]), [0])
    assert item == {"kind": "none", "why": f"this {kind} could not be shown"}


def test_an_example_without_item_has_none(tmp_path: Path):
    assert items_of(write(tmp_path, [(0, "text", b"a")]), [1, 0, 0]) == [None, *[{"kind": "text", "text": "a"}] * 2]


def test_the_budget_counts_every_item_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(items, "BUDGET", 15)
    folder = write(tmp_path, [(0, "text", b"x" * 10), (1, "text", b"y" * 8), (2, "text", b"z" * 3)])
    kinds = [item["kind"] for item in items_of(folder, [0, 0, 0, 1, 0, 2, 1])]
    assert kinds == ["text", "text", "text", "none", "text", "text", "none"]


def test_a_missing_and_a_broken_file_are_told_apart(tmp_path: Path):
    with pytest.raises(Missing, match=r"no items\.parquet"):
        items_of(tmp_path, [0])
    (tmp_path / "items.parquet").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"items\.parquet cannot be read"):
        items_of(tmp_path, [0])
    pd.DataFrame({"example": [1]}).to_parquet(tmp_path / "items.parquet")
    with pytest.raises(ValueError, match="no column kind, content"):
        items_of(tmp_path, [0])
