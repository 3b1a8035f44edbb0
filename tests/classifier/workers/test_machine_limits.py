"""What this machine lacks is told as such, and is no failure of a file."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import deeds
import pytest
from deeds import half_seconds, kind, workers
from pebble import ProcessExpired

from classifier.audio.regular_file import read_error
from classifier.errors import MACHINE
from classifier.workers import failures, worker
from classifier.workers import pool as pool_module
from classifier.workers.pool import MAX_TRIES, DecodePool
from classifier.workers.worker import DecodeTask, decode_each

Write = Callable[..., Path]

UNDER_LIMIT = """
import resource, sys
from classifier.audio.decode import Segment
from classifier.workers.pool import DecodePool
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (40, 40))
    with DecodePool(1, 60.0) as pool:
        pool.submit("tone", Segment(sys.argv[1].encode(), 8000, 4000, 4000, 100))
        print(type(pool.wait()[1]).__name__)
"""


def test_files_are_decoded_under_a_low_limit_on_processor_time(
    audio_file: Write, tmp_path: Path
) -> None:
    script = tmp_path / "under_limit.py"
    script.write_text(UNDER_LIMIT)
    command = [sys.executable, str(script), str(audio_file())]
    done = subprocess.run(command, capture_output=True, text=True, env=_with_path())
    assert done.stdout == "DecodedAudio\n", done.stderr


def _with_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(pool_module.__file__).parents[2])}


@pytest.mark.parametrize(("limit", "expected"), [(40.0, MACHINE), (400.0, "timeout")])
def test_a_worker_out_of_processor_time_is_replaced_and_its_file_tried_again(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch, limit: float, expected: str
) -> None:
    monkeypatch.setattr(failures, "_limit_on_processor_time", lambda: limit)
    ended = ProcessExpired("ended", code=-signal.SIGXCPU, pid=0)
    with DecodePool[str](1, 60.0) as pool:
        pool.submit("tone", half_seconds(audio_file()))
        for _ in range(MAX_TRIES):
            assert not pool._answers
            _, task = pool._tasks.popitem()
            pool._fail(task, ended)
        assert [kind(answer) for _, answer in pool._answers] == [expected]


def test_where_no_workers_can_be_started_no_file_fails_and_the_next_one_tries_again(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with DecodePool[str](1, 30.0) as pool:
        with monkeypatch.context() as short:
            short.setattr(pool_module, "WorkerPool", refuse)
            pool._renew()
            for name in ("1.wav", "2.wav"):
                pool.submit(name, half_seconds(audio_file(name)))
            assert {kind(answer) for _, answer in pool.collect()} == {MACHINE}
        pool.submit("3.wav", half_seconds(audio_file("3.wav")))
        assert kind(pool.wait()[1]) == "DecodedAudio"


def test_workers_that_end_before_they_begin_fail_no_file(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "prepare_worker", deeds.die)
    with DecodePool[str](1, 30.0) as pool:
        pool.submit("tone", half_seconds(audio_file()))
        _, answer = pool.wait()
    assert (kind(answer), answer.transient) == (MACHINE, True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), MACHINE),
        (OSError(errno.ESTALE, "Stale file handle"), "io"),
        (ImportError("libsndfile.so is away"), MACHINE),
        (ValueError("a fault of ours"), "internal"),
    ],
)
def test_an_error_of_a_worker_is_the_machines_the_disks_or_ours(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "within", fail)
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)  # of this process's stderr
    (answer,) = decode_each([DecodeTask(half_seconds(audio_file()), 1.0)])
    assert (kind(answer), answer.transient) == (expected, True)


def test_little_memory_is_the_files_fault_only_where_a_worker_has_its_share(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("classifier.audio.readers.plain_wave", fail)
    monkeypatch.setattr(worker, "within", lambda _, work, *arguments: work(*arguments))
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    task = DecodeTask(half_seconds(audio_file()), 1.0)
    assert kind(decode_each([task])[0]) == "too_large"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**30, 2**30))
    assert kind(decode_each([task])[0]) == MACHINE


def test_a_lack_of_descriptors_is_not_told_as_a_fault_of_the_disk() -> None:
    assert "check the disk" not in str(read_error(OSError(errno.ENFILE, "Too many open files")))


def test_ctrl_c_does_not_reach_workers_not_even_while_they_start() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with DecodePool[str](1, 30.0):
        (started,) = (each for each in workers() if each.pid)
        status = Path(f"/proc/{started.pid}/status").read_text()
        blocked = next(line.split()[1] for line in status.splitlines() if "SigBlk" in line)
        assert int(blocked, 16) & 1 << signal.SIGINT - 1
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
