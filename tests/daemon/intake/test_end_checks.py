"""Workers look for the promised end of a file; what they do not find settles as any other file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import deeds
import pytest

from classifier.audio.regular_file import fingerprint
from classifier.workers.pool import DecodePool
from daemon.intake.end_checks import EndChecker
from storage.ledger.outcomes import Arrival

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def answered() -> threading.Event:
    return threading.Event()


@pytest.fixture(scope="module")
def pool(answered: threading.Event) -> Iterator[DecodePool[str]]:
    with DecodePool[str](1, 5.0, on_answer=answered.set) as pool:
        yield pool


@pytest.fixture
def checker(pool: DecodePool[str], answered: threading.Event) -> EndChecker:
    answered.clear()
    return EndChecker(pool)


def closed(path: Path) -> Arrival:
    status = path.stat()
    return Arrival(path.parent, bytes(path.name, "utf-8"), fingerprint(status), status.st_size)


def names(arrivals: list[Arrival]) -> list[bytes]:
    return [arrival.path for arrival in arrivals]


def test_only_complete_files_are_named_and_the_pool_says_when(
    checker: EndChecker, answered: threading.Event, audio_file: Write, tmp_path: Path
) -> None:
    assert checker.collect() == []
    half = tmp_path / "half.wav"
    half.write_bytes(audio_file("a.wav").read_bytes()[:9000])
    checker.submit([closed(tmp_path / "a.wav"), closed(half), closed(audio_file("b.wav"))])
    assert answered.wait(60)
    assert names(checker.collect()) == [b"a.wav", b"b.wav"]
    assert checker.collect() == []


def test_a_check_that_kills_its_worker_names_no_file_and_the_next_check_is_answered(
    checker: EndChecker,
    answered: threading.Event,
    audio_file: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as poisoned:
        poisoned.setattr("daemon.intake.end_checks.are_complete", deeds.die)
        checker.submit([closed(audio_file("a.wav"))])
    assert answered.wait(60)
    assert checker.collect() == []
    answered.clear()
    checker.submit([closed(audio_file("b.wav"))])
    assert answered.wait(60)
    assert names(checker.collect()) == [b"b.wav"]
