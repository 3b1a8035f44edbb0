from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.model.audio_format import AudioFormat
from classifier.model.log_mel import LogMel, mel_filter_bank

Samples = np.ndarray
REFERENCE = AudioFormat()
RATE_HZ = REFERENCE.sample_rate_hz


def our_decibels(clip: Samples, audio_format: AudioFormat = REFERENCE) -> Samples:
    logmel = LogMel(audio_format, mel_filter_bank(audio_format))
    return logmel(torch.from_numpy(clip)[None])[0].numpy()


def librosas_decibels(clip: Samples, peak: bool = False) -> Samples:
    import librosa

    power = librosa.feature.melspectrogram(
        y=clip, sr=RATE_HZ, n_fft=REFERENCE.n_fft, hop_length=REFERENCE.hop_length, n_mels=128
    )
    return librosa.power_to_db(power, ref=np.max if peak else 1.0)


def synthetic_clip(kind: str, tone: Callable[..., Samples], noise: Callable[..., Samples]):
    if kind == "tone":
        return tone(1000.0, 5.0, RATE_HZ)
    if kind == "silence":
        return np.zeros(REFERENCE.clip_samples, np.float32)
    fade = np.geomspace(1, 1e-6, REFERENCE.clip_samples).astype(np.float32)
    return noise(5.0, RATE_HZ) * (fade if kind == "fading noise" else 1)


@pytest.mark.parametrize("kind", ["tone", "noise", "fading noise", "silence"])
def test_decibels_equal_librosas(
    kind: str, tone: Callable[..., Samples], noise: Callable[..., Samples]
) -> None:
    clip = synthetic_clip(kind, tone, noise)
    np.testing.assert_allclose(our_decibels(clip), librosas_decibels(clip), atol=1e-3)


def test_peak_decibels_equal_librosas_with_ref_max(noise: Callable[..., Samples]) -> None:
    clip = noise(5.0, RATE_HZ)
    ours = our_decibels(clip, AudioFormat(peak_decibels=True))
    np.testing.assert_allclose(ours, librosas_decibels(clip, peak=True), atol=1e-3)


def test_decibels_of_real_recordings_equal_librosas(esc10: Path) -> None:
    import soundfile
    import soxr

    for path in sorted((esc10 / "audio").iterdir())[::40]:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        clip = soxr.resample(samples, rate_hz, RATE_HZ)
        np.testing.assert_allclose(our_decibels(clip), librosas_decibels(clip), atol=1e-3)


@pytest.mark.parametrize("hz", [250.0, 1000.0, 4000.0])
def test_a_tone_peaks_in_the_band_that_holds_it(hz: float, tone: Callable[..., Samples]) -> None:
    import librosa

    loudest = our_decibels(tone(hz, 5.0, RATE_HZ)).mean(axis=1).argmax()
    edges_hz = librosa.mel_frequencies(130, fmin=0.0, fmax=RATE_HZ / 2)
    assert edges_hz[loudest] < hz < edges_hz[loudest + 2]


def test_doubling_the_gain_shifts_all_decibels_by_a_constant(noise: Callable[..., Samples]) -> None:
    clip = noise(5.0, RATE_HZ)
    shift = our_decibels(2 * clip) - our_decibels(clip)
    np.testing.assert_allclose(shift, 20 * np.log10(2), atol=1e-3)


def test_nothing_lies_deeper_than_the_floor_below_the_loudest_cell(
    tone: Callable[..., Samples],
) -> None:
    decibels = our_decibels(tone(1000.0, 5.0, RATE_HZ), AudioFormat(floor_decibels=30.0))
    assert decibels.max() - decibels.min() == pytest.approx(30.0, abs=1e-3)


def test_a_clip_gives_one_frame_per_hop(noise: Callable[..., Samples]) -> None:
    assert our_decibels(noise(5.0, RATE_HZ)).shape == (REFERENCE.n_mels, REFERENCE.n_frames)


def test_a_clip_has_the_same_decibels_whatever_shares_its_batch(
    tone: Callable[..., Samples], noise: Callable[..., Samples]
) -> None:
    loud = torch.from_numpy(tone(1000.0, 5.0, RATE_HZ))
    quiet = torch.from_numpy(1e-3 * noise(5.0, RATE_HZ))
    logmel = LogMel(REFERENCE, mel_filter_bank(REFERENCE))
    together = logmel(torch.stack([loud, quiet]))[1]
    torch.testing.assert_close(together, logmel(quiet[None])[0], atol=1e-3, rtol=0)
