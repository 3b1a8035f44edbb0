"""From a file to mono clips. Runs inside decode workers; imports neither torch nor librosa.

A task is one *segment* of a file, so that a recording of any length streams through bounded
memory. Segments of one file may be decoded by different workers: each reads a little more than it
needs, so that resampled segments join without a seam.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from classifier.audio.containers.formats import Container, check_header, container_of
from classifier.audio.containers.integrity import Integrity, Patched
from classifier.audio.containers.wav import PlainWave, plain_wave
from classifier.audio.metadata import read_notes, recorded_at, recorder, time_expansion
from classifier.audio.regular_file import (
    FileBytes,
    Opener,
    fingerprint,
    read_error,
    regular_file,
    stored_bytes,
)
from classifier.audio.samples import (
    Block,
    Channel,
    Levels,
    Mix,
    Samples,
    better_mix,
    first_mix,
    integer_bits,
)
from classifier.audio.soundfile_reader import UNKNOWN_FRAMES, SoundfileReader, undecodable
from classifier.errors import DecodingError, FileChanged

if TYPE_CHECKING:
    from classifier.audio.ffmpeg_reader import FfmpegReader

    Reader = SoundfileReader | PlainWave | FfmpegReader

SEAM_SECONDS = 0.1  # read around a segment; many times the resampler's filter
MIN_TAIL = 0.1  # of a clip: an encoder's padding behind the last whole clip is not a clip
# Larger files are looked at before anybody reads them whole; 25 minutes at 44.1 kHz in stereo.
BIG_BYTES = 2**28
# Reading a hole takes a second for each GB or two. Recorders that make room beforehand leave less.
MAX_HOLE_BYTES = 2**36
MAX_READERS = 4  # of FFmpeg, kept open: an index of a long recording takes some MB
N_PROBES, PROBE_FRAMES = 64, 4096
MAX_INTEGRITIES = 64  # remembered: more long recordings than are in the window together


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
        if segment.fingerprint not in (None, fingerprint(status)):
            raise FileChanged
        try:
            _check_beginning(content, segment)
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
        if segment.fingerprint not in (None, before):
            raise FileChanged
        is_first = segment.first_clip == 0
        digest = _digest_of(content, before) if is_first else None
        try:
            decoded = _decode(content, segment, before)
            found = read_notes(fd) if is_first else {}
        except DecodingError as error:
            raise error.with_digest(digest) from error
        except OSError as error:
            raise read_error(error).with_digest(digest) from error
        finally:
            # Whatever came out of bytes that moved meanwhile, good or bad, means nothing.
            if fingerprint(os.fstat(fd)) != before:
                raise FileChanged
    return replace(decoded, digest=digest, recorded_at=recorded_at(found), recorder=recorder(found))


def count_clips(n_samples: int, clip_samples: int, hop_samples: int) -> int:
    """How many clips a recording of `n_samples` makes; at least one, the last one padded."""
    beyond = max(0, n_samples - clip_samples)
    has_tail = beyond % hop_samples >= MIN_TAIL * clip_samples
    return 1 + beyond // hop_samples + has_tail


_last_digest: dict[str, str] = {}  # of one file, by its fingerprint
_readers: dict[str, FfmpegReader] = {}  # of the files that FFmpeg decoded last
_integrities: dict[str, Integrity] = {}  # of the files decoded last, by their fingerprints


def _digest_of(content: FileBytes, token: str) -> str:
    """With a thousand selections in it, side by side in a CSV, a long file is hashed once."""
    if token not in _last_digest:
        digest = content.digest()
        _last_digest.clear()
        _last_digest[token] = digest
    return _last_digest[token]


def _integrity_of(fd: int, token: str, container: Container) -> Integrity:
    """Found out once in a worker: it takes reading all of an Ogg, and of some MP3 files."""
    if token not in _integrities:
        integrity = container.examine(fd)
        if len(_integrities) >= MAX_INTEGRITIES:
            del _integrities[next(iter(_integrities))]
        _integrities[token] = integrity
    return _integrities[token]


def _decode(content: FileBytes, segment: Segment, token: str) -> DecodedAudio:
    """Once, and in rare cases again: where the sound asks for another mix of its channels."""
    mix = first_mix(segment.channel)
    try:
        decoded = _decode_mixed(content, segment, token, mix)
        better = better_mix(segment.channel, decoded.level)
        return decoded if better == mix else _decode_mixed(content, segment, token, better)
    except MemoryError as error:
        raise DecodingError(
            "too_large", "decoding asks for more memory than a worker may have; split the file"
        ) from error


def _decode_mixed(content: FileBytes, segment: Segment, token: str, mix: Mix) -> DecodedAudio:
    if (wave := plain_wave(content)) is not None:
        wave.level = Levels(mix)
        return _decode_clips(wave, segment, token)
    container = container_of(content.fd, segment.path)
    integrity = _integrity_of(content.fd, token, container)
    _refuse_damage(integrity, segment)
    if demuxer := container.demuxer or integrity.demuxer:
        decoded, shortage = _decode_with_ffmpeg(content.fd, segment, token, integrity, demuxer, mix)
    else:
        decoded, shortage = _decode_with_libsndfile(content.fd, segment, token, integrity, mix)
    shortage = integrity.damage or shortage
    return replace(decoded, warning=shortage.reason if shortage else integrity.oddity)


def _check_beginning(content: FileBytes, segment: Segment) -> None:
    """Whatever `_decode` refuses by the header; no more of the file is read."""
    fd = content.fd
    if (wave := plain_wave(content)) is not None:
        _total_samples(wave, segment)
        return
    container = container_of(fd, segment.path)
    integrity = Integrity() if container.is_checked_whole else container.examine(fd)
    _refuse_damage(integrity, segment)
    if demuxer := container.demuxer or integrity.demuxer:
        sound = _ffmpeg_reader(fd, integrity, demuxer)
        try:
            _total_samples(sound, segment)
        finally:
            sound.close()
    else:
        with _libsndfile_reader(fd, segment, integrity) as reader:
            _total_samples(reader, segment)


def _refuse_damage(integrity: Integrity, segment: Segment) -> None:
    damage = integrity.damage
    if damage is not None and not segment.accepts_damaged and segment.first_clip == 0:
        raise damage


def _decode_with_libsndfile(
    fd: int, segment: Segment, token: str, integrity: Integrity, mix: Mix
) -> tuple[DecodedAudio, DecodingError | None]:
    """With why it is not whole, where that was found while decoding."""
    with _libsndfile_reader(fd, segment, integrity) as sound:
        sound.level = Levels(mix)
        return _decode_clips(sound, segment, token), sound.truncation_error


@contextmanager
def _libsndfile_reader(
    fd: int, segment: Segment, integrity: Integrity
) -> Iterator[SoundfileReader]:
    """Raises DecodingError, also for what the body meets."""
    damage = integrity.damage
    file = Patched(fd, integrity.patches) if integrity.patches else fd
    os.lseek(fd, 0, os.SEEK_SET)  # it may have been decoded before
    try:
        with SoundfileReader(file, closefd=False) as sound:
            sound.time_expansion = time_expansion(read_notes(fd))
            check_header(sound.format, sound.subtype, sound.samplerate, sound.channels)
            sound.accepts_damaged = segment.accepts_damaged
            yield sound
    except DecodingError as error:
        if damage is None or error.kind != "no_audio":
            raise
        raise damage from error
    except soundfile.SoundFileError as error:
        raise damage or undecodable(error) from error


def _decode_with_ffmpeg(
    fd: int, segment: Segment, token: str, integrity: Integrity, demuxer: str, mix: Mix
) -> tuple[DecodedAudio, DecodingError | None]:
    """The reader is kept for the next segment: some recordings are only decoded from the start."""
    try:
        sound = _readers.pop(token, None)
        if sound is None:
            sound = _ffmpeg_reader(fd, integrity, demuxer)
        else:
            sound.begin_segment(fd)
        sound.accepts_damaged, sound.level = segment.accepts_damaged, Levels(mix)
        decoded = _decode_clips(sound, segment, token)
    except DecodingError as error:
        raise integrity.damage or error from error
    if len(_readers) >= MAX_READERS:
        _readers.pop(next(iter(_readers))).close()
    _readers[token] = sound
    return decoded, sound.truncation_error


def _ffmpeg_reader(fd: int, integrity: Integrity, demuxer: str) -> FfmpegReader:
    from classifier.audio.ffmpeg_reader import FfmpegReader

    file = Patched(fd, integrity.patches)
    return FfmpegReader(file, demuxer, is_chain=bool(integrity.demuxer))


def _decode_clips(sound: Reader, segment: Segment, token: str) -> DecodedAudio:
    """The segment's samples, padded up to whole clips, and what is known of the recording."""
    size, hop, rate_hz = segment.clip_samples, segment.hop_samples, segment.sample_rate_hz
    total = _total_samples(sound, segment)
    stop_clip = segment.first_clip + segment.max_clips
    begin, end = segment.first_clip * hop, (stop_clip - 1) * hop + size
    origin = round(segment.start_seconds * rate_hz)
    audio = _resampled(sound, origin + begin, origin + min(end, total), rate_hz)
    if sound.level.is_unscaled:
        sound.level.bits = integer_bits(_probes(sound))
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


def _probes(sound: Reader) -> list[Block]:
    """Here and there in the file, so that every segment of it finds the same."""
    if sound.frames >= UNKNOWN_FRAMES or not isinstance(sound, SoundfileReader | PlainWave):
        return []
    places = np.linspace(0, max(0, sound.frames - PROBE_FRAMES), N_PROBES).astype(int)
    return [sound.block(at, min(PROBE_FRAMES, sound.frames)) for at in np.unique(places).tolist()]


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
