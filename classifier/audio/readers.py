"""What decodes a file, libsndfile or FFmpeg, and what a worker knows of the files it read last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import soundfile

from classifier.audio.containers.formats import Container, check_header, container_of
from classifier.audio.containers.integrity import Integrity, Patched
from classifier.audio.containers.wav import PlainWave, plain_wave
from classifier.audio.metadata import Notes, read_notes, time_expansion
from classifier.audio.regular_file import FileBytes
from classifier.audio.samples import (
    Block,
    Channel,
    Levels,
    Mix,
    better_mix,
    first_mix,
    integer_bits,
)
from classifier.audio.soundfile_reader import UNKNOWN_FRAMES, SoundfileReader, undecodable
from classifier.errors import DecodingError

if TYPE_CHECKING:
    from classifier.audio.ffmpeg_reader import FfmpegReader

    Reader = SoundfileReader | PlainWave | FfmpegReader

MAX_FILES = 64  # remembered: more long recordings than are in the window together
MAX_FFMPEG_READERS = 4  # kept open: an index of a long recording takes some MB
N_PROBES, PROBE_FRAMES = 64, 4096

T = TypeVar("T")


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

    def in_best_mix(
        self, channel: Channel, read: Callable[[Mix], T], level_of: Callable[[T], Levels]
    ) -> T:
        """Once, or again where the sound asks for another mix of its channels than it did before.

        `read` decodes under a mix, and `level_of` has the level of what it gave.
        """
        mix = self.mixes.get(channel, first_mix(channel))
        decoded = read(mix)
        better = better_mix(channel, level_of(decoded))
        self.mixes[channel] = replace(better, bits=0)
        return decoded if better == mix else read(better)

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
def reader_of(
    content: FileBytes,
    path: bytes,
    file: KnownFile,
    *,
    accepts_damaged: bool,
    refuses_damaged: bool = False,
    examines_whole: bool = True,
) -> Iterator[tuple[Reader, Integrity]]:
    """Raises DecodingError, also for what the body meets."""
    if (wave := plain_wave(content)) is not None:
        yield wave, Integrity()
        return
    container = container_of(content.fd, path)
    if examines_whole or not container.is_checked_whole:
        integrity = file.integrity_of(content.fd, container)
    else:
        integrity = Integrity()
    if integrity.damage and refuses_damaged:
        raise integrity.damage
    demuxer = container.demuxer or integrity.demuxer
    if demuxer:
        opened = ffmpeg_reader(content.fd, file, integrity, demuxer)
    else:
        opened = libsndfile_reader(content.fd, file, integrity)
    with opened as sound:
        sound.accepts_damaged = accepts_damaged
        yield sound, integrity


def note_scale(sound: Reader) -> None:
    """After reading: of which integers float samples were made that look like such."""
    if sound.level.is_unscaled:
        sound.level.bits = integer_bits(_probes(sound))


def _probes(sound: Reader) -> list[Block]:
    """Here and there in the file, so that every segment of it finds the same."""
    if sound.frames >= UNKNOWN_FRAMES or not isinstance(sound, SoundfileReader | PlainWave):
        return []
    places = np.linspace(0, max(0, sound.frames - PROBE_FRAMES), N_PROBES).astype(int)
    return [sound.block(at, min(PROBE_FRAMES, sound.frames)) for at in np.unique(places).tolist()]


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
