import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from tests.models.tables import recordings, table, tone, wav

from labelwise.labels import LabelTable
from labelwise.models import AudioEncoder, encoder_from_state
from labelwise.models.audio import BANDS, FRAMES, log_mel, mel_filters


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_filters_sum_to_1_and_rise_in_pitch(rate):
    filters = mel_filters(rate, round(0.032 * rate))
    np.testing.assert_allclose(filters.sum(axis=1), 1)
    assert (filters >= 0).all()
    centres = filters @ np.arange(filters.shape[1])
    assert (np.diff(centres) > 0).all()


@pytest.mark.parametrize("frequency", [200, 700, 1500, 3000])
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_a_tone_is_loudest_in_the_band_of_its_pitch(frequency, rate):
    picture = log_mel(tone(frequency, 1, rate), rate)
    assert picture.shape == (BANDS, FRAMES)
    assert picture.dtype == np.float32
    mel = 2595 * np.log10(1 + np.array([60, frequency, rate / 2]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (BANDS + 1) - 1
    assert abs(picture[:, FRAMES // 2].argmax() - expected) < 1.5


def test_decibels_lie_between_minus_80_and_0():
    picture = log_mel(np.random.default_rng(0).normal(size=8000) * np.linspace(0, 1, 8000) ** 8, 8000)
    assert picture.max() <= 1e-4
    assert picture.min() >= -80 - 1e-4


def test_the_volume_does_not_matter():
    samples = np.random.default_rng(0).normal(size=4000)
    np.testing.assert_allclose(log_mel(samples, 8000), log_mel(samples * 0.01, 8000), atol=1e-2)


def test_depth_channels_and_rate_of_a_file_hardly_matter():
    sweep = 0.5 * np.sin(2 * np.pi * np.cumsum(np.linspace(300, 2000, 8000)) / 8000)
    double = 0.5 * np.sin(2 * np.pi * np.cumsum(np.linspace(300, 2000, 16_000)) / 16_000)
    as_int16 = np.round(sweep * 32767).astype(np.int16)
    files = [
        wav(sweep.astype(np.float32)),
        wav(sweep),
        wav(as_int16),
        wav(np.round(sweep * (2**31 - 1)).astype(np.int32)),
        wav(np.stack([as_int16, as_int16], axis=1)),
        wav(double, 16_000),
        wav(np.round(sweep * 127 + 128).astype(np.uint8)),
    ]
    encoder = AudioEncoder().fit(recordings([*files, wav(tone(500)), wav(tone(900))]))
    features = encoder.transform(recordings(files)).features
    for other in features[1:5]:
        np.testing.assert_allclose(other, features[0], atol=0.15)
    # 8 bits add noise and another rate other filters; where it is loud they agree all the same.
    loud = features[0] > 1
    assert np.abs(features[5] - features[0])[loud].mean() < 0.2
    assert np.abs(features[6] - features[0])[loud].mean() < 0.2


def test_lists_of_samples_take_their_rate_from_the_metadata():
    samples = [tone(frequency).tolist() for frequency in (300, 600, 1200)]
    schema = pa.schema([pa.field("call", pa.list_(pa.float64()), metadata={"sample_rate": "8000"})])
    rows = LabelTable(pa.table({"call": samples}, schema=schema), media=("call", "audio"))
    lists = AudioEncoder().fit_transform(rows)
    files = AudioEncoder().fit_transform(recordings([wav(np.asarray(one)) for one in samples]))
    np.testing.assert_allclose(lists.features, files.features, atol=1e-5)


def test_features_are_standardised_by_band():
    generator = np.random.default_rng(0)
    files = [wav(generator.normal(size=3000 + 500 * at).cumsum()) for at in range(8)]
    features = AudioEncoder().fit_transform(recordings(files)).features
    assert features.shape == (8, 1, BANDS, FRAMES)
    np.testing.assert_allclose(features.mean(axis=(0, 1, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=(0, 1, 3)), 1, atol=1e-4)


def test_silent_and_broken_recordings_are_reported():
    good = [wav(tone(frequency)) for frequency in (300, 500, 800)]
    broken = [
        None,
        b"RIFF",
        b"",
        wav(np.zeros(800)),
        wav(np.full(800, 0.3)),
        wav(np.zeros(0)),
        wav(np.array([1, np.nan])),
    ]
    encoder = AudioEncoder()
    encoded = encoder.fit_transform(recordings([good[0], *broken, *good[1:]]))
    assert sorted(encoded.unreadable) == list(range(1, 8))
    assert encoded.unreadable[1] == "no recording"
    assert encoded.unreadable[2].startswith("not a readable WAV file")
    assert encoded.unreadable[4] == encoded.unreadable[5] == "silence"
    assert encoded.unreadable[6] == "an empty recording"
    assert encoded.unreadable[7] == "samples that are not finite"
    assert not encoded.features[1:8].any()
    np.testing.assert_allclose(
        encoded.features[[0, 8, 9]], AudioEncoder().fit_transform(recordings(good)).features, atol=1e-5
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.binary(max_size=60))
def test_no_bytes_end_the_run(kept, junk):
    whole = wav(np.round(tone(440, 0.05) * 32767).astype(np.int16))
    encoded = AudioEncoder().fit_transform(recordings([whole, whole[:kept] + junk]))
    assert np.isfinite(encoded.features).all()


def test_very_short_and_long_recordings():
    encoded = AudioEncoder().fit_transform(recordings([wav(tone(440, 0.002)), wav(tone(440, 30)), wav(tone(900, 1))]))
    assert encoded.unreadable == {}
    assert np.isfinite(encoded.features).all()


def test_state_is_plain_and_rebuilds_the_same_encoder():
    rows = recordings([wav(tone(frequency, rate=16_000), 16_000) for frequency in (300, 500, 800)])
    encoder = AudioEncoder().fit(rows)
    config, arrays = encoder.state()
    assert config["rate"] == 16_000
    again = encoder_from_state(json.loads(json.dumps(config)), arrays)
    assert (again.transform(rows).features == encoder.transform(rows).features).all()


def test_bad_input():
    with pytest.raises(ValueError, match=r"none of the 1 recordings in column call of calls.parquet .* row 0: not a"):
        AudioEncoder().fit(recordings([b"RIFF"]))
    with pytest.raises(ValueError, match="must hold WAV files or lists of samples; it holds string"):
        AudioEncoder().fit(table(call=["a.wav"]))
    with pytest.raises(ValueError, match="fit the encoder"):
        AudioEncoder().transform(recordings([]))


@pytest.mark.data
def test_spoken_digits_are_told_apart(data):
    with np.load(data / "spoken-digits" / "fsdd.npz") as file:
        samples, offsets, digits, takes = (file[name] for name in ("samples", "offsets", "digit", "take"))
    rows = recordings([wav(samples[start:stop]) for start, stop in pairwise(offsets)])
    features = AudioEncoder().fit_transform(rows).features.reshape(len(rows), -1)
    learn = takes >= 5  # the official split
    model = LogisticRegression(C=0.001, tol=1e-2).fit(features[learn], digits[learn])
    assert model.score(features[~learn], digits[~learn]) > 0.9
