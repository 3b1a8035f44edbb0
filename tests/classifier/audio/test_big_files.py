"""Files whose reading would take long are looked at before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from deeds import half_seconds

from classifier.audio.decode import BIG_BYTES, MAX_HOLE_BYTES, BigFile, decode, look
from classifier.audio.regular_file import stored_bytes
from classifier.errors import DecodingError, FileChanged

Write = Callable[..., Path]

WAV_HEAD = (
    b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"
    b"data\xff\xff\xff\xff"
)
TERABYTES = 15 * 10**12


def sparse(path: Path, content: bytes, size_bytes: int) -> Path:
    path.write_bytes(content)
    os.truncate(path, size_bytes)
    return path


def refusal(path: Path) -> DecodingError:
    with pytest.raises(DecodingError) as caught:
        look(half_seconds(path, size_bytes=path.stat().st_size, max_seconds=48 * 3600))
    return caught.value


def test_a_file_of_zeros_is_no_audio_however_large(tmp_path: Path) -> None:
    assert refusal(sparse(tmp_path / "zeros.wav", b"", TERABYTES)).kind == "no_audio"


def test_a_recording_of_years_is_too_long_before_it_is_read(tmp_path: Path) -> None:
    assert refusal(sparse(tmp_path / "years.wav", WAV_HEAD, TERABYTES)).kind == "too_long"


def test_what_was_hardly_written_is_damaged(audio_file: Write) -> None:
    path = audio_file("sound.flac", subtype="PCM_16")
    os.truncate(path, TERABYTES)
    error = refusal(path)
    assert (error.kind, error.transient) == ("damaged", False)
    assert "of its 15,000,000,000,000 bytes" in str(error)


def test_a_whole_recording_is_measured_by_what_was_written(audio_file: Write) -> None:
    path = audio_file("sound.flac", subtype="PCM_16")
    os.truncate(path, MAX_HOLE_BYTES)
    big = look(half_seconds(path))
    assert big.stored_bytes + big.hole_bytes == MAX_HOLE_BYTES
    assert big.stored_bytes < 2**20


def test_a_file_that_was_written_all_through_has_no_holes(audio_file: Write) -> None:
    path = audio_file()
    assert look(half_seconds(path)) == BigFile(path.stat().st_size, 0)


def test_data_behind_a_hole_counts(tmp_path: Path) -> None:
    path = sparse(tmp_path / "x", b"x" * 2**16, 2**24)
    with path.open("r+b") as file:
        file.seek(2**23)
        file.write(b"y" * 2**16)
        file.seek(0)
        assert stored_bytes(file.fileno(), 2**24) == 2**17
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 0


def test_a_file_system_that_does_not_tell_of_holes_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, offset: int, whence: int) -> int:
        if whence == os.SEEK_SET:
            return 0
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "lseek", refuse)
    with sparse(tmp_path / "x", b"", 2**24).open("rb") as file:
        assert stored_bytes(file.fileno(), 2**24) == 2**24


def test_a_recorder_that_makes_room_beforehand_keeps_its_digest(tmp_path: Path) -> None:
    path = sparse(tmp_path / "room.wav", WAV_HEAD + b"\1\0" * 8000, 2**24)
    assert decode(half_seconds(path)).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_look_at_another_version_says_so(audio_file: Write) -> None:
    with pytest.raises(FileChanged):
        look(half_seconds(audio_file(), fingerprint="another", size_bytes=BIG_BYTES + 1))
