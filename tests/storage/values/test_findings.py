"""What is told of scores: one label or several, `none`, or `unknown`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from storage.values.decision import FLOOR, NONE, UNKNOWN, DisplayRules
from storage.values.findings import LONG_CLIPS, answer_of, decide_scores

LABELS = ("dog", "siren", "rain", "silence")
REAL = LABELS[:3]
TASKS = some.sampled_from(("single", "multi"))
CLIPS = some.lists(
    some.lists(some.floats(0, 1, width=16), min_size=4, max_size=4), min_size=1, max_size=8
).map(lambda rows: np.array(rows, dtype=np.float32))
THRESHOLDS = some.dictionaries(some.sampled_from(LABELS), some.floats(0, 1), max_size=4)
SETTINGS = some.builds(
    DisplayRules,
    thresholds=THRESHOLDS.map(lambda given: tuple(given.items())),
    unknown_below=some.sampled_from((0.0, 0.5)),
)


@given(clips=CLIPS)
def test_a_short_recording_of_a_single_task_is_its_most_probable_label(clips: np.ndarray) -> None:
    clips = clips[:LONG_CLIPS]
    scores = clips.mean(axis=0)
    told = decide_scores("single", (*REAL, "owl"), scores, clips)
    best = int(scores.argmax())
    assert told[:2] == ((*REAL, "owl")[best], float(scores[best]))
    assert told.labels == (told[:2],)


@given(task=TASKS, clips=CLIPS, own=THRESHOLDS, rules=SETTINGS)
def test_labels_are_told_from_their_thresholds_on_and_the_surest_is_first(
    task: str, clips: np.ndarray, own: dict[str, float], rules: DisplayRules
) -> None:
    told = decide_scores(task, LABELS, clips.mean(axis=0), clips, own, rules)
    for label, probability in told.labels:
        assert probability >= rules.threshold_of(label, task, own)
        assert task == "multi" or label in REAL
    if told.labels:
        assert told[:2] == told.labels[0]
        assert told[1] == max(probability for _, probability in told.labels)
    else:
        assert told.label in ((NONE,) if task == "multi" else (NONE, UNKNOWN))


@given(task=TASKS, clips=CLIPS, own=THRESHOLDS, rules=SETTINGS, least=some.floats(0, 1))
def test_a_higher_threshold_tells_no_more(
    task: str, clips: np.ndarray, own: dict[str, float], rules: DisplayRules, least: float
) -> None:
    others = tuple(pair for pair in rules.thresholds if pair[0] != "dog")
    higher = max(least, rules.threshold_of("dog", task, own))
    strict = DisplayRules(thresholds=(*others, ("dog", higher)), unknown_below=rules.unknown_below)
    before = decide_scores(task, LABELS, clips.mean(axis=0), clips, own, rules)
    after = decide_scores(task, LABELS, clips.mean(axis=0), clips, own, strict)
    assert {*after.labels} <= {*before.labels}


@given(clips=CLIPS)
def test_of_a_multi_task_all_above_the_threshold_are_told(clips: np.ndarray) -> None:
    scores = clips.mean(axis=0)
    peaks = clips.max(axis=0) if len(clips) > LONG_CLIPS else scores
    told = decide_scores("multi", LABELS, scores, clips)
    expected = {label for label, peak in zip(LABELS, peaks, strict=True) if peak >= 0.5}
    assert {label for label, _ in told.labels} == expected


@given(task=TASKS, clips=CLIPS)
def test_findings_name_the_first_and_the_last_clip(task: str, clips: np.ndarray) -> None:
    found = answer_of(task, LABELS, clips.mean(axis=0), clips).findings
    best = clips.argmax(axis=1)
    for label, at in zip(LABELS, range(4), strict=True):
        has = best == at if task == "single" else clips[:, at] >= np.float32(FLOOR)
        places = [(one.first_clip, one.last_clip) for one in found if one.label == label]
        if has.any():
            assert places == [(int(has.argmax()), int(has.nonzero()[0].max()))]


def test_a_long_recording_is_answered_by_what_is_in_any_of_its_clips() -> None:
    clips = np.array([[0.1, 0.05, 0.85, 0]] * 9 + [[0.1, 0.9, 0, 0]], dtype=np.float32)
    told = decide_scores("single", LABELS, clips.mean(axis=0), clips)
    assert [label for label, _ in told.labels] == ["siren", "rain"]
    assert told.confidence == pytest.approx(0.9, abs=1e-3)


def test_a_sound_goes_before_a_word_for_nothing() -> None:
    clips = np.array([[0, 0, 0.01, 0.99]] * 9 + [[0.6, 0, 0, 0.4]], dtype=np.float32)
    assert answer_of("single", LABELS, clips.mean(axis=0), clips).label == "dog"
    strict = DisplayRules(thresholds=(("dog", 0.8),))
    assert decide_scores("single", LABELS, clips.mean(axis=0), clips, rules=strict).label == NONE


def test_a_word_for_nothing_is_told_as_none_and_found_by_nobody() -> None:
    scores = np.array([0, 0, 0.1, 0.9], dtype=np.float32)
    told = decide_scores("single", LABELS, scores, scores[None])
    assert (told.label, told.labels) == (NONE, ())
    unsure = DisplayRules(unknown_below=0.95)
    assert decide_scores("single", LABELS, scores, scores[None], rules=unsure).label == UNKNOWN


def test_one_clip_is_answered_as_two_that_are_equal() -> None:
    chance = np.random.default_rng(0)
    floor = np.float32(0.05)
    for _ in range(200):
        clip = (chance.random(6) ** 6).astype(np.float32)
        clip[chance.integers(6)] = np.nextafter(floor, np.float32(chance.integers(2)))
        one = answer_of("multi", "abcdef", clip, clip[None])
        two = answer_of("multi", "abcdef", clip, np.stack([clip, clip]))
        assert one[:2] == two[:2]
        assert [found[:3] for found in one.findings] == [found[:3] for found in two.findings]
