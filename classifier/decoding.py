"""From a file to mono clips. Runs inside decode workers; imports neither torch nor librosa.

A task is one *stretch* of a file, so that a recording of any length streams through bounded
memory. Stretches of one file may be decoded by different workers: each reads a little more than it
needs, so that resampled stretches join without a seam.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from classifier.chunks import check_chunks
from classifier.completeness import Condition, examine
from classifier.containers import Header, check_header, check_magic
from classifier.errors import DecodingError, FileChanged
from classifier.fingerprint import fingerprint
from classifier.patches import Patched

Samples = npt.NDArray[np.float32]

BLOCK_FRAMES = 65_536
SEAM_SECONDS = 0.1  # read around a stretch; many times the resampler's filter
MIN_TAIL = 0.1  # of a clip: an encoder's padding behind the last whole clip is not a clip
SHORT_SECONDS = 0.1  # that may be missing at the end where a lossy encoder has rounded
MAX_CONDITIONS = 64  # remembered: more long recordings than are in the window together
FINE_FRAMES = 1024  # read at once where what lies before a damage is to be heard
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
UNKNOWN_FRAMES = 2**62  # libsndfile says 2**63-1 where a header names no length
MAX_LEVEL = 2.0**32  # integer samples of 32 bits, stored as float without being scaled
NOT_A_FILE = "not a regular file; clfd reads regular files only, and follows no links"


@dataclass(frozen=True)
class Stretch:
    """What to decode: `max_clips` clips of a file from clip `first_clip` on.

    Clips are `clip_samples` long at `sample_rate_hz` and start every `hop_samples`, counted from
    `start_seconds`; nothing after `end_seconds` is heard. With `fingerprint` the file must still
    be that very one. `max_seconds` refuses longer recordings; `size_bytes` earns big files time.
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


@dataclass(frozen=True)
class Decoded:
    """One stretch as clips, and what the file says of itself.

    `audio` holds the samples once, however much the clips overlap.

    `digest` is the SHA-256 of the whole file; it comes with the first stretch only.
    `seconds` and `total_clips` are the length of the whole recording and the clips it makes. Where
    the header names no length they are the length heard so far and None, until the end is reached;
    where a recording ends before its header says so, a stretch that reaches the end knows less of
    them than those before it. `warning` says what is damaged.
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

    @property
    def clips(self) -> Samples:
        """(C, S), views of `audio`; none where a stretch lies behind the end."""
        if not len(self.audio):
            return self.audio.reshape(0, self.clip_samples)
        windows: Samples = sliding_window_view(self.audio, self.clip_samples)[:: self.hop_samples]
        return windows


def decode(stretch: Stretch) -> Decoded:
    """Decodes one stretch. Raises DecodingError, or FileChanged where the file is another one."""
    with _regular_file(stretch.path) as fd:
        before = fingerprint(os.fstat(fd))
        if stretch.fingerprint not in (None, before):
            raise FileChanged
        digest = _digest_of(fd, before) if stretch.first_clip == 0 else None
        try:
            decoded = _decode(fd, stretch, digest, before)
        except DecodingError as error:
            raise error.of(digest) from error
        except OSError as error:
            raise _read_error(error).of(digest) from error
        finally:
            # Whatever came out of bytes that moved meanwhile, good or bad, means nothing.
            if fingerprint(os.fstat(fd)) != before:
                raise FileChanged
    return decoded


def count_clips(n_samples: int, clip_samples: int, hop_samples: int) -> int:
    """How many clips a recording of `n_samples` makes; at least one, the last one padded."""
    beyond = max(0, n_samples - clip_samples)
    has_tail = beyond % hop_samples >= MIN_TAIL * clip_samples
    return 1 + beyond // hop_samples + has_tail


@contextmanager
def _regular_file(path: bytes) -> Iterator[int]:
    """Opens without following a link and without blocking on a pipe; regular files only."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DecodingError("vanished", "the file was gone before it could be read") from error
    except PermissionError as error:
        raise DecodingError(
            "unreadable", "no permission to read the file; change its mode or owner, then retry"
        ) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise DecodingError("not_a_file", NOT_A_FILE) from error
        raise _read_error(error) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DecodingError("not_a_file", NOT_A_FILE)
        yield fd
    finally:
        os.close(fd)


_last_digest: dict[str, str] = {}  # of one file, by its fingerprint
_conditions: dict[str, Condition] = {}  # of the files heard last, by their fingerprints


def _digest_of(fd: int, token: str) -> str:
    """With a thousand selections in it, side by side in a CSV, a long file is hashed once."""
    if token not in _last_digest:
        digest = _digest(fd)
        _last_digest.clear()
        _last_digest[token] = digest
    return _last_digest[token]


def _condition_of(fd: int, token: str) -> Condition:
    """Found out once in a worker: it takes reading all of an Ogg, and of some MP3 files."""
    if token not in _conditions:
        condition = examine(fd)
        if len(_conditions) >= MAX_CONDITIONS:
            del _conditions[next(iter(_conditions))]
        _conditions[token] = condition
    return _conditions[token]


def _digest(fd: int) -> str:
    try:
        with os.fdopen(os.dup(fd), "rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.lseek(fd, 0, os.SEEK_SET)
    except OSError as error:
        raise _read_error(error) from error
    return digest


def _read_error(error: OSError) -> DecodingError:
    reason = f"the file cannot be read ({error.strerror}); check the disk or the mount, then retry"
    return DecodingError("io", reason, transient=True)


def _decode(fd: int, stretch: Stretch, digest: str | None, token: str) -> Decoded:
    check_magic(fd)
    check_chunks(fd)
    condition = _condition_of(fd, token)
    damage = condition.damage
    if damage is not None and not stretch.accepts_damaged and stretch.first_clip == 0:
        raise damage.of(digest)
    try:
        with _open(fd, condition) as sound:
            check_header(Header(sound.format, sound.subtype, sound.samplerate, sound.channels))
            sound.accepts_damaged = stretch.accepts_damaged
            audio, seconds, total_clips = _heard(sound, stretch)
            shortage = damage or sound.shortage
            return Decoded(
                audio,
                stretch.clip_samples,
                stretch.hop_samples,
                digest,
                token,
                seconds,
                total_clips,
                sound.samplerate,
                sound.channels,
                shortage.reason if shortage else None,
            )
    except _NoSamples as error:
        raise (damage.of(digest) if damage else _no_audio()) from error
    except soundfile.SoundFileError as error:
        raise (damage.of(digest) if damage else _undecodable(error)) from error
    except MemoryError as error:
        raise DecodingError(
            "too_large", "decoding asks for more memory than a worker may have; split the file"
        ) from error


class _Sound(soundfile.SoundFile):  # type: ignore[misc]
    """soundfile seeks after each read, which fails at the end of a stream of unknown length.

    `shortage` is what keeps a recording from being heard to the end that its header promises, and
    `ends_at` the frame where it ends instead.
    """

    accepts_damaged = False
    shortage: DecodingError | None = None
    ends_at: int | None = None

    def seekable(self) -> bool:
        return self.frames < UNKNOWN_FRAMES and bool(super().seekable())


class _NoSamples(Exception):
    pass


def _open(fd: int, condition: Condition) -> _Sound:
    if condition.patches:
        return _Sound(Patched(fd, condition.patches))
    return _Sound(fd, closefd=False)


def _no_audio() -> DecodingError:
    return DecodingError(
        "no_audio", "no audio samples follow the header; check what recorded it, or remove it"
    )


def _undecodable(error: soundfile.SoundFileError) -> DecodingError:
    return DecodingError(
        "damaged", f"the audio cannot be decoded ({_why(error)}); copy it again from its source"
    )


def _why(error: soundfile.SoundFileError) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    # libsndfile says this of an MP3 file in which it finds no frame.
    return "no audio found in it" if reason.startswith("File does not exist") else reason


def _heard(sound: _Sound, stretch: Stretch) -> tuple[Samples, float, int | None]:
    """The stretch's samples, filled up to whole clips; the recording's seconds and clips in all."""
    size, hop, rate_hz = stretch.clip_samples, stretch.hop_samples, stretch.sample_rate_hz
    total = _heard_samples(sound, stretch)
    stop_clip = stretch.first_clip + stretch.max_clips
    begin, end = stretch.first_clip * hop, (stop_clip - 1) * hop + size
    origin = round(stretch.start_seconds * rate_hz)
    audio = _resampled(sound, origin + begin, origin + min(end, total), rate_hz)
    if sound.ends_at is not None:
        heard = math.ceil(round(sound.ends_at / sound.samplerate * rate_hz, 6)) - origin
        total = max(0, min(total, heard))
    elif sound.frames >= UNKNOWN_FRAMES and len(audio) < min(end, total) - begin:
        total = begin + len(audio)
    if total == 0:
        raise _NoSamples
    total_clips = count_clips(total, size, hop)
    n_clips = max(0, min(total_clips, stop_clip) - stretch.first_clip)
    filled = np.zeros((n_clips - 1) * hop + size if n_clips else 0, np.float32)
    used = audio[: len(filled)]  # what is left over is too short for a clip
    filled[: len(used)] = used
    seconds = min(total, end if total >= UNKNOWN_FRAMES else total) / rate_hz
    _check_length(seconds, stretch.max_seconds)
    return filled, seconds, total_clips if total < UNKNOWN_FRAMES else None


def _heard_samples(sound: soundfile.SoundFile, stretch: Stretch) -> int:
    """Samples between start and end at the wanted rate; UNKNOWN_FRAMES where no header says."""
    seconds = math.inf
    if sound.frames < UNKNOWN_FRAMES:
        seconds = sound.frames / sound.samplerate
        _check_length(seconds, stretch.max_seconds)
    heard = min(seconds, stretch.end_seconds) - stretch.start_seconds
    if math.isinf(heard):
        return UNKNOWN_FRAMES
    return max(0, math.ceil(round(heard * stretch.sample_rate_hz, 6)))


def _check_length(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise DecodingError(
            "too_long",
            f"{seconds / 3600:.1f} hours long, over the limit of {max_seconds / 3600:g} "
            "hours; raise engine.max_hours, or split the file",
        )


def _resampled(sound: _Sound, begin: int, end: int, rate_hz: int) -> Samples:
    """Samples [begin, end) of the recording at `rate_hz`; fewer where it ends before.

    Reading starts where the clocks of both rates tick together, a seam before `begin`, so that
    the samples of every stretch lie on one grid.
    """
    source_hz = sound.samplerate
    if source_hz == rate_hz:
        return _mono(sound, begin, end - begin)
    common = math.gcd(source_hz, rate_hz)
    source_unit, unit = source_hz // common, rate_hz // common
    seam_units = math.ceil(SEAM_SECONDS * common)
    first_unit = max(0, begin // unit - seam_units)
    source_begin = first_unit * source_unit
    source_end = math.ceil((end / rate_hz + SEAM_SECONDS) * source_hz)
    mono = _mono(sound, source_begin, source_end - source_begin)
    resampled: Samples = soxr.resample(mono, source_hz, rate_hz)
    skip = begin - first_unit * unit
    return resampled[skip : skip + end - begin]


def _mono(sound: _Sound, begin: int, n_frames: int) -> Samples:
    """Frames [begin, begin + n_frames) as the mean over channels; fewer where the file ends."""
    if begin >= sound.frames:
        return np.zeros(0, np.float32)
    mono = np.empty(min(n_frames, sound.frames - begin), np.float32)
    done = 0
    try:
        _seek(sound, begin)
        while done < len(mono):
            block = _block(sound, len(mono) - done)
            if not len(block):
                _notice_shortage(sound, begin + done, len(mono) - done)
                break
            _mix(block, mono[done : done + len(block)])
            done += len(block)
    except soundfile.SoundFileError as error:
        if not sound.accepts_damaged or begin + done == 0:
            raise
        sound.shortage, sound.ends_at = _breaks_off(sound, begin + done, error), begin + done
    return mono[:done]


def _block(sound: _Sound, n_frames: int) -> Samples:
    """(N, channels), up to a block of them."""
    most = FINE_FRAMES if sound.accepts_damaged else BLOCK_FRAMES
    block: Samples = sound.read(min(most, n_frames), "float32", always_2d=True)
    return block


def _mix(block: Samples, mono: Samples) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        block.mean(axis=1, out=mono)
    if not (np.abs(mono) <= MAX_LEVEL).all():  # false for NaN, too
        raise DecodingError(
            "not_finite",
            "holds samples that are no numbers (NaN, infinity or beyond any scale); "
            "export it again",
        )


def _notice_shortage(sound: _Sound, frame: int, n_missing: int) -> None:
    """Raises DecodingError where reading has ended before the promised end, unless it may."""
    may_miss = SHORT_SECONDS * sound.samplerate if sound.subtype in LOSSY else 0
    if sound.frames >= UNKNOWN_FRAMES or n_missing <= may_miss:
        return
    rate_hz = sound.samplerate
    shortage = DecodingError(
        "truncated",
        f"cut short or damaged: the header promises {sound.frames / rate_hz:.1f} s, "
        f"decoding ends at {frame / rate_hz:.1f} s; copy it again",
    )
    if not sound.accepts_damaged:
        raise shortage
    sound.shortage, sound.ends_at = shortage, frame


def _breaks_off(sound: _Sound, frame: int, error: soundfile.SoundFileError) -> DecodingError:
    return DecodingError(
        "damaged",
        f"cannot be decoded beyond {frame / sound.samplerate:.1f} s ({_why(error)}); "
        "copy it again from its source",
    )


def _seek(sound: soundfile.SoundFile, frame: int) -> None:
    """Where a stream cannot be searched (its header names no length), reads up to the place."""
    if frame == 0:
        return
    if sound.frames < UNKNOWN_FRAMES:
        sound.seek(frame)
        return
    while frame > 0 and (skipped := len(sound.read(min(BLOCK_FRAMES, frame), "float32"))):
        frame -= skipped
