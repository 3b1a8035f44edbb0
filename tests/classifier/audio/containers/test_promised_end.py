"""A file is complete only where its container promises an end, and the file ends there."""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_bytes import FMT, FORMATS, NOTES, PIPED, SILENCE, chunk, real_file, riff, write
from encoded_sound import KINDS, Kind, encoded
from mutations import bases, mutation

from classifier.audio.containers.ogg import MAX_CHECKED_BYTES, checksum
from classifier.audio.containers.promised_end import are_complete
from classifier.audio.regular_file import fingerprint

Make = Callable[..., np.ndarray]


def is_proven(path: Path) -> bool:
    return are_complete([(os.open, bytes(path), fingerprint(path.stat()))]) == [True]


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("seconds", [0.777, 3.0])
def test_a_file_of_a_real_writer_is_whole_at_a_is_proven(
    tmp_path: Path, noise: Make, container: str, subtype: str, seconds: float
) -> None:
    assert is_proven(real_file(tmp_path / "x", container, subtype, noise(seconds)))


def test_real_recordings_are_whole_at_a_is_proven(esc10: Path) -> None:
    assert all(is_proven(path) for path in (esc10 / "audio").iterdir())


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_file_that_is_still_being_copied_is_not_whole(
    tmp_path: Path, noise: Make, container: str, subtype: str
) -> None:
    content = real_file(tmp_path / "x", container, subtype, noise(0.777)).read_bytes()
    for n_bytes in {*range(0, len(content), 1 + len(content) // 300), len(content) - 2}:
        assert not is_proven(write(tmp_path / "part", content[:n_bytes])), n_bytes


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_file_that_already_holds_more_than_it_promises_is_not_whole(
    tmp_path: Path, noise: Make, container: str, subtype: str
) -> None:
    path = real_file(tmp_path / "x", container, subtype, noise(0.777))
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert not is_proven(path)


PROMISING = [
    *(kind for kind in KINDS if kind.promises and kind.muxer in ("ipod", "mp4", "3gp", "webm")),
    *(kind for kind in KINDS if kind.promises and kind.muxer in ("matroska", "au", "wav", "aiff")),
]


@pytest.mark.parametrize("kind", PROMISING, ids=lambda kind: kind.suffix)
def test_what_ffmpeg_reads_is_whole_at_a_promised_end_and_not_before(
    tmp_path: Path, noise: Make, kind: Kind
) -> None:
    content = encoded(kind, noise(0.7, kind.rate_hz))
    assert is_proven(write(tmp_path / "x", content))
    for n_bytes in {*range(0, len(content), 1 + len(content) // 100), len(content) - 2}:
        assert not is_proven(write(tmp_path / "part", content[:n_bytes])), n_bytes


def test_an_mp3_with_a_tag_at_its_end_is_whole(tmp_path: Path, noise: Make) -> None:
    path = real_file(tmp_path / "x", "MP3", "MPEG_LAYER_III", noise())
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert is_proven(path)


@pytest.mark.parametrize("rate_hz", [8000, 12_345, 44_100, 96_000])
@pytest.mark.parametrize("loudness", [0.0, 0.5])
def test_the_last_frame_of_a_flac_file_is_found(
    tmp_path: Path, noise: Make, rate_hz: int, loudness: float
) -> None:
    samples = np.stack([loudness * noise(seconds) for seconds in (2.3, 2.3)], 1)
    soundfile.write(tmp_path / "x", samples, rate_hz, "PCM_24", format="FLAC")
    assert is_proven(tmp_path / "x")


def test_a_flac_file_whose_encoder_is_not_done_or_whose_end_was_altered_is_not_whole(
    tmp_path: Path, noise: Make
) -> None:
    content = real_file(tmp_path / "x", "FLAC", "PCM_16", noise()).read_bytes()
    no_length = content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]
    assert not is_proven(write(tmp_path / "x", no_length))
    altered = content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]
    assert not is_proven(write(tmp_path / "x", altered))


NOT_PROMISED = {
    "nothing yet": b"",
    "a place kept": bytes(16_044),
    "a recorder that fills in its header at the end": riff(FMT, chunk(b"data", SILENCE, 0)),
    "only one of two sizes filled in": riff(FMT, chunk(b"data", SILENCE), size=0),
    "a pipe": riff(FMT, chunk(b"data", SILENCE, PIPED), size=PIPED),
    "notes that the header does not know of yet": riff(FMT, chunk(b"data", SILENCE)) + NOTES,
    "a header alone": riff(FMT, chunk(b"data", b"")),
    "no samples anywhere": riff(FMT, NOTES),
    "more chunks than any file has": riff(FMT, *[chunk(b"JUNK", b"")] * 2000),
    "not audio": b"this is no sound",
}


@pytest.mark.parametrize("name", NOT_PROMISED)
def test_where_no_end_is_promised_nothing_is_proven(tmp_path: Path, name: str) -> None:
    assert not is_proven(write(tmp_path / "x", NOT_PROMISED[name]))


def test_notes_that_the_header_knows_of_belong_to_the_whole(tmp_path: Path) -> None:
    assert is_proven(write(tmp_path / "x", riff(FMT, chunk(b"data", SILENCE), NOTES)))


@pytest.mark.parametrize("base", sorted(bases()))
def test_whatever_the_bytes_the_check_only_says_yes_or_no(tmp_path: Path, base: str) -> None:
    for number in range(200):
        _, content = mutation(base, 7, number)
        assert is_proven(write(tmp_path / "x", content)) in (True, False)


def ogg_page(number: int, flags: int, content: bytes) -> bytes:
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 1, 7, number, 0, 1)
    page = head + bytes([len(content)]) + content
    return page[:22] + struct.pack("<I", checksum(page)) + page[26:]


def test_a_long_ogg_file_and_one_of_countless_pages_are_not_read_through(tmp_path: Path) -> None:
    first, last = ogg_page(0, 2, b"\x01vorbis"), bytes(200)
    assert is_proven(write(tmp_path / "x", first + ogg_page(1, 4, last)))
    pages = [ogg_page(number, 0, b"") for number in range(1, 30_000)]
    countless = first + b"".join(pages) + ogg_page(30_000, 4, last)
    assert len(countless) < MAX_CHECKED_BYTES
    assert not is_proven(write(tmp_path / "x", countless))
    path = write(tmp_path / "x", first)
    os.truncate(path, 2**40)
    began = time.monotonic()
    assert not is_proven(path)
    assert time.monotonic() - began < 1


def test_a_file_is_not_complete_where_it_is_not_the_one_that_was_closed(
    audio_file: Callable[..., Path],
) -> None:
    path = audio_file("a.wav")
    closed = [(os.open, bytes(path), fingerprint(path.stat()))]
    assert are_complete(closed) == [True]
    path.rename(path.with_name("b.wav"))
    assert are_complete(closed) == [False]
    path.symlink_to("b.wav")
    assert are_complete(closed) == [False]
    path.unlink()
    shutil.copyfile(path.with_name("b.wav"), path)
    assert are_complete(closed) == [False]
    path.unlink()
    os.mkfifo(path)
    assert are_complete(closed) == [False]
