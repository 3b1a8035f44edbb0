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


def answer_of(
    task: str,
    labels: Sequence[str],
    scores: NDArray[Any],
    clip_scores: NDArray[Any],
    long_clips: int = LONG_CLIPS,
) -> Answer:
    """Of the scores (L,) of a recording and those of its clips (C, L).

    A recording of more than `long_clips` clips is decided by the highest probability of a clip, a
    shorter one by its scores. A clip has the labels above the floor; in a single task the most
    probable one, and so has a short recording.
    """
    n_clips = len(clip_scores)
    best = int(scores.argmax())
    if task == "single" and n_clips == 1:
        confidence = float(scores[best])
        return Answer(labels[best], confidence, (Finding(labels[best], confidence, 0, 0),))
    clips = clip_scores.astype(np.float16).astype(np.float32)  # as the ledger keeps them
    if task == "single":
        has = clips.argmax(axis=1)[:, None] == np.arange(len(labels))
    else:
        has = clips >= FLOOR
    is_long = n_clips > long_clips
    peaks: Values = (clips * has if task == "single" else clips).max(axis=0)
    values = peaks if is_long else scores
    told = _told(task, is_long, has, values, best)
    found = [
        Finding(labels[at], float(values[at]) if told[at] else None, first, last)
        for at, first, last in _places(has, told)
    ]
    surest = _surest(task, labels, values, told)
    return Answer(labels[surest], float(values[surest]), tuple(found))


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


def _told(
    task: str, is_long: bool, has: NDArray[np.bool_], values: Values, best: int
) -> NDArray[np.bool_]:
    """Which labels may be told of the recording (L,)."""
    if is_long:
        return np.asarray(has.any(axis=0))
    if task == "multi":
        return np.asarray(values >= FLOOR)
    return np.asarray(np.arange(len(values)) == best)


def _places(has: NDArray[np.bool_], told: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Of each finding its label and the first and last clip that have it."""
    which = (told | has.any(axis=0)).nonzero()[0]
    n_clips = len(has)
    first = has[:, which].argmax(axis=0)
    last = np.where(has[:, which].any(axis=0), n_clips - 1 - has[::-1, which].argmax(axis=0), 0)
    return list(zip(which.tolist(), first.tolist(), last.tolist(), strict=True))


def _surest(task: str, labels: Sequence[str], values: Values, told: NDArray[np.bool_]) -> int:
    """What was found goes before what says that nothing was."""
    found = told.copy()
    for at in told.nonzero()[0].tolist():
        found[at] = not is_negative(labels[at], task)
    of = found if found.any() else told
    return int(np.where(of, values, -1.0).argmax() if of.any() else values.argmax())
