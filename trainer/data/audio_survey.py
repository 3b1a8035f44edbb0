"""The sample rate and the clip length that fit the labelled files.

Headers are read by the pool's workers, since a damaged one may spin or ask for all memory.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from classifier.audio.decode import DecodedAudio, Segment
from classifier.workers.pool import DecodePool
from storage.values.text import text_digest
from trainer.data.examples import Example

MAX_SURVEYED = 1000  # of more files a fixed sample is enough

USUAL_HZ = 22_050  # for what people hear; the default recipe was measured with it
AUDIBLE_HZ = 48_000  # the highest rate that recordings of it commonly have
ULTRASOUND_HZ = 128_000  # from here on a recorder is made for bats
LOWEST_HZ = 1000

CLIP_SECONDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
MAX_CLIP_SAMPLES = 2**18  # of ultrasound a second, so that a training step stays affordable
SHARE_IN_ONE_CLIP = 0.9  # of the recordings
LEFT_OVER = 0.02  # of a clip: what encoders add at the end
WORTH_SAYING = 0.05  # of the files


@dataclass(frozen=True)
class SurveyedAudio:
    """What a header says: the seconds between start and end, and the file's sample rate."""

    seconds: float
    sample_rate_hz: int


@dataclass(frozen=True)
class AudioSurvey:
    """The audio format for these files, and lines for a person about its origin."""

    sample_rate_hz: int
    clip_seconds: float
    lines: tuple[str, ...]


def survey(examples: Sequence[Example], pool: DecodePool[int]) -> list[SurveyedAudio]:
    """What the headers say, of at most MAX_SURVEYED examples; unreadable ones are missing.

    The same examples are chosen whatever their order.
    """
    chosen = sorted(examples, key=_hash)[:MAX_SURVEYED]
    for at, example in enumerate(chosen):
        pool.submit(at, _header_only(example))
    answers = dict(pool.wait() for _ in chosen)
    found = (answers[at] for at in range(len(chosen)))
    return [
        SurveyedAudio(answer.seconds if answer.total_clips else math.inf, answer.sample_rate_hz)
        for answer in found
        if isinstance(answer, DecodedAudio)
    ]


def choose_audio_format(
    surveyed: Sequence[SurveyedAudio],
    sample_rate_hz: int | None = None,
    clip_seconds: float | None = None,
) -> AudioSurvey:
    """The format that fits the files; what is given stays as it is.

    The rate is not above that of most files, and not above what people hear unless the files are
    of ultrasound. A clip holds nine of ten recordings, up to five seconds.
    """
    rate_hz = sample_rate_hz or fitting_rate_hz([each.sample_rate_hz for each in surveyed])
    seconds = clip_seconds or fitting_clip_seconds([each.seconds for each in surveyed], rate_hz)
    lines = [f"clips of {seconds:g} s at {rate_hz} Hz, {_origin(surveyed)}"]
    if sample_rate_hz is None:
        lines += _notes([each.sample_rate_hz for each in surveyed], rate_hz)
    return AudioSurvey(rate_hz, seconds, tuple(lines))


def fitting_rate_hz(rates_hz: Sequence[int]) -> int:
    """What half of the files have or exceed, up to USUAL_HZ; the whole rate for ultrasound."""
    if not rates_hz:
        return USUAL_HZ
    typical = statistics.median_low(rates_hz)
    return typical if typical >= ULTRASOUND_HZ else min(max(typical, LOWEST_HZ), USUAL_HZ)


def fitting_clip_seconds(seconds: Sequence[float], sample_rate_hz: int) -> float:
    """The shortest of CLIP_SECONDS that holds nine of ten recordings, in samples not too many."""
    usual = _quantile(seconds, SHARE_IN_ONE_CLIP) if seconds else math.inf
    limit = MAX_CLIP_SAMPLES / sample_rate_hz
    possible = [step for step in CLIP_SECONDS if step <= limit] or CLIP_SECONDS[:1]
    return next((step for step in possible if usual <= step * (1 + LEFT_OVER)), possible[-1])


def _header_only(example: Example) -> Segment:
    """One sample from within: no digest is made, and next to nothing decoded."""
    return Segment(
        path=os.path.realpath(os.fsencode(example.path)),
        sample_rate_hz=USUAL_HZ,
        clip_samples=1,
        hop_samples=1,
        max_clips=1,
        first_clip=1,
        start_seconds=example.start_seconds,
        end_seconds=example.end_seconds,
    )


def _hash(example: Example) -> str:
    return text_digest(f"{example.group}:{example.path.name}:{example.start_seconds}")


def _origin(surveyed: Sequence[SurveyedAudio]) -> str:
    if not surveyed:
        return "since no file could be read"
    lengths = sorted(each.seconds for each in surveyed)
    rates = sorted(each.sample_rate_hz for each in surveyed)
    usual = _quantile(lengths, SHARE_IN_ONE_CLIP)
    lengths_text = _range(_seconds(lengths[0]), _seconds(lengths[-1]))
    longest = "" if usual == lengths[-1] else f", nine of ten up to {_seconds(usual)} s"
    at_hz = _range(f"{rates[0]}", f"{rates[-1]}")
    return f"from the files: {lengths_text} s long{longest}, at {at_hz} Hz"


def _seconds(value: float) -> str:
    if math.isinf(value):
        return "unknown"  # a stream whose header names no length
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _range(lowest: str, highest: str) -> str:
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _notes(rates_hz: Sequence[int], chosen_hz: int) -> list[str]:
    """What a person may want otherwise, where it concerns more than a few files."""
    least = WORTH_SAYING * len(rates_hz)
    below = [rate for rate in rates_hz if rate < chosen_hz]
    above = [rate for rate in rates_hz if rate > max(AUDIBLE_HZ, chosen_hz)]
    notes = []
    if chosen_hz >= ULTRASOUND_HZ:
        notes.append(
            f"recordings at {chosen_hz} Hz are taken for ultrasound and heard whole; where only "
            f"what people hear matters, --sample-rate {USUAL_HZ} costs far less"
        )
    if above and len(above) >= least:
        notes.append(
            f"{len(above)} of {len(rates_hz)} files are recorded at up to {max(above)} Hz, but "
            f"nothing above {chosen_hz // 2} Hz is heard; "
            f"--sample-rate {max(above)} hears all of it"
        )
    if below and len(below) >= least:
        notes.append(
            f"{len(below)} of {len(rates_hz)} files are recorded at less, down to {min(below)} Hz: "
            "where those are mostly of certain labels, the missing treble gives them away; "
            f"--sample-rate {min(below)} treats all files alike"
        )
    return notes


def _quantile(values: Sequence[float], share: float) -> float:
    """The least value that this share of all does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
