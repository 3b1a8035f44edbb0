"""What decodes a file, libsndfile or FFmpeg, and what a worker knows of the files it read last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import soundfile

from classifier.audio.containers.formats import Container, check_header
from classifier.audio.containers.integrity import Integrity, Patched
from classifier.audio.containers.wav import PlainWave
from classifier.audio.metadata import Notes, read_notes, time_expansion
from classifier.audio.regular_file import FileBytes
from classifier.audio.samples import Channel, Mix
from classifier.audio.soundfile_reader import SoundfileReader, undecodable
from classifier.errors import DecodingError

if TYPE_CHECKING:
    from classifier.audio.ffmpeg_reader import FfmpegReader

    Reader = SoundfileReader | PlainWave | FfmpegReader

MAX_FILES = 64  # remembered: more long recordings than are in the window together
MAX_FFMPEG_READERS = 4  # kept open: an index of a long recording takes some MB


@dataclass
class KnownFile:
    """What was found out about a file, each once: some of it takes reading all of the file.

    `ffmpeg` is kept for the next segment: some recordings are only decoded from the start.
    `mixes` are those that fitted last, by what was asked for.
    """

    digest: str | None = None
    notes: Notes | None = None
    integrity: Integrity | None = None
    ffmpeg: FfmpegReader | None = None
    mixes: dict[Channel, Mix] = field(default_factory=dict)

    def digest_of(self, content: FileBytes) -> str:
        """With a thousand selections in it, side by side in a CSV, a long file is hashed once."""
        if self.digest is None:
            self.digest = content.digest()
        return self.digest

    def notes_of(self, fd: int) -> Notes:
        if self.notes is None:
            self.notes = read_notes(fd)
        return self.notes

    def integrity_of(self, fd: int, container: Container) -> Integrity:
        if self.integrity is None:
            self.integrity = container.examine(fd)
        return self.integrity

    def close(self) -> None:
        if self.ffmpeg is not None:
            self.ffmpeg.close()
            self.ffmpeg = None


_files: dict[str, KnownFile] = {}  # by their fingerprints, in the order of their use


def known_file(fingerprint: str) -> KnownFile:
    file = _files.pop(fingerprint) if fingerprint in _files else KnownFile()
    _files[fingerprint] = file
    if len(_files) > MAX_FILES:
        _files.pop(next(iter(_files))).close()
    with_reader = [each for each in _files.values() if each.ffmpeg is not None]
    for each in with_reader[:-MAX_FFMPEG_READERS]:
        each.close()
    return file


@contextmanager
def libsndfile_reader(fd: int, file: KnownFile, integrity: Integrity) -> Iterator[SoundfileReader]:
    """Raises DecodingError, also for what the body meets."""
    damage = integrity.damage
    os.lseek(fd, 0, os.SEEK_SET)  # it may have been decoded before
    try:
        patched = Patched(fd, integrity.patches) if integrity.patches else fd
        with SoundfileReader(patched, closefd=False) as sound:
            sound.time_expansion = time_expansion(file.notes_of(fd))
            check_header(sound.format, sound.subtype, sound.samplerate, sound.channels)
            yield sound
    except DecodingError as error:
        if damage is None or error.kind != "no_audio":
            raise
        raise damage from error
    except soundfile.SoundFileError as error:
        raise damage or undecodable(error) from error


@contextmanager
def ffmpeg_reader(
    fd: int, file: KnownFile, integrity: Integrity, demuxer: str
) -> Iterator[FfmpegReader]:
    """As `libsndfile_reader`. FFmpeg is loaded only where it is needed."""
    from classifier.audio.ffmpeg_reader import FfmpegReader

    sound, file.ffmpeg = file.ffmpeg, None
    try:
        if sound is None:
            patched = Patched(fd, integrity.patches)
            sound = FfmpegReader(patched, demuxer, is_chain=bool(integrity.demuxer))
        else:
            sound.begin_segment(fd)
        yield sound
    except DecodingError as error:
        raise integrity.damage or error from error
    file.ffmpeg = sound
