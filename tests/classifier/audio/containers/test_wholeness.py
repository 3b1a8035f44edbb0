"""A glance says yes only of a file whose container promises its end, and which ends there."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_bytes import FMT, FORMATS, NOTES, PIPED, SILENCE, chunk, real_file, riff, write
from mutations import bases, mutation

from classifier.audio.containers.ogg import checksum
from classifier.audio.containers.wholeness import MAX_OGG_BYTES, is_whole_at_a_glance

Make = Callable[..., np.ndarray]


def glance(path: Path) -> bool:
    with path.open("rb") as file:
        return is_whole_at_a_glance(file.fileno())


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("seconds", [0.777, 3.0])
def test_a_file_of_a_real_writer_is_whole_at_a_glance(
    tmp_path: Path, noise: Make, container: str, subtype: str, seconds: float
) -> None:
    assert glance(real_file(tmp_path / "x", container, subtype, noise(seconds)))


def test_real_recordings_are_whole_at_a_glance(esc10: Path) -> None:
    assert all(glance(path) for path in (esc10 / "audio").iterdir())


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_file_that_is_still_being_copied_is_not_whole(
    tmp_path: Path, noise: Make, container: str, subtype: str
) -> None:
    content = real_file(tmp_path / "x", container, subtype, noise(0.777)).read_bytes()
    for n_bytes in {*range(0, len(content), 1 + len(content) // 300), len(content) - 2}:
        assert not glance(write(tmp_path / "part", content[:n_bytes])), n_bytes


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_file_that_already_holds_more_than_it_promises_is_not_whole(
    tmp_path: Path, noise: Make, container: str, subtype: str
) -> None:
    path = real_file(tmp_path / "x", container, subtype, noise(0.777))
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert not glance(path)


def test_an_mp3_with_a_tag_at_its_end_is_whole(tmp_path: Path, noise: Make) -> None:
    path = real_file(tmp_path / "x", "MP3", "MPEG_LAYER_III", noise())
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert glance(path)


@pytest.mark.parametrize("rate_hz", [8000, 12_345, 44_100, 96_000])
@pytest.mark.parametrize("loudness", [0.0, 0.5])
def test_the_last_frame_of_a_flac_file_is_found(
    tmp_path: Path, noise: Make, rate_hz: int, loudness: float
) -> None:
    samples = np.stack([loudness * noise(seconds) for seconds in (2.3, 2.3)], 1)
    soundfile.write(tmp_path / "x", samples, rate_hz, "PCM_24", format="FLAC")
    assert glance(tmp_path / "x")


def test_a_flac_file_whose_encoder_is_not_done_or_whose_end_was_altered_is_not_whole(
    tmp_path: Path, noise: Make
) -> None:
    content = real_file(tmp_path / "x", "FLAC", "PCM_16", noise()).read_bytes()
    no_length = content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]
    assert not glance(write(tmp_path / "x", no_length))
    altered = content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]
    assert not glance(write(tmp_path / "x", altered))


NOT_TOLD = {
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


@pytest.mark.parametrize("name", NOT_TOLD)
def test_what_cannot_be_told_is_not_whole(tmp_path: Path, name: str) -> None:
    assert not glance(write(tmp_path / "x", NOT_TOLD[name]))


def test_notes_that_the_header_knows_of_belong_to_the_whole(tmp_path: Path) -> None:
    assert glance(write(tmp_path / "x", riff(FMT, chunk(b"data", SILENCE), NOTES)))


@pytest.mark.parametrize("base", sorted(bases()))
def test_whatever_the_bytes_a_glance_only_says_yes_or_no(tmp_path: Path, base: str) -> None:
    for number in range(200):
        _, content = mutation(base, 7, number)
        assert glance(write(tmp_path / "x", content)) in (True, False)


def ogg_page(number: int, flags: int, content: bytes) -> bytes:
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 1, 7, number, 0, 1)
    page = head + bytes([len(content)]) + content
    return page[:22] + struct.pack("<I", checksum(page)) + page[26:]


def test_a_long_ogg_file_and_one_of_countless_pages_are_not_read_through(tmp_path: Path) -> None:
    first, last = ogg_page(0, 2, b"\x01vorbis"), bytes(200)
    assert glance(write(tmp_path / "x", first + ogg_page(1, 4, last)))
    pages = [ogg_page(number, 0, b"") for number in range(1, 30_000)]
    countless = first + b"".join(pages) + ogg_page(30_000, 4, last)
    assert len(countless) < MAX_OGG_BYTES
    assert not glance(write(tmp_path / "x", countless))
    path = write(tmp_path / "x", first)
    os.truncate(path, 2**40)
    began = time.monotonic()
    assert not glance(path)
    assert time.monotonic() - began < 1
