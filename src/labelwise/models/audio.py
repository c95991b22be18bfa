"""Recordings as log-mel pictures."""

import io
import math
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch.nn.functional import interpolate

from labelwise.labels import LabelTable
from labelwise.models.encoder import (
    Encoded,
    Encoder,
    blocks,
    is_bytes,
    known_unreadable,
    media_column,
    threads,
)
from labelwise.progress import progress

BANDS = 40
FRAMES = 40
_WINDOW = 0.032
_HOP = 0.010
_RANGE = 80.0
_QUIETEST = 1e-5


class AudioEncoder(Encoder):
    """Recordings as pictures [n, 1, 40 mel bands, 40 moments] of how loud each pitch is over time.

    Takes WAV files (8, 16, 24 or 32-bit integers, or floats; channels are averaged) or lists of samples, whose rate in
    Hz is the field's metadata `sample_rate` (default 16000). Each recording is brought to one rate (8 kHz if half of
    those fitted to have no more, else 16 kHz) and cut into windows of 32 ms every 10 ms, whose power is summed in 40
    bands of equal width in mel. Decibels are counted from the loudest point, down to -80, so that the volume does not
    matter; time is stretched or averaged to 40 moments; each band has mean 0 and standard deviation 1 over the rows
    fitted to.

    Silent, empty and broken recordings are unreadable. The memory taken is the result and 256 recordings.
    """

    kind = "audio"

    def __init__(self) -> None:
        self._learned: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return {}

    def columns(self, table: LabelTable) -> list[str]:  # noqa: D102
        return [media_column(table, None, "audio")]

    def fit(self, table: LabelTable, quiet: bool = True) -> Self:  # noqa: D102
        self.fit_transform(table, quiet)
        return self

    def fit_transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        column = media_column(table, None, "audio")
        rates = _rates(table, column)
        self._learned = {"column": column, "rate": 8000 if np.median(rates or [16_000]) <= 8000 else 16_000}
        pictures, unreadable = self._read(table, quiet)
        if len(unreadable) == len(table):
            first = f"; row 0: {unreadable[0]}" if unreadable else ""
            raise ValueError(
                f"none of the {len(table)} recordings in column {column} of {table.source} is readable{first}"
            )
        readable = np.ones(len(table), bool)
        readable[list(unreadable)] = False
        mean = pictures.mean(axis=(0, 1, 3), dtype=np.float64, where=readable[:, None, None, None])
        deviation = pictures.std(axis=(0, 1, 3), dtype=np.float64, where=readable[:, None, None, None])
        self._arrays = {
            "mean": mean.astype(np.float32),
            "deviation": np.where(deviation > 1e-6, deviation, 1).astype(np.float32),
        }
        return self._normalise(pictures, unreadable)

    def transform(self, table: LabelTable, quiet: bool = True) -> Encoded:  # noqa: D102
        if not self._learned:
            raise ValueError("fit the encoder to a table before using it")
        return self._normalise(*self._read(table, quiet))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:  # noqa: D102
        return {"kind": self.kind, **self._learned}, dict(self._arrays)

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:  # noqa: D102
        self._learned = {key: config[key] for key in ("column", "rate")}
        self._arrays = dict(arrays)
        return self

    def _read(self, table: LabelTable, quiet: bool) -> tuple[np.ndarray, dict[int, str]]:
        """Decibels [n, 1, bands, frames] and what could not be read."""
        column = media_column(table, self._learned["column"], "audio")
        held = table.data[column]
        files, list_rate = is_bytes(held.type), _list_rate(table, column)
        rate = self._learned["rate"]
        pictures = np.zeros((len(table), 1, BANDS, FRAMES), np.float32)
        unreadable = known_unreadable(table)

        def draw(row: int) -> np.ndarray | str:
            value = held[row]
            if row in unreadable or not value.is_valid:
                return "no recording"
            found = _read_wav(value.as_py()) if files else (np.asarray(value.values, np.float64), list_rate)
            if isinstance(found, str):
                return found
            samples = _mono(found[0])
            return samples if isinstance(samples, str) else log_mel(_resample(samples, found[1], rate), rate)

        # SciPy warns of chunks that it skips; the filter is Python's own and must be set outside the threads.
        with warnings.catch_warnings(), progress("Reading recordings", len(table), quiet) as advance, threads() as pool:
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            for rows in blocks(len(table)):
                numbers = range(rows.start, rows.stop)
                for row, picture in zip(numbers, pool.map(draw, numbers), strict=True):
                    if isinstance(picture, str):
                        unreadable.setdefault(row, picture)
                    else:
                        pictures[row, 0] = picture
                advance(len(numbers))
        return pictures, unreadable

    def _normalise(self, pictures: np.ndarray, unreadable: dict[int, str]) -> Encoded:
        pictures -= self._arrays["mean"][:, None]
        pictures /= self._arrays["deviation"][:, None]
        pictures[list(unreadable)] = 0
        return Encoded(pictures, unreadable)


def log_mel(samples: np.ndarray, rate: int) -> np.ndarray:
    """Decibels below the loudest point (0 to -80) in each mel band at each moment, float32 [40, 40].

    `samples` [time], at `rate` Hz, must not be silent.
    """
    window = round(_WINDOW * rate)
    hop = round(_HOP * rate)
    # Half a window of silence on both sides lets the first and the last sample stand in the middle of a window.
    padded = np.pad(samples.astype(np.float32), window // 2 + 1)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window).astype(np.float32), axis=1)) ** 2
    bands = power @ mel_filters(rate, window).T
    decibels = 10 * np.log10(np.maximum(bands / bands.max(), 10 ** (-_RANGE / 10)))
    picture = torch.from_numpy(np.ascontiguousarray(decibels.T, dtype=np.float32))[None, None]
    return interpolate(picture, size=(BANDS, FRAMES), mode="bilinear", antialias=True)[0, 0].numpy()


@cache
def mel_filters(rate: int, window: int) -> np.ndarray:
    """Triangles that sum the bins of a Fourier transform in bands of equal width in mel, [40, window // 2 + 1].

    mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987), from 60 Hz to half of `rate`. Each
    triangle rises from the middle of the band before and falls to the middle of the next, and sums to 1.
    """
    ends = [2595 * math.log10(1 + frequency / 700) for frequency in (60.0, rate / 2)]
    corners = 700 * (10 ** (np.linspace(ends[0], ends[1], BANDS + 2) / 2595) - 1)
    bins = np.arange(window // 2 + 1) * rate / window
    # A triangle of the lowest bands may be narrower than a bin: it then still reaches its nearest ones.
    half = np.maximum(np.diff(corners), rate / window)
    rising = (bins - corners[1:-1, None]) / half[:-1, None] + 1
    falling = (corners[1:-1, None] - bins) / half[1:, None] + 1
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return triangles / triangles.sum(axis=1, keepdims=True)


def _read_wav(content: bytes) -> tuple[np.ndarray, int] | str:
    """Samples [time] or [time, channels] as the file has them and their rate; or in words why there are none."""
    try:
        rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # a broken header may make it raise nearly anything, and must not end the run
        return f"not a readable WAV file ({type(error).__name__}: {error})"
    return (samples, int(rate)) if rate > 0 else f"a WAV file with the sample rate {rate}"


def _mono(samples: np.ndarray) -> np.ndarray | str:
    """One channel of floats [time] around 0, full scale 1; or in words why they cannot be used."""
    if not len(samples):
        return "an empty recording"
    if samples.dtype == np.uint8:  # 8-bit files are the only unsigned ones
        samples = (samples.astype(np.float64) - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    samples = samples.astype(np.float64).reshape(len(samples), -1).mean(axis=1)
    if not np.isfinite(samples).all():
        return "samples that are not finite"
    samples -= samples.mean()
    return "silence" if np.abs(samples).max() < _QUIETEST else samples


def _resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    common = math.gcd(rate, wanted)
    return samples if rate == wanted else resample_poly(samples, wanted // common, rate // common)


def _list_rate(table: LabelTable, column: str) -> int:
    """Rate of recordings that are given as lists of samples."""
    kind = table.data[column].type
    if not (is_bytes(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise ValueError(f"column {column} of {table.source} must hold WAV files or lists of samples; it holds {kind}")
    metadata = table.data.schema.field(column).metadata or {}
    return int(metadata.get(b"sample_rate", 16_000))


def _rates(table: LabelTable, column: str) -> list[int]:
    """Rates in Hz by the headers of the files, of those that have a good one."""
    list_rate = _list_rate(table, column)
    held = table.data[column]
    if not is_bytes(held.type):
        return [list_rate]
    # In a WAV file the rate stands in the format chunk, 12 bytes after the chunk's name.
    rates = []
    for value in held:
        head = (value.as_py() or b"")[:4096]
        at = head.find(b"fmt ")
        if head[:4] == b"RIFF" and at > 0 and len(head) >= at + 16:
            rates.append(int.from_bytes(head[at + 12 : at + 16], "little"))
    return rates
