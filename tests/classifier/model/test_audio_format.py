from __future__ import annotations

import math

import pytest

from classifier.errors import CheckpointError
from classifier.model.audio_format import AudioFormat


def test_the_defaults_are_the_reference_geometry() -> None:
    reference = AudioFormat()
    assert (reference.clip_samples, reference.n_bins, reference.n_frames) == (110_250, 1025, 216)


def test_a_clip_length_that_is_no_whole_number_of_samples_is_rounded() -> None:
    assert AudioFormat(clip_seconds=1 / 3).clip_samples == 7350


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate_hz", 1),
        ("sample_rate_hz", 10**400),
        ("clip_seconds", 0.0),
        ("clip_seconds", math.nan),
        ("clip_seconds", math.inf),
        ("clip_seconds", 1e308),
        ("clip_seconds", 1e-9),
        ("n_fft", -1),
        ("hop_length", 0),
        ("n_mels", 2000),
        ("min_hz", -1.0),
        ("min_hz", math.nan),
        ("max_hz", 11_026.0),
        ("max_hz", math.inf),
        ("floor_decibels", 0.0),
        ("floor_decibels", math.nan),
    ],
)
def test_a_field_that_cannot_be_right_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(CheckpointError, match=f"field {field} = "):
        AudioFormat(**{field: value})  # type: ignore[arg-type]
