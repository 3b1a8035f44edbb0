"""A big file is read by workers of its own, and holds up no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deeds import half_seconds, kind

from classifier.audio.decode import BIG_BYTES, Segment
from classifier.workers import pool as pool_module
from classifier.workers.pool import DecodePool

Write = Callable[..., Path]


@pytest.fixture
def pool() -> Iterator[DecodePool[str]]:
    with DecodePool[str](workers=1, timeout_seconds=30.0) as pool:
        yield pool


def big(path: Path, size_bytes: int) -> Segment:
    os.truncate(path, size_bytes)
    return half_seconds(path, size_bytes=size_bytes)


def test_files_of_ordinary_size_are_answered_while_a_big_one_is_read(
    pool: DecodePool[str], audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "SLOW_SECONDS", 0.0)
    pool.submit("big", big(audio_file("big.flac", subtype="PCM_16"), 2**36))
    while not (slow := pool.slow()) or pool._big_files is None or not pool._big_files.slow():
        pool.collect()
    assert [key for key, _ in slow] == ["big"]
    for name in ("1.wav", "2.wav"):
        pool.submit(name, half_seconds(audio_file(name)))
    assert dict(pool.wait() for _ in range(2)).keys() == {"1.wav", "2.wav"}
    assert pool.in_flight == 1


def test_a_big_recording_is_decoded_whole(pool: DecodePool[str], audio_file: Write) -> None:
    pool.submit("big", big(audio_file("big.flac", subtype="PCM_16"), BIG_BYTES + 1))
    key, answer = pool.wait()
    assert (key, kind(answer), pool.in_flight) == ("big", "DecodedAudio", 0)
    assert len(answer.digest) == 64


def test_a_deadline_follows_what_the_disk_holds(pool: DecodePool[str], audio_file: Write) -> None:
    pool.submit("big", big(audio_file("big.flac", subtype="PCM_16"), 2**36))
    while pool._big_files is None:
        pool.collect()
    (deadline,) = pool._deadlines
    assert 30 + 2**36 / 100e6 <= deadline < 31 + 2**36 / 100e6
    assert pool.max_silence_seconds < 3600


def test_a_sparse_file_of_terabytes_earns_no_time(pool: DecodePool[str], tmp_path: Path) -> None:
    path = tmp_path / "zeros.wav"
    path.touch()
    pool.submit("zeros", big(path, 15 * 10**12))
    assert pool._deadlines == [30.0]
    assert kind(pool.wait()[1]) == "no_audio"
