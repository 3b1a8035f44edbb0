"""How loud a recording is, in decibels below full scale."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.audio.samples import FLOOR_DBFS, Channel, Levels
from classifier.errors import DecodingError

RATE_HZ = 8000
SINE = np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ)


def level_of(file: Path, samples: np.ndarray, subtype: str = "PCM_16") -> Levels:
    soundfile.write(file, samples, RATE_HZ, subtype)
    return decode(Segment(bytes(file), RATE_HZ, RATE_HZ, RATE_HZ, 10)).level


@pytest.fixture(params=["a.wav", "a.flac"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / str(request.param)


def test_a_sine_is_three_decibels_below_its_peak(file: Path) -> None:
    level = level_of(file, 0.5 * SINE)
    assert level.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=0.02)
    assert level.rms_dbfs == pytest.approx(level.peak_dbfs - 3.01, abs=0.02)


def test_half_the_amplitude_is_six_decibels_less(file: Path) -> None:
    louder, softer = level_of(file, 0.5 * SINE), level_of(file, 0.25 * SINE)
    assert louder.rms_dbfs - softer.rms_dbfs == pytest.approx(6.02, abs=0.02)


def test_silence_is_at_the_floor(file: Path) -> None:
    level = level_of(file, np.zeros(RATE_HZ))
    assert (level.rms_dbfs, level.peak_dbfs, level.clipped) == (FLOOR_DBFS, FLOOR_DBFS, 0)


def test_clipping_is_the_share_of_samples_at_full_scale(file: Path) -> None:
    samples = np.zeros(RATE_HZ)
    samples[: RATE_HZ // 4] = 1.0
    assert level_of(file, samples).clipped == pytest.approx(0.25)


def test_the_peak_is_that_of_the_louder_channel(file: Path) -> None:
    level = level_of(file, np.stack([0.5 * SINE, np.zeros(RATE_HZ)], axis=1))
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.02)
    assert level.rms_dbfs == pytest.approx(-15.05, abs=0.02)  # the network gets the mean


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_the_level_does_not_depend_on_how_samples_are_stored(tmp_path: Path, subtype: str) -> None:
    level = level_of(tmp_path / "a.wav", 0.5 * SINE, subtype)
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.1)
    assert level.rms_dbfs == pytest.approx(-9.03, abs=0.1)


def test_segments_add_up_to_the_whole(tmp_path: Path) -> None:
    whole = level_of(tmp_path / "a.wav", np.concatenate([0.5 * SINE, 0.1 * SINE]))
    parts = Levels()
    for first in (0, 1):
        segment = Segment(bytes(tmp_path / "a.wav"), RATE_HZ, RATE_HZ, RATE_HZ, 1, first)
        parts.join(decode(segment).level)
    assert parts.rms_dbfs == pytest.approx(whole.rms_dbfs, abs=0.01)
    assert parts.peak_dbfs == whole.peak_dbfs


# One channel of several

NOISE = 0.1 * np.random.RandomState(0).randn(2 * RATE_HZ)


def decoded(file: Path, samples: np.ndarray, subtype: str = "PCM_16", **more) -> DecodedAudio:
    soundfile.write(file, samples, RATE_HZ, subtype)
    return decode(Segment(bytes(file), RATE_HZ, RATE_HZ, RATE_HZ, 10, **more))


def test_channels_that_cancel_each_other_are_not_scored_as_silence(file: Path) -> None:
    found = decoded(file, np.stack([0.5 * SINE, -0.5 * SINE], axis=1))
    np.testing.assert_allclose(found.audio, 0.5 * SINE, atol=1e-4)
    assert "channels cancel each other" in str(found.level.warning)


@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_the_louder_one_of_channels_that_cancel_is_scored(file: Path, offset: float) -> None:
    found = decoded(file, np.stack([0.46 * SINE, -0.5 * SINE], axis=1) + offset)
    np.testing.assert_allclose(found.audio, offset - 0.5 * SINE, atol=1e-4)
    assert "channel 2, which is scored" in str(found.level.warning)


def test_eleven_silent_channels_do_not_hide_the_twelfth(tmp_path: Path) -> None:
    samples = np.zeros((RATE_HZ, 12))
    samples[:, 6] = 0.5 * SINE
    found = decoded(tmp_path / "a.wav", samples)
    np.testing.assert_allclose(found.audio, 0.5 * SINE, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 0.9, -1.0])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_channel_of_one_value_beside_sound_is_dead(
    tmp_path: Path, value: float, subtype: str
) -> None:
    samples = np.stack([0.1 * NOISE, np.full(len(NOISE), value)], axis=1)
    found = decoded(tmp_path / "a.wav", samples, subtype)
    assert "dead: channel 2" in str(found.level.warning)


def test_quiet_sound_beside_a_large_offset_is_not_dead(tmp_path: Path) -> None:
    samples = np.stack([NOISE, 0.5 + 0.01 * NOISE], axis=1)
    assert decoded(tmp_path / "a.wav", samples, "FLOAT").level.warning is None


@pytest.mark.parametrize("right", [NOISE, 0.7 * NOISE, -0.5 * NOISE, np.roll(NOISE, 4000)])
def test_channels_that_do_not_cancel_are_averaged(file: Path, right: np.ndarray) -> None:
    found = decoded(file, np.stack([NOISE, right], axis=1))
    np.testing.assert_allclose(found.audio, (NOISE + right) / 2, atol=1e-4)
    assert found.level.warning is None


@pytest.mark.parametrize(("channel", "expected"), [(1, 0.2), (2, 0.4), ("loudest", 0.4)])
@pytest.mark.parametrize("first_clip", [0, 1])
def test_one_channel_can_be_chosen(
    file: Path, channel: Channel, expected: float, first_clip: int
) -> None:
    samples = np.stack([0.2 * NOISE, 0.4 * NOISE], axis=1)
    found = decoded(file, samples, channel=channel, first_clip=first_clip)
    np.testing.assert_allclose(found.audio, expected * NOISE[first_clip * RATE_HZ :], atol=1e-4)
    assert found.level.warning is None


@pytest.mark.parametrize("samples", [NOISE, np.stack([NOISE, NOISE], axis=1)])
def test_a_channel_that_is_not_there_is_a_warning(file: Path, samples: np.ndarray) -> None:
    found = decoded(file, samples, channel=3)
    np.testing.assert_allclose(found.audio, NOISE, atol=1e-4)
    assert "has no channel 3" in str(found.level.warning)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -3e38])
@pytest.mark.parametrize("channel", ["mean", 1, 2])
def test_what_is_no_number_is_refused_in_any_channel(
    tmp_path: Path, odd: float, channel: Channel
) -> None:
    samples = np.stack([NOISE, NOISE], axis=1)
    samples[99, 1] = odd
    with pytest.raises(DecodingError, match="no numbers"):
        decoded(tmp_path / "a.wav", samples, "FLOAT", channel=channel)


def test_channels_are_mixed_alike_in_flac_of_unknown_length(tmp_path: Path) -> None:
    samples = np.stack([0.5 * NOISE, -0.5 * NOISE], axis=1)
    soundfile.write(tmp_path / "a.flac", samples, RATE_HZ)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    found = decode(Segment(bytes(tmp_path / "a.flac"), RATE_HZ, RATE_HZ, RATE_HZ, 10))
    np.testing.assert_allclose(found.audio, 0.5 * NOISE, atol=1e-4)


@pytest.mark.parametrize("channel", ["mean", 1, 2])
def test_a_pair_of_the_greatest_numbers_is_told_apart(tmp_path: Path, channel: Channel) -> None:
    samples = np.array([[-(2**15), 2**15 - 1], [2**15 - 1, -1], [-1, -(2**15)]] * 999, np.int16)
    found = decoded(tmp_path / "a.wav", samples, channel=channel)
    expected = samples.mean(axis=1) if channel == "mean" else samples[:, int(channel) - 1]
    np.testing.assert_array_equal(found.audio[: len(expected)], expected * 2.0**-15)


# What is odd about the sound


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(RATE_HZ), "digital silence"),
        (np.zeros((RATE_HZ, 2)), "digital silence"),
        (np.full(RATE_HZ, 0.25), "stuck"),
        (np.stack([SINE, 1e-4 * SINE], axis=1), "dead: channel 2"),
        (np.stack([np.full(RATE_HZ, 0.2), SINE], axis=1), "dead: channel 1"),
    ],
)
def test_what_no_microphone_hears_is_a_warning(file: Path, samples: np.ndarray, words: str) -> None:
    assert words in str(decoded(file, samples).level.warning)


@pytest.mark.parametrize("samples", [0.5 * SINE, SINE[:1], 1e-3 * NOISE])
def test_usual_sound_has_no_warning(file: Path, samples: np.ndarray) -> None:
    assert decoded(file, samples).level.warning is None


def test_silence_in_one_segment_is_no_silent_recording(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(RATE_HZ), 0.5 * SINE])
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    whole = Levels()
    for first in (0, 1):
        segment = Segment(bytes(tmp_path / "a.wav"), RATE_HZ, RATE_HZ, RATE_HZ, 1, first)
        whole.join(decode(segment).level)
    assert whole.warning is None


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("bits", "loudness"), [(16, 0.5), (16, 1e-3), (24, 0.5), (32, 0.5)])
@pytest.mark.parametrize("is_whole", [True, False])
def test_float_samples_on_the_scale_of_integers_are_scaled(
    tmp_path: Path, name: str, subtype: str, bits: int, loudness: float, is_whole: bool
) -> None:
    samples = loudness * SINE * 2 ** (bits - 1)
    if is_whole:
        samples = np.rint(samples)
    elif loudness < 0.1:
        pytest.skip("no one can tell")
    found = decoded(tmp_path / name, samples, subtype)
    np.testing.assert_allclose(found.audio, loudness * SINE, atol=2e-5)
    assert found.level.peak_dbfs == pytest.approx(20 * math.log10(loudness), abs=0.1)
    assert f"integers of {bits} bits" in str(found.level.warning)


def test_a_quiet_segment_of_such_a_file_is_scaled_as_the_others(tmp_path: Path) -> None:
    samples = np.rint(np.concatenate([2**22 * SINE, np.sign(SINE)]))
    quiet = decoded(tmp_path / "a.wav", samples, "FLOAT", first_clip=1)
    assert np.abs(quiet.audio).max() == 2.0**-23


@pytest.mark.parametrize("samples", [np.sign(SINE), 3.0 * SINE, np.clip(9 * SINE, -1, 1)])
def test_float_samples_at_and_above_full_scale_are_left(
    tmp_path: Path, samples: np.ndarray
) -> None:
    found = decoded(tmp_path / "a.wav", samples, "FLOAT")
    np.testing.assert_allclose(found.audio, samples, atol=1e-6)
    assert found.level.warning is None


def test_samples_far_above_full_scale_are_a_warning(tmp_path: Path) -> None:
    found = decoded(tmp_path / "a.wav", 50 * SINE, "FLOAT")
    assert found.level.warning == "samples lie 34 dB above full scale; export it again"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"guan", b"GUANO|Version: 1.0\nTE: 10\n"),
        (b"wamd", struct.pack("<HIHHIH", 0, 2, 1, 15, 2, 10)),
    ],
)
def test_a_time_expansion_is_taken_back(tmp_path: Path, name: bytes, content: bytes) -> None:
    samples = np.tile(SINE, 10)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    body = (tmp_path / "a.wav").read_bytes()[8:]
    body += name + struct.pack("<I", len(content)) + content
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    found = decode(Segment(bytes(tmp_path / "a.wav"), 80_000, 40_000, 40_000, 10))
    assert (found.sample_rate_hz, found.seconds) == (80_000, 1.0)
    np.testing.assert_allclose(found.audio, samples, atol=1e-4)
