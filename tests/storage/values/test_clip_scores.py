"""What the scores of clips say of a part of a recording."""

from __future__ import annotations

import math
import struct

import pytest

from storage.values.clip_scores import ClipScores, is_part_wrong
from storage.values.decision import DisplayRules

LABELS = '["dog", "siren", "rain"]'
PACKED = struct.pack("<12e", 0.75, 0.25, 0, 0.125, 0.875, 0, 0.25, 0.75, 0, 0, 0.25, 0.75)
SCORES = ClipScores(LABELS, PACKED, 5.0, 5.0)


@pytest.mark.parametrize(
    ("start_s", "end_s", "answer"),
    [
        (0, 5, ("dog", 0.75)),
        (4, 7, ("siren", 0.875)),
        (5, 15, ("siren", 0.875)),
        (2.5, 7.5, ("siren", 0.875)),  # as many seconds; the surer one
        (11, math.inf, ("rain", 0.75)),
        (40, 50, None),
    ],
)
def test_a_part_has_the_label_that_most_of_it_was_given(
    start_s: float, end_s: float, answer: tuple[str, float] | None
) -> None:
    told = SCORES.decide(start_s, end_s, DisplayRules())
    assert (told and told[:2]) == answer


def test_clips_that_overlap_are_all_heard() -> None:
    overlapping = ClipScores(LABELS, PACKED, 5.0, 2.5)
    told = overlapping.decide(4.9, 5.0, DisplayRules())
    assert told and told[:2] == ("siren", 0.875)


@pytest.mark.parametrize(
    ("start_s", "end_s", "text"), [(0, 10, "dog;siren"), (4, 5, "dog"), (10, 15, "none")]
)
def test_a_part_has_every_label_of_its_clips_in_a_multi_task(
    start_s: float, end_s: float, text: str
) -> None:
    packed = struct.pack("<9e", 0.75, 0.25, 0, 0.125, 0.875, 0, 0.25, 0.25, 0.125)
    told = ClipScores(LABELS, packed, 5.0, 5.0, "multi").decide(start_s, end_s, DisplayRules())
    assert told and told.text == text


def test_a_recording_without_clips_answers_nothing() -> None:
    assert ClipScores(None, None, None, None).decide(0, 5, DisplayRules()) is None
    assert ClipScores(LABELS, b"", 5.0, 5.0).surest_start_s("dog") == 0.0


def test_the_surest_clip_of_a_label_is_found() -> None:
    assert SCORES.surest_start_s("siren") == 5.0


def test_an_answer_that_shows_as_unknown_is_not_what_a_person_says() -> None:
    parts = '[{"start_s": 0.0, "end_s": 5.0, "label": "dog"}]'
    unsure = DisplayRules(thresholds=(("dog", 0.8),)).thresholds_json
    clips = LABELS, PACKED, 5.0, 5.0, "single", None, parts
    assert is_part_wrong(*clips, unsure)
    assert not is_part_wrong(*clips, DisplayRules().thresholds_json)
