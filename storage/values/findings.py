"""Findings: which labels an answer may tell, by which probability, and in which clips they are.

numpy, and apart from `decision` for it: who reads results does without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.values.decision import FLOOR, LONG_CLIPS, Decision, DisplayRules, is_negative

Values = NDArray[np.float32]
Marks = NDArray[np.bool_]


class Finding(NamedTuple):
    """A label of an answer. `probability` is that by which it is told; None: of clips only.

    The clips are the first and the last one that have it, counted from 0.
    """

    label: str
    probability: float | None
    first_clip: int
    last_clip: int


class Answer(NamedTuple):
    """The most probable label, and the findings; of a multi task those above the floor."""

    label: str
    confidence: float
    findings: tuple[Finding, ...]

    @property
    def candidates(self) -> list[tuple[str, float]]:
        told = ((one.label, one.probability) for one in self.findings)
        return [(label, probability) for label, probability in told if probability is not None]


class Candidates(NamedTuple):
    """Of L labels the probability by which each is told, whether it may be told of the recording,
    and which clips have it (C, L).
    """

    probabilities: Values
    may_be_told: Marks
    in_clips: Marks


def candidates_of(
    task: str, scores: NDArray[Any], clip_scores: NDArray[Any], long_clips: int = LONG_CLIPS
) -> Candidates:
    """Of the scores (L,) of a recording and those of its clips (C, L).

    A recording of more than `long_clips` clips is decided by the highest probability of a clip, a
    shorter one by its scores. A clip has the labels above the floor; in a single task the most
    probable one, and so has a short recording.
    """
    clips = clip_scores.astype(np.float16).astype(np.float32)  # as the ledger keeps them
    if task == "single":
        has = clips.argmax(axis=1)[:, None] == np.arange(clips.shape[1])
    else:
        has = clips >= FLOOR
    if len(clips) > long_clips:
        peaks = (clips * has if task == "single" else clips).max(axis=0)
        return Candidates(peaks, has.any(axis=0), has)
    is_best = np.arange(len(scores)) == scores.argmax()
    return Candidates(scores, is_best if task == "single" else scores >= FLOOR, has)


def surest_label(task: str, labels: Sequence[str], candidates: Candidates) -> int:
    """Its position. What was found goes before what says that nothing was."""
    values, told = candidates.probabilities, candidates.may_be_told
    found = told.copy()
    for at in told.nonzero()[0].tolist():
        found[at] = not is_negative(labels[at], task)
    of = found if found.any() else told
    return int(np.where(of, values, -1.0).argmax() if of.any() else values.argmax())


def answer_of(
    task: str,
    labels: Sequence[str],
    scores: NDArray[Any],
    clip_scores: NDArray[Any],
    long_clips: int = LONG_CLIPS,
) -> Answer:
    """Of the scores (L,) of a recording and those of its clips (C, L); see `candidates_of`."""
    if len(clip_scores) == 1:
        return _answer_of_one_clip(task, labels, scores, clip_scores)
    candidates = candidates_of(task, scores, clip_scores, long_clips)
    values, told, has = candidates
    found = [
        Finding(labels[at], float(values[at]) if told[at] else None, first, last)
        for at, first, last in _places(has, told)
    ]
    surest = surest_label(task, labels, candidates)
    return Answer(labels[surest], float(values[surest]), tuple(found))


def _answer_of_one_clip(
    task: str, labels: Sequence[str], scores: NDArray[Any], clip_scores: NDArray[Any]
) -> Answer:
    """The same for the commonest case, in a fifth of the time."""
    best = int(scores.argmax())
    confidence = float(scores[best])
    if task == "single":
        return Answer(labels[best], confidence, (Finding(labels[best], confidence, 0, 0),))
    kept = clip_scores[0].astype(np.float16)  # as in the ledger
    each = zip(labels, scores.tolist(), kept.tolist(), strict=True)
    found = tuple(
        Finding(label, score if score >= FLOOR else None, 0, 0)
        for label, score, of_clip in each
        if max(score, of_clip) >= FLOOR
    )
    return Answer(labels[best], confidence, found)


def decide_scores(
    task: str,
    labels: Sequence[str],
    scores: NDArray[Any],
    clip_scores: NDArray[Any],
    thresholds: Mapping[str, float] | None = None,
    rules: DisplayRules | None = None,
    long_clips: int = LONG_CLIPS,
) -> Decision:
    """What is told of scores that are not in a ledger; `thresholds` are the checkpoint's."""
    answer = answer_of(task, labels, scores, clip_scores, long_clips)
    rules = rules or DisplayRules()
    return rules.decide(answer.label, answer.confidence, answer.candidates, task, thresholds)


def _places(has: Marks, told: Marks) -> list[tuple[int, int, int]]:
    """Of each finding its label and the first and last clip that have it."""
    which = (told | has.any(axis=0)).nonzero()[0]
    n_clips = len(has)
    first = has[:, which].argmax(axis=0)
    last = np.where(has[:, which].any(axis=0), n_clips - 1 - has[::-1, which].argmax(axis=0), 0)
    return list(zip(which.tolist(), first.tolist(), last.tolist(), strict=True))
