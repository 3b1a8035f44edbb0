"""A stretch of a recording at the file's own rate, for ears and eyes. Runs inside decode workers.

By the readers of scoring, and with its mix of the channels, but without reading the whole file
first: an hour's recording is sought in.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from classifier.audio.decode import BIG_BYTES
from classifier.audio.readers import known_file, note_scale, reader_of
from classifier.audio.regular_file import (
    FileBytes,
    Opener,
    fingerprint,
    is_version,
    read_error,
    regular_file,
)
from classifier.audio.samples import Channel, Levels, Mix, Samples
from classifier.errors import DecodingError, FileChanged

if TYPE_CHECKING:
    from classifier.audio.readers import Reader

T = TypeVar("T")


class FileCopy(NamedTuple):
    """Where a content lies or lay, how the path is opened, and what `stat` said of the file."""

    path: bytes
    fingerprint: str
    opener: Opener


@dataclass(frozen=True)
class Content:
    """What has this SHA-256, and what of several channels is wanted of it."""

    digest: str
    copies: Sequence[FileCopy]
    channel: Channel = "mean"


class SoundWindow(NamedTuple):
    """Samples (S,) from `start_s` on; fewer than were asked for where the recording ends."""

    samples: Samples
    start_s: float
    sample_rate_hz: int


def present_copy(content: Content) -> FileCopy:
    """The first copy that is there, with its fingerprint now.

    A file that was only touched is read whole once, to be sure of it. Raises FileChanged where
    others have taken the places, DecodingError where there is none or none may be read.
    """
    problem: Exception = DecodingError("vanished", "its file is gone")
    for copy in content.copies:
        try:
            with regular_file(copy.path, copy.opener) as (fd, status):
                now = fingerprint(status)
                if is_version(copy.fingerprint, now):
                    return copy._replace(fingerprint=now)
                if known_file(now).digest_of(FileBytes(fd, status.st_size)) == content.digest:
                    return copy._replace(fingerprint=now)
                problem = FileChanged("another content lies under its name by now")
        except DecodingError as error:
            if not isinstance(problem, FileChanged):
                problem = error
    raise problem


def read_window(content: Content, start_s: float, end_s: float, max_samples: int) -> SoundWindow:
    """Raises as `read_sound`."""
    return read_sound(content, partial(_window, start_s, end_s, max_samples))


def _window(start_s: float, end_s: float, max_samples: int, sound: Reader) -> SoundWindow:
    begin, end = frames_between(sound, start_s, end_s)
    samples = sound.mono(begin, min(end - begin, max_samples))
    return SoundWindow(samples, begin / sound.samplerate, sound.samplerate)


def frames_between(sound: Reader, start_s: float, end_s: float) -> tuple[int, int]:
    """The frames that a part touches, as far as the header knows. Raises DecodingError."""
    begin = math.floor(round(start_s * sound.samplerate, 6))
    end = min(math.ceil(round(end_s * sound.samplerate, 6)), sound.frames)
    if begin >= end:
        ends_s = sound.frames / sound.samplerate
        raise DecodingError("no_audio", f"the recording ends after {ends_s:.1f} s")
    return begin, end


def read_sound(content: Content, read: Callable[[Reader], T]) -> T:
    """What `read` makes of a reader of the content. It is called twice where the mix changes.

    Raises FileChanged and DecodingError.
    """
    copy = present_copy(content)
    with regular_file(copy.path, copy.opener) as (fd, status):
        if fingerprint(status) != copy.fingerprint:
            raise FileChanged
        file, bytes_ = known_file(copy.fingerprint), FileBytes(fd, status.st_size)
        examines_whole = status.st_size <= BIG_BYTES

        def read_mixed(mix: Mix) -> tuple[T, Levels]:
            opened = reader_of(
                bytes_, copy.path, file, accepts_damaged=True, examines_whole=examines_whole
            )
            with opened as (sound, _):
                sound.level = Levels(mix)
                found = read(sound)
                note_scale(sound)
                return found, sound.level

        try:
            found, _ = file.in_best_mix(content.channel, read_mixed, lambda each: each[1])
        except OSError as error:
            raise read_error(error) from error
        if fingerprint(os.fstat(fd)) != copy.fingerprint:
            raise FileChanged
        return found
