"""What the daemon hands to the ledger, and the check that keeps bad values out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

_INTEGER_LIMIT = 2**63
Findings = tuple[tuple[str, float | None, int, int], ...]


@dataclass(frozen=True)
class Arrival:
    """A file that came to rest: `path` is relative to `inbox`, as bytes."""

    inbox: Path
    path: bytes
    fingerprint: str
    size_bytes: int


@dataclass(frozen=True)
class Claim:
    """Work taken from the queue; `attempts` counts this one, `purpose` is new, retry or rescore.

    `archive_path` is where the file lies now, if it left the inbox.
    """

    recording_id: int
    inbox: Path
    path: bytes
    fingerprint: str
    size_bytes: int
    attempts: int
    purpose: str
    archive_path: bytes | None = None

    @property
    def file(self) -> tuple[Path, bytes]:
        return self.inbox, self.path


@dataclass(frozen=True)
class AudioFacts:
    """What the file is, whatever it sounds like; `digest` is the SHA-256 of its bytes, in hex.

    Levels are in dBFS, `clipped` is a share of the samples; `recorded_at` is as the file says it
    (see `recorded_at`), and `recorder` what it says of its recorder, as JSON. None: not known.
    """

    digest: str
    duration_s: float
    sample_rate_hz: int
    channels: int
    rms_dbfs: float | None = None
    peak_dbfs: float | None = None
    clipped: float | None = None
    recorded_at: str | None = None
    recorder: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer under a checkpoint: its own, or that of another recording."""

    recording_id: int
    facts: AudioFacts
    checkpoint_id: int

    @property
    def digest(self) -> str:
        return self.facts.digest


@dataclass(frozen=True)
class Scored(Answer):
    """An answer. `scores` is float32 (L,), `clip_scores` float16 (C, L), both little-endian.

    `findings` are the labels that it may tell, with probability, first and last clip (see
    `storage.values.findings`); None: its label alone, of all clips.
    `scoring` names the settings that it was made under; under others it is another answer.
    `novelty` is None where the checkpoint does not know it. `embeddings` are float16 (C, D),
    little-endian, where they are to be kept: what the last layer reads of each clip.
    """

    label: str
    confidence: float
    scores: bytes
    clip_scores: bytes
    clip_seconds: float
    clip_hop_seconds: float
    warning: str | None = None
    scoring: str | None = None
    findings: Findings | None = None
    novelty: float | None = None
    embeddings: bytes | None = None

    @property
    def own_findings(self) -> Findings:
        if self.findings is not None:
            return self.findings
        n_clips = len(self.clip_scores) * 2 // max(1, len(self.scores))
        return ((self.label, self.confidence, 0, max(0, n_clips - 1)),)


@dataclass(frozen=True)
class Linked(Answer):
    """The same content as `leader_id`, whose prediction under the checkpoint is shared."""

    leader_id: int


@dataclass(frozen=True)
class Failed:
    """No answer, and why, in a sentence a person can act on; `digest` if the file was read."""

    recording_id: int
    error_class: str
    error: str
    digest: str | None = None


@dataclass(frozen=True)
class Postponed:
    """No answer this time, for a reason that may pass; the attempt `counts` if it was the file's.

    The recording is left alone for `wait_seconds`, also by a daemon that starts meanwhile.
    """

    recording_id: int
    error_class: str
    error: str
    wait_seconds: float = 0.0
    counts: bool = True


@dataclass(frozen=True)
class Changed:
    """The file changed while it was read; what was read of it belongs to no version."""

    recording_id: int


Outcome = Scored | Linked | Failed | Postponed | Changed


def check_outcome(outcome: Outcome) -> Outcome:
    """The outcome itself, or a failure naming the value that no database should keep."""
    problem = _first_problem(outcome)
    if problem is None:
        return outcome
    error = f"clfd made a wrong value ({problem}); please report it"
    return Failed(int(outcome.recording_id), "internal", error)


def _first_problem(part: Outcome | AudioFacts) -> str | None:
    """Checks by the declared type, so that a numpy number or a NaN never reaches a column."""
    for name, is_valid in _FIELDS[type(part)]:
        value = getattr(part, name)
        if is_valid is None:
            if problem := _first_problem(value):
                return problem
        elif not is_valid(value):
            return f"{name} = {value!r}"
    return None


def _is_finding(value: tuple[Any, ...]) -> bool:
    label, probability, first, last = value
    is_number = probability is None or (type(probability) is float and isfinite(probability))
    return type(label) is str and is_number and type(first) is type(last) is int


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: type(value) is int and 0 <= value < _INTEGER_LIMIT,
    "float": lambda value: type(value) in (int, float) and isfinite(value),
    "float | None": lambda value: value is None or (type(value) is float and isfinite(value)),
    "bool": lambda value: type(value) is bool,
    "bytes": lambda value: type(value) is bytes,
    "bytes | None": lambda value: value is None or type(value) is bytes,
    "str": lambda value: type(value) is str,
    "str | None": lambda value: value is None or type(value) is str,
    "Findings | None": lambda value: value is None or all(map(_is_finding, value)),
}
# Looked up once: every field of every outcome is checked. None: a part with fields of its own.
_FIELDS = {
    part: [
        (field.name, None if field.type == "AudioFacts" else _CHECKS[str(field.type)])
        for field in fields(part)
    ]
    for part in (AudioFacts, Scored, Linked, Failed, Postponed, Changed)
}
