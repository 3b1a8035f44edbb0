"""The audio format that the labelled files call for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from classifier.workers.pool import DecodePool
from trainer.data.audio_survey import SurveyedAudio, choose_audio_format, survey
from trainer.data.examples import Example
from trainer.data.labels import read_labels


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool[int]]:
    with DecodePool[int](workers=1, timeout_seconds=20) as pool:
        yield pool


def chosen_format(*surveyed: tuple[float, int]) -> tuple[int, float]:
    chosen = choose_audio_format([SurveyedAudio(seconds, rate_hz) for seconds, rate_hz in surveyed])
    return chosen.sample_rate_hz, chosen.clip_seconds


@pytest.mark.parametrize(
    ("what", "seconds", "rate_hz", "expected"),
    [
        ("words", 0.4, 8000, (8000, 0.5)),
        ("commands", 1.0, 16_000, (16_000, 1.0)),
        ("ESC-50", 5.0, 44_100, (22_050, 5.0)),
        ("an encoder's padding", 4.03, 48_000, (22_050, 4.0)),
        ("long recordings", 3600.0, 48_000, (22_050, 5.0)),
        ("streams without a length", math.inf, 11_025, (11_025, 5.0)),
        ("clicks", 0.02, 22_050, (22_050, 0.25)),
        ("bats", 5.0, 256_000, (256_000, 1.0)),
        ("bats, faster", 5.0, 384_000, (384_000, 0.5)),
        ("tremors", 60.0, 100, (1000, 5.0)),
    ],
)
def test_the_format_follows_from_the_files(
    what: str, seconds: float, rate_hz: int, expected: tuple[int, float]
) -> None:
    assert chosen_format((seconds, rate_hz)) == expected


def test_nine_of_ten_recordings_fit_into_a_clip() -> None:
    assert chosen_format(*[(0.3 + n / 100, 8000) for n in range(20)], (30.0, 8000)) == (8000, 0.5)


def test_nothing_is_listened_for_that_most_files_lack() -> None:
    assert chosen_format(*[(5.0, 8000)] * 6, *[(5.0, 44_100)] * 4) == (8000, 5.0)


def test_what_is_given_stays() -> None:
    surveyed = [SurveyedAudio(0.4, 8000)]
    assert choose_audio_format(surveyed, sample_rate_hz=4000).sample_rate_hz == 4000
    assert choose_audio_format(surveyed, clip_seconds=2.0).clip_seconds == 2.0
    assert (
        choose_audio_format([SurveyedAudio(9.0, 44_100)], sample_rate_hz=96_000).clip_seconds == 2.0
    )


def test_where_nothing_could_be_read_it_is_the_usual() -> None:
    chosen = choose_audio_format([])
    assert (chosen.sample_rate_hz, chosen.clip_seconds) == (22_050, 5.0)


def test_one_line_says_where_it_comes_from() -> None:
    surveyed = [SurveyedAudio(0.3, 8000)] * 9 + [SurveyedAudio(12.0, 16_000)]
    assert choose_audio_format(surveyed).lines[0] == (
        "clips of 0.5 s at 8000 Hz, from the files: 0.3 to 12 s long, nine of ten up to 0.3 s, "
        "at 8000 to 16000 Hz"
    )
    assert choose_audio_format(surveyed[:3]).lines == (
        "clips of 0.5 s at 8000 Hz, from the files: 0.3 s long, at 8000 Hz",
    )


@pytest.mark.parametrize(
    ("rates_hz", "line"),
    [
        ([96_000] * 4, "nothing above 11025 Hz is heard; --sample-rate 96000 hears all of it"),
        ([44_100] * 9 + [250_000], "1 of 10 files are recorded at up to 250000 Hz"),
        ([250_000] * 4, "are taken for ultrasound and heard whole; where only what people hear"),
        ([8000] + [44_100] * 9, "the missing treble gives them away; --sample-rate 8000 treats"),
    ],
)
def test_a_choice_that_a_person_may_change_is_reported(rates_hz: list[int], line: str) -> None:
    lines = choose_audio_format([SurveyedAudio(5.0, rate_hz) for rate_hz in rates_hz]).lines
    assert line in lines[1]
    assert (
        choose_audio_format([SurveyedAudio(5.0, rates_hz[0])], sample_rate_hz=rates_hz[0]).lines[1:]
        == ()
    )


def test_headers_tell_lengths_between_start_and_end_and_rates(
    audio_file: Callable[..., Path], noise: Callable[..., np.ndarray], pool: DecodePool[int]
) -> None:
    long = audio_file("long.flac", noise(3.0, 16_000), 16_000)
    short = audio_file("short.wav", noise(0.4, 8000), 8000)
    examples = [
        Example(long, "x", group="a"),
        Example(long, "x", 1.0, 1.5, group="b"),
        Example(short, "y", 0.1, group="c"),
    ]
    surveyed = sorted(survey(examples, pool), key=lambda each: each.seconds)
    assert [round(each.seconds, 3) for each in surveyed] == [0.3, 0.5, 3.0]
    assert [each.sample_rate_hz for each in surveyed] == [8000, 16_000, 16_000]


def test_files_without_a_header_are_passed_over(
    audio_file: Callable[..., Path], tmp_path: Path, pool: DecodePool[int]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    examples = [Example(tmp_path / "bad.wav", "x"), Example(audio_file("a.wav"), "y")]
    assert survey(examples, pool) == [SurveyedAudio(1.0, 8000)]


def test_of_many_files_the_same_are_looked_at_in_any_order(
    audio_file: Callable[..., Path], pool: DecodePool[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = audio_file("a.wav")
    examples = [Example(path, "x", n / 100, group=str(n)) for n in range(20)]
    monkeypatch.setattr("trainer.data.audio_survey.MAX_SURVEYED", 5)
    surveyed = survey(examples, pool)
    assert (len(surveyed), survey(examples[::-1], pool)) == (5, surveyed)


def test_esc10_is_heard_as_its_best_recipe_was_measured(esc10: Path, pool: DecodePool[int]) -> None:
    examples = read_labels(esc10 / "labels.csv", ()).examples[::20]
    chosen = choose_audio_format(survey(examples, pool))
    assert (chosen.sample_rate_hz, chosen.clip_seconds) == (22_050, 5.0)
    assert len(chosen.lines) == 1
