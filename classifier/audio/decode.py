"""From a file to mono clips. Runs inside decode workers; imports neither torch nor librosa.

A task is one *segment* of a file, so that a recording of any length streams through bounded
memory. Segments of one file may be decoded by different workers: each reads a little more than it
needs, so that resampled segments join without a seam.
"""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from classifier.audio.containers.integrity import Integrity
from classifier.audio.metadata import recorded_at, recorder
from classifier.audio.readers import KnownFile, known_file, note_scale, reader_of
from classifier.audio.regular_file import (
    FileBytes,
    Opener,
    fingerprint,
    is_version,
    read_error,
    regular_file,
    stored_bytes,
)
from classifier.audio.samples import Channel, Levels, Mix, Samples
from classifier.audio.soundfile_reader import UNKNOWN_FRAMES
from classifier.errors import DecodingError, FileChanged

if TYPE_CHECKING:
    from classifier.audio.readers import Reader

SEAM_SECONDS = 0.1  # read around a segment; many times the resampler's filter
MIN_TAIL = 0.1  # of a clip: an encoder's padding behind the last whole clip is not a clip
# Larger files are looked at before anybody reads them whole; 25 minutes at 44.1 kHz in stereo.
BIG_BYTES = 2**28
# Reading a hole takes a second for each GB or two. Recorders that make room beforehand leave less.
MAX_HOLE_BYTES = 2**36


@dataclass(frozen=True)
class Segment:
    """What to decode: `max_clips` clips of a file from clip `first_clip` on.

    Clips are `clip_samples` long at `sample_rate_hz` and start every `hop_samples`, counted from
    `start_seconds`; nothing after `end_seconds` is decoded. With `fingerprint` the file must still
    be that very one. `max_seconds` refuses longer recordings; `size_bytes` earns big files time.
    `channel` is what of several channels is decoded. `opener` knows where the path begins, and what
    may lie on the way; a worker has to find it, too.
    """

    path: bytes
    sample_rate_hz: int
    clip_samples: int
    hop_samples: int
    max_clips: int
    first_clip: int = 0
    start_seconds: float = 0.0
    end_seconds: float = math.inf
    fingerprint: str | None = None
    max_seconds: float = math.inf
    size_bytes: int = 0
    accepts_damaged: bool = False
    channel: Channel = "mean"
    opener: Opener = os.open


@dataclass(frozen=True)
class DecodedAudio:
    """One segment as clips, and the facts about its file.

    `audio` holds the samples once, however much the clips overlap; `level` is theirs. `digest`, the
    SHA-256 of the whole file, `recorded_at`, by the recorder's clock, and `recorder`, what it says
    of itself, come with the first segment only. `seconds` and `total_clips` are those of the whole
    recording. Where the header names no length they are the length decoded so far and None, up to
    the end; where a recording ends before its header says so, a segment that reaches the end knows
    less of them than those before it. `warning` names what is damaged, or odd.
    """

    audio: Samples
    clip_samples: int
    hop_samples: int
    digest: str | None
    fingerprint: str
    seconds: float
    total_clips: int | None
    sample_rate_hz: int
    channels: int
    warning: str | None = None
    level: Levels = field(default_factory=Levels, compare=False)  # but for the last bits of a sum
    recorded_at: str | None = None
    recorder: str | None = None

    @property
    def clips(self) -> Samples:
        """(C, S), views of `audio`; none where a segment lies behind the end."""
        if not len(self.audio):
            return self.audio.reshape(0, self.clip_samples)
        if len(self.audio) == self.clip_samples:  # as most are; numpy's view takes a while to make
            return self.audio[np.newaxis]
        # Writeable: torch warns of memory that is not, though nobody writes.
        windows = sliding_window_view(self.audio, self.clip_samples, writeable=True)
        return windows[:: self.hop_samples]


@dataclass(frozen=True)
class BigFile:
    """A recording that takes its time to be read whole: what its disk holds of it, and its holes.

    A hole takes memory's time, not the disk's.
    """

    stored_bytes: int
    hole_bytes: int


def is_big(segment: Segment) -> bool:
    """Whether its file, which the first segment reads whole, is to be looked at before."""
    return segment.first_clip == 0 and segment.size_bytes > BIG_BYTES


def look(segment: Segment) -> BigFile:
    """What reading the file whole takes, by its header and its place on the disk.

    Raises as `decode`: what is no recording, is too long or was hardly written is not read whole to
    find that out.
    """
    with regular_file(segment.path, segment.opener) as (fd, status):
        content = FileBytes(fd, status.st_size)
        if not is_version(segment.fingerprint, fingerprint(status)):
            raise FileChanged
        try:
            file = KnownFile()
            with _reader(content, segment, file, examines_whole=False) as (sound, _):
                _total_samples(sound, segment)
            file.close()
            stored = stored_bytes(fd, content.size_bytes)
        except OSError as error:
            raise read_error(error) from error
    hole_bytes = content.size_bytes - stored
    if hole_bytes > MAX_HOLE_BYTES:
        raise DecodingError(
            "damaged",
            f"holds {stored:,} of its {content.size_bytes:,} bytes, the others were never "
            "written; copy it again from its source",
        )
    return BigFile(stored, hole_bytes)


def decode(segment: Segment) -> DecodedAudio:
    """Decodes one segment. Raises DecodingError, or FileChanged where the file is another one."""
    with regular_file(segment.path, segment.opener) as (fd, status):
        before, content = fingerprint(status), FileBytes(fd, status.st_size)
        if not is_version(segment.fingerprint, before):
            raise FileChanged
        is_first = segment.first_clip == 0
        file = known_file(before)
        digest = file.digest_of(content) if is_first else None
        try:
            decoded = _decode(content, segment, before, file)
            notes = file.notes_of(fd) if is_first else {}
        except DecodingError as error:
            raise error.with_digest(digest) from error
        except OSError as error:
            raise read_error(error).with_digest(digest) from error
        finally:
            # Whatever came out of bytes that moved meanwhile, good or bad, means nothing.
            if fingerprint(os.fstat(fd)) != before:
                raise FileChanged
    return replace(decoded, digest=digest, recorded_at=recorded_at(notes), recorder=recorder(notes))


def count_clips(n_samples: int, clip_samples: int, hop_samples: int) -> int:
    """How many clips a recording of `n_samples` makes; at least one, the last one padded."""
    beyond = max(0, n_samples - clip_samples)
    has_tail = beyond % hop_samples >= MIN_TAIL * clip_samples
    return 1 + beyond // hop_samples + has_tail


def _decode(content: FileBytes, segment: Segment, token: str, file: KnownFile) -> DecodedAudio:
    """Raises DecodingError."""
    try:
        return file.in_best_mix(
            segment.channel,
            lambda mix: _decode_mixed(content, segment, token, file, mix),
            lambda decoded: decoded.level,
        )
    except MemoryError as error:
        raise DecodingError(
            "too_large", "decoding asks for more memory than a worker may have; split the file"
        ) from error


def _decode_mixed(
    content: FileBytes, segment: Segment, token: str, file: KnownFile, mix: Mix
) -> DecodedAudio:
    with _reader(content, segment, file) as (sound, integrity):
        sound.level = Levels(mix)
        decoded = _decode_clips(sound, segment, token)
    shortage = integrity.damage or sound.truncation_error
    return replace(decoded, warning=shortage.reason if shortage else integrity.oddity)


def _reader(
    content: FileBytes, segment: Segment, file: KnownFile, examines_whole: bool = True
) -> AbstractContextManager[tuple[Reader, Integrity]]:
    return reader_of(
        content,
        segment.path,
        file,
        accepts_damaged=segment.accepts_damaged,
        refuses_damaged=segment.first_clip == 0 and not segment.accepts_damaged,
        examines_whole=examines_whole,
    )


def _decode_clips(sound: Reader, segment: Segment, token: str) -> DecodedAudio:
    """The segment's samples, padded up to whole clips, and what is known of the recording."""
    size, hop, rate_hz = segment.clip_samples, segment.hop_samples, segment.sample_rate_hz
    total = _total_samples(sound, segment)
    stop_clip = segment.first_clip + segment.max_clips
    begin, end = segment.first_clip * hop, (stop_clip - 1) * hop + size
    origin = round(segment.start_seconds * rate_hz)
    audio = _resampled(sound, origin + begin, origin + min(end, total), rate_hz)
    note_scale(sound)
    if sound.ends_at is not None:
        readable = math.ceil(round(sound.ends_at / sound.samplerate * rate_hz, 6)) - origin
        total = max(0, min(total, readable))
    elif sound.frames >= UNKNOWN_FRAMES and len(audio) < min(end, total) - begin:
        total = begin + len(audio)
    if total == 0:
        raise DecodingError(
            "no_audio", "no audio samples follow the header; check what recorded it, or remove it"
        )
    total_clips = count_clips(total, size, hop)
    n_clips = max(0, min(total_clips, stop_clip) - segment.first_clip)
    seconds = min(total, end if total >= UNKNOWN_FRAMES else total) / rate_hz
    _check_length(seconds, segment.max_seconds)
    return DecodedAudio(
        _fit_length(audio, (n_clips - 1) * hop + size if n_clips else 0),
        size,
        hop,
        digest=None,
        fingerprint=token,
        seconds=seconds,
        total_clips=total_clips if total < UNKNOWN_FRAMES else None,
        sample_rate_hz=sound.samplerate,
        channels=sound.channels,
        level=sound.level,
    )


def _fit_length(audio: Samples, n_samples: int) -> Samples:
    """What is left over is too short for a clip; what is missing is silence."""
    if len(audio) >= n_samples:
        return audio[:n_samples]
    padded = np.zeros(n_samples, np.float32)
    padded[: len(audio)] = audio
    return padded


def _total_samples(sound: Reader, segment: Segment) -> int:
    """Samples between start and end at the rate asked for; UNKNOWN_FRAMES where no header says."""
    seconds = math.inf
    if sound.frames < UNKNOWN_FRAMES:
        seconds = sound.frames / sound.samplerate
        _check_length(seconds, segment.max_seconds)
    length_seconds = min(seconds, segment.end_seconds) - segment.start_seconds
    if math.isinf(length_seconds):
        return UNKNOWN_FRAMES
    return max(0, math.ceil(round(length_seconds * segment.sample_rate_hz, 6)))


def _check_length(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise DecodingError(
            "too_long",
            f"{seconds / 3600:.1f} hours long, over the limit of {max_seconds / 3600:g} "
            "hours; raise engine.max_hours, or split the file",
        )


def _resampled(sound: Reader, begin: int, end: int, rate_hz: int) -> Samples:
    """Samples [begin, end) of the recording at `rate_hz`; fewer where it ends before.

    Reading starts where the clocks of both rates tick together, a seam before `begin`, so that
    the samples of every segment lie on one grid.
    """
    source_hz = sound.samplerate
    if source_hz == rate_hz:
        return sound.mono(begin, end - begin)
    common = math.gcd(source_hz, rate_hz)
    source_unit, unit = source_hz // common, rate_hz // common
    seam_units = math.ceil(SEAM_SECONDS * common)
    first_unit = max(0, begin // unit - seam_units)
    source_begin = first_unit * source_unit
    source_end = math.ceil((end / rate_hz + SEAM_SECONDS) * source_hz)
    mono = sound.mono(source_begin, source_end - source_begin)
    resampled: Samples = soxr.resample(mono, source_hz, rate_hz)
    skip = begin - first_unit * unit
    return resampled[skip : skip + end - begin]
