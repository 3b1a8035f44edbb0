"""The bounded window between claim and outcome: decoding, batching, scoring.

A recording is pinned to the checkpoint that was served when its decoding began. Its segments go
to the decode workers a few at a time, its clips to the process that scores, in batches.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from classifier.audio.decode import DecodedAudio, Segment
from classifier.errors import MACHINE, DecodingError, FileChanged
from classifier.inference.pooling import pool_scores
from classifier.workers.pool import Answer
from daemon.backoff import wait_seconds
from daemon.intake.open_files import Key
from daemon.monitoring.journald import about
from daemon.pipeline.clip_batches import ClipBatches
from daemon.pipeline.machine_fault import MachineFault
from daemon.pipeline.model_manager import Served
from daemon.pipeline.recording import Identity, RecordingInProgress
from daemon.pipeline.scoring_setup import RecordingPool, window_capacity
from storage.home.safe_open import opener_in
from storage.ledger.duplicates import AnswerLookup
from storage.ledger.outcomes import Changed, Claim, Failed, Linked, Outcome, Postponed, Scored
from storage.settings.schema import EngineSettings
from storage.values.findings import answer_of
from storage.values.text import printable_path, visible

logger = logging.getLogger(__name__)

SegmentKey = tuple[RecordingInProgress, int]  # and its first clip

SEGMENT_SECONDS = 30.0  # decoded in one task: 2.6 MB of samples at 22,050 Hz
MAX_SLOW_FAULTS = 3


class KnownAnswers(Protocol):
    def __call__(
        self, lookups: Sequence[AnswerLookup], *, scoring: str | None
    ) -> Sequence[int | None]: ...


def log_outcome(claim: Claim, outcome: Outcome) -> None:
    """A failing file is one line in the log, at any number of files; the others are in -v."""
    path = visible(printable_path(claim.path))
    if isinstance(outcome, Failed):
        event = about(recording=path, kind=outcome.error_class, error=outcome.error)
        logger.warning("%s failed: %s", path, outcome.error, extra=event)
    elif isinstance(outcome, Scored) and outcome.warning:
        event = about(recording=path, warning=outcome.warning)
        logger.warning("%s: %s", path, outcome.warning, extra=event)
    elif isinstance(outcome, Scored):
        event = about(recording=path, label=outcome.label, confidence=outcome.confidence)
        logger.debug("%s: %s %.3f", path, outcome.label, outcome.confidence, extra=event)


@dataclass(eq=False)
class Window:
    """`known_answers` names the recording whose answer serves, where there is one, for each lookup.

    With `links_duplicates` recordings of the same content share one answer also while they are in
    the window together. With `accepts_damaged` what is left of a damaged recording is scored, with
    a warning. `is_away` says whether an inbox is out of reach for now. `batches_at_once` are scored
    side by side. Without `machine` a file that this machine cannot decode now fails.
    """

    pool: RecordingPool
    engine: EngineSettings
    max_attempts: int
    links_duplicates: bool
    known_answers: KnownAnswers = lambda lookups, scoring: [None] * len(lookups)
    accepts_damaged: bool = False
    is_away: Callable[[Path], bool] = lambda _: False
    batches_at_once: int = 1
    machine: MachineFault | None = field(default_factory=MachineFault)
    log: Callable[[Claim, Outcome], None] = log_outcome

    def __post_init__(self) -> None:
        self._capacity = window_capacity(self.engine.batch_clips, self.pool.workers)
        # By recording id: a file may have two versions here.
        self._recordings: dict[int, RecordingInProgress] = {}
        self._files: Counter[Key] = Counter()  # of the recordings
        self._leaders: dict[Identity, RecordingInProgress] = {}
        self._unfinished: deque[RecordingInProgress] = deque()  # with segments still to ask for
        self._queued_segments: list[tuple[SegmentKey, Segment]] = []  # and not handed in yet
        self._answers: deque[tuple[SegmentKey, Answer]] = deque()
        self._outcomes: list[Outcome] = []
        self._stopping = False
        self.batches = ClipBatches(self.engine.batch_clips, self.batches_at_once)

    def change_settings(self, engine: EngineSettings) -> None:
        """Batches of another size, and the like; what was built with the pool stays as it is."""
        self.engine = engine
        self.batches.batch_clips = engine.batch_clips
        self._capacity = window_capacity(engine.batch_clips, self.pool.workers)

    def __len__(self) -> int:
        """Recordings in the window."""
        return len(self._recordings)

    @property
    def free(self) -> int:
        """How many further recordings fit; none while the machine cannot decode."""
        if self.machine is not None and self.machine.is_waiting:
            return 0
        return max(0, self._capacity - self._load)

    @property
    def wants_more(self) -> bool:
        """Room for enough recordings that claiming them is worth a commit."""
        return self.free >= max(1, self._capacity // 4)

    @property
    def clips_left(self) -> int | None:
        """Clips that are not scored yet of the recordings that were begun; None: nobody can say."""
        begun = [each for each in self._recordings.values() if each.is_begun and not each.is_closed]
        if any(each.total_clips is None for each in begun) or self.pool.slow():
            return None
        return sum(max(0, (each.total_clips or 0) - len(each.scores)) for each in begun)

    @property
    def n_unread(self) -> int:
        """Recordings in the window of whose length nothing is known yet."""
        return sum(not each.is_begun for each in self._recordings.values())

    @property
    def slow(self) -> list[tuple[Claim, float]]:
        """Recordings that workers have been busy with for long, and for how many seconds."""
        return [(recording.claim, seconds) for (recording, _), seconds in self.pool.slow()]

    @property
    def faults(self) -> list[str]:
        """What this machine lacks for decoding, and what takes long, the first few of it."""
        lacks = [self.machine.fault] if self.machine is not None and self.machine.fault else []
        return lacks + [
            f"{visible(printable_path(claim.path))} ({claim.size_bytes / 1e9:,.1f} GB) keeps a "
            f"decode worker busy for {seconds:.0f} s so far"
            for claim, seconds in self.slow[:MAX_SLOW_FAULTS]
        ]

    def holds(self, key: Key) -> bool:
        """Whether the file at this inbox and path is being read."""
        return key in self._files

    def take(self, claims: Iterable[Claim], served: Served) -> None:
        """Begins to decode; what was tried too often and never ended fails as given up."""
        for claim in claims:
            if claim.attempts <= 2 * self.max_attempts:
                self._begin(claim, served)
                continue
            reason = (
                f"tried {claim.attempts - 1} times, and each time the daemon was stopped or killed "
                "before the end; look at the file, then `clfd retry`"
            )
            self._add_outcome(claim, Failed(claim.recording_id, "given_up", reason, None))
        self._submit_queued()

    def step(self, stopping: bool = False) -> list[Outcome]:
        """Takes what was scored and decoded, and hands more of both in; returns what is finished.

        While `stopping`, a worker may have died of the stop: that is no failure of its file.
        """
        self._stopping = stopping
        self._answers.extend(self.pool.collect())
        self._look_up_answers()  # may raise; no answer is lost by then
        while self._answers:
            (recording, first_clip), answer = self._answers[0]
            self._take_answer(recording, first_clip, answer)
            self._answers.popleft()  # only now: an answer that raises is not lost
        self.batches.hand_in()
        for recording in self.batches.take_scored():
            self._finish_if_scored(recording)
        self.batches.hand_in()
        self._queue_next_segments()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def abandon(self) -> list[int]:
        """Ids of the recordings that will not be finished; their answers are ignored."""
        unfinished = list(self._recordings.values())
        for recording in unfinished:
            recording.is_closed = True
        self._recordings.clear()
        self._files.clear()
        self._leaders.clear()
        self.batches.clear()
        return [recording.claim.recording_id for recording in unfinished]

    @property
    def _load(self) -> int:
        decoding = self.pool.in_flight + len(self._queued_segments)
        return decoding + self.batches.n_ready

    def _begin(self, claim: Claim, served: Served) -> None:
        # An archive may have been mounted anew, or restored; there only the digest has to hold.
        expected = None if claim.archive_path else claim.fingerprint
        recording = RecordingInProgress(claim, served, self.engine, expected)
        self._recordings[claim.recording_id] = recording
        self._files[claim.file] += 1
        self._queue_segment(recording)

    def _queue_segment(self, recording: RecordingInProgress) -> None:
        audio = recording.served.predictor.checkpoint.audio_format
        hop = recording.served.hop_samples
        claim = recording.claim
        segment = Segment(
            path=claim.archive_path or claim.path,
            sample_rate_hz=audio.sample_rate_hz,
            clip_samples=audio.clip_samples,
            hop_samples=hop,
            max_clips=max(1, round(SEGMENT_SECONDS * audio.sample_rate_hz / hop)),
            first_clip=recording.next_clip,
            fingerprint=recording.fingerprint,
            max_seconds=self.engine.max_hours * 3600,
            size_bytes=claim.size_bytes,  # each worker may have to read all of it once
            accepts_damaged=self.accepts_damaged,
            channel=recording.engine.channel,
            opener=os.open if claim.archive_path else opener_in(claim.inbox),
        )
        self._queued_segments.append(((recording, recording.next_clip), segment))
        recording.next_clip += segment.max_clips
        recording.segments_out += 1

    def _queue_next_segments(self) -> None:
        """The next segments of long recordings, in turns."""
        for _ in range(len(self._unfinished)):
            recording = self._unfinished.popleft()
            while self._may_queue(recording):
                self._queue_segment(recording)
            if not recording.is_closed and recording.has_more:
                self._unfinished.append(recording)
        self._submit_queued()

    def _submit_queued(self) -> None:
        self.pool.submit_all(self._queued_segments)
        self._queued_segments = []

    def _may_queue(self, recording: RecordingInProgress) -> bool:
        return (
            not recording.is_closed
            and recording.has_more
            and recording.segments_out < self.pool.workers
            and self._load < self._capacity
        )

    def _take_answer(self, recording: RecordingInProgress, first_clip: int, answer: Answer) -> None:
        recording.segments_out -= 1
        may_pass = isinstance(answer, DecodingError) and answer.transient
        if self.machine is not None and not may_pass:
            self.machine.has_passed(recording.claim.recording_id)
        if recording.is_closed:
            return
        if isinstance(answer, DecodedAudio):
            self._take_decoded(recording, first_clip, answer)
        elif isinstance(answer, FileChanged):
            self._end(recording, Changed(recording.claim.recording_id))
        elif answer.kind == MACHINE and self.machine is not None:
            self._end(recording, self.machine.postpone(recording.claim, answer.reason))
        else:
            self._end(recording, self._not_decoded(recording.claim, answer))

    def _look_up_answers(self) -> None:
        """Looks for stored answers that serve for content whose digest has come."""
        digests = {
            recording: answer.digest
            for (recording, _), answer in self._answers
            if isinstance(answer, DecodedAudio) and answer.digest and not recording.is_closed
        }
        for scoring in {recording.wanted_scoring for recording in digests}:
            asking = [recording for recording in digests if recording.wanted_scoring == scoring]
            lookups = [
                (recording.claim.recording_id, digests[recording], recording.served.checkpoint_id)
                for recording in asking
            ]
            answers = self.known_answers(lookups, scoring=scoring)
            for recording, known in zip(asking, answers, strict=True):
                recording.known_answer_id = known

    def _take_decoded(
        self, recording: RecordingInProgress, first_clip: int, answer: DecodedAudio
    ) -> None:
        recording.add_segment(first_clip, answer)
        if answer.digest and self._is_answered_elsewhere(recording):
            return
        self.batches.add(recording, first_clip, answer.clips)
        if recording.has_more and recording not in self._unfinished:
            self._unfinished.append(recording)
        self._finish_if_scored(recording)

    def _is_answered_elsewhere(self, recording: RecordingInProgress) -> bool:
        """The same content is scored once per checkpoint, also while it is still in the window."""
        checkpoint_id = recording.served.checkpoint_id
        leader = self._leaders.setdefault(recording.identity, recording)
        if leader is not recording and self.links_duplicates:
            recording.is_closed = True
            leader.followers.append(recording)
            return True
        known, number = recording.known_answer_id, recording.claim.recording_id
        if known is not None:
            self._end(recording, Linked(number, recording.facts, checkpoint_id, known))
        return known is not None

    def _finish_if_scored(self, recording: RecordingInProgress) -> None:
        if recording.is_scored and not recording.is_closed:
            self._end(recording, self._scored(recording))

    def _scored(self, recording: RecordingInProgress) -> Scored | Failed:
        clip_scores, number = recording.clip_scores, recording.claim.recording_id
        if not np.isfinite(clip_scores).all():
            reason = (
                "its scores are no numbers; the samples are far out of range, export the file again"
            )
            return Failed(number, "not_finite", reason, recording.digest)
        checkpoint = recording.served.predictor.checkpoint
        audio = checkpoint.audio_format
        pooling, task = recording.engine.clip_pooling, checkpoint.task
        scores = pool_scores(clip_scores, pooling, task)
        long_clips = recording.engine.long_clips
        answer = answer_of(task, checkpoint.labels, scores, clip_scores, long_clips)
        return Scored(
            recording_id=number,
            facts=recording.facts,
            checkpoint_id=recording.served.checkpoint_id,
            label=answer.label,
            confidence=answer.confidence,
            scores=scores.astype("<f4").tobytes(),
            clip_scores=clip_scores.astype("<f2").tobytes(),
            clip_seconds=audio.clip_seconds,
            clip_hop_seconds=recording.served.hop_samples / audio.sample_rate_hz,
            warning=recording.warning,
            scoring=recording.engine.scoring,
            findings=answer.findings,
            novelty=recording.novelty_of(checkpoint.labels.index(answer.label)),
            embeddings=recording.packed_embeddings,
        )

    def _end(self, recording: RecordingInProgress, outcome: Outcome) -> None:
        """The recording, and those with the same content that waited for it, are done with."""
        recording.is_closed = True
        if self._leaders.get(recording.identity) is recording:
            del self._leaders[recording.identity]
        self._leave(recording, outcome)
        for follower in recording.followers:
            self._leave(follower, _of_same_content(follower.claim, outcome))

    def _leave(self, recording: RecordingInProgress, outcome: Outcome) -> None:
        claim = recording.claim
        del self._recordings[claim.recording_id]
        self._files[claim.file] -= 1
        if not self._files[claim.file]:
            del self._files[claim.file]
        self._add_outcome(claim, outcome)

    def _add_outcome(self, claim: Claim, outcome: Outcome) -> None:
        self.log(claim, outcome)
        self._outcomes.append(outcome)

    def _not_decoded(self, claim: Claim, error: DecodingError) -> Outcome:
        # A card was pulled: its files are not gone one by one, and are found when it is back.
        may_be_away = error.kind == "vanished" and claim.archive_path is None
        if may_be_away and self.is_away(claim.inbox):
            return Changed(claim.recording_id)
        if not (error.transient and (self._stopping or claim.attempts < self.max_attempts)):
            return Failed(claim.recording_id, error.kind, error.reason, error.digest)
        # A file on a disk that is away for a minute is not given up within a second.
        wait = 0.0 if self._stopping else wait_seconds(claim.attempts)
        path = visible(printable_path(claim.path))
        level = logging.WARNING if error.kind == "internal" else logging.INFO
        logger.log(level, "%s will be tried again in %.0f s: %s", path, wait, error.reason)
        return Postponed(claim.recording_id, error.kind, error.reason, wait)


def _of_same_content(claim: Claim, leader: Outcome) -> Outcome:
    """An answer is shared; what went wrong with the leader's file may go well with this one."""
    if isinstance(leader, Scored):
        return Linked(claim.recording_id, leader.facts, leader.checkpoint_id, leader.recording_id)
    if isinstance(leader, Linked):
        return replace(leader, recording_id=claim.recording_id)
    return Changed(claim.recording_id)  # a scan brings it in again
