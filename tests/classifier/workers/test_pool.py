from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import deeds
import pytest
from deeds import half_seconds, kind, workers

from classifier.audio.decode import DecodedAudio, Segment
from classifier.errors import DecodingError, FileChanged
from classifier.workers.pool import MAX_TRIES, DecodePool, _bundles, _Part, _Task

Write = Callable[..., Path]


def has_open(worker: multiprocessing.Process, path: Path) -> bool:
    try:
        return any(link.readlink() == path for link in Path(f"/proc/{worker.pid}/fd").iterdir())
    except FileNotFoundError:  # another file was closed meanwhile
        return False


def reader_of(path: Path) -> multiprocessing.Process:
    """The worker that has the file open, waiting for one."""
    while True:
        for worker in workers():
            if has_open(worker, path):
                return worker


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool[str]]:
    with DecodePool[str](workers=1, timeout_seconds=1.0) as pool:
        yield pool


@pytest.fixture
def own_pool() -> Iterator[DecodePool[str]]:
    with DecodePool[str](workers=1, timeout_seconds=1.0) as pool:
        yield pool


@pytest.fixture
def endless_file(tmp_path: Path) -> Path:
    """A file with a hole, so big that it takes hours to be hashed."""
    path = tmp_path / "endless.wav"
    path.touch()
    os.truncate(path, 2**42)
    return path


class SpinningPool(DecodePool[str]):
    """Its workers do some work in C that never ends and lets no Python run."""

    def _schedule(self, task):
        endless = (self.cpu_seconds, deque, itertools.repeat(0), 0)
        return self._pool.schedule(deeds.done_within, endless, timeout=task.seconds)


def test_a_file_is_decoded_in_another_process(pool: DecodePool[str], audio_file: Write) -> None:
    pool.submit("tone", half_seconds(audio_file()))
    key, answer = pool.wait()
    assert key == "tone"
    assert isinstance(answer, DecodedAudio)
    assert answer.clips.shape == (2, 4000)
    assert os.getpid() not in {worker.pid for worker in workers()}


def test_a_refusal_crosses_the_process_border_whole(pool: DecodePool[str], tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    pool.submit("empty", half_seconds(path))
    _, answer = pool.wait()
    assert isinstance(answer, DecodingError)
    assert (answer.kind, answer.transient, len(answer.digest or "")) == ("empty", False, 64)
    assert str(answer).startswith("the file is empty")


def test_a_changed_file_is_an_answer_of_its_own(pool: DecodePool[str], audio_file: Write) -> None:
    pool.submit("tone", half_seconds(audio_file(), fingerprint="another"))
    assert isinstance(pool.wait()[1], FileChanged)


def test_a_decoder_that_takes_too_long_is_killed_and_the_next_file_is_answered(
    pool: DecodePool[str], audio_file: Write, endless_file: Path
) -> None:
    pool.submit("endless", half_seconds(endless_file))
    pool.submit("tone", half_seconds(audio_file()))
    answers = dict([pool.wait(), pool.wait()])
    assert kind(answers["endless"]) == "timeout"
    assert "was stopped; the file is probably damaged" in str(answers["endless"])
    assert kind(answers["tone"]) == "DecodedAudio"


@pytest.mark.parametrize(("deadline_seconds", "cpu_seconds"), [(1.0, 60.0), (60.0, 0.1)])
def test_a_decoder_that_spins_is_killed_by_the_pool_or_else_by_the_kernel(
    audio_file: Write, deadline_seconds: float, cpu_seconds: float
) -> None:
    with SpinningPool(1, deadline_seconds) as pool:
        pool.cpu_seconds = cpu_seconds
        began = time.monotonic()
        pool.submit("spinning", half_seconds(audio_file()))
        assert kind(pool.wait()[1]) == "timeout"
        assert time.monotonic() - began < 55


def test_a_worker_killed_at_work_costs_its_own_task_only(
    pool: DecodePool[str], audio_file: Write, endless_file: Path
) -> None:
    pool.submit("tone", half_seconds(audio_file()))
    pool.wait()
    (worker,) = workers()
    pool.submit("endless", half_seconds(endless_file))
    pool.submit("tone", half_seconds(audio_file("after.wav")))
    while not has_open(worker, endless_file):
        pass
    worker.kill()
    answers = dict([pool.wait(), pool.wait()])
    assert kind(answers["endless"]) == "worker_died"
    assert answers["endless"].transient
    assert kind(answers["tone"]) == "DecodedAudio"


def numbered(audio_file: Write, n_files: int) -> list[tuple[str, Segment]]:
    return [(f"{n}", half_seconds(audio_file(f"{n}.wav"))) for n in range(n_files)]


def test_many_short_files_are_handed_over_together(
    pool: DecodePool[str], audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    schedule = pool._schedule

    def noted(task: _Task[str]) -> object:
        sizes.append(len(task.parts))
        return schedule(task)

    monkeypatch.setattr(pool, "_schedule", noted)
    pool.submit_all(numbered(audio_file, 20))
    answers = dict(pool.wait() for _ in range(20))
    assert sizes == [16, 4]
    assert {kind(answer) for answer in answers.values()} == {"DecodedAudio"}


def test_few_files_are_shared_among_the_workers() -> None:
    parts = [_Part(n, Segment(b".wav", 8000, 4000, 4000, 1)) for n in range(12)]
    assert [len(some) for some in _bundles(parts, max_parts=3)] == [3, 3, 3, 3]
    assert [len(some) for some in _bundles(parts[:3], max_parts=0)] == [1, 1, 1]


def test_what_decodes_to_much_shares_a_task_with_few() -> None:
    long = Segment(b".wav", 48_000, 240_000, 240_000, max_clips=6, size_bytes=50_000_000)
    short = replace(long, size_bytes=400_000)
    parts = [_Part(n, segment) for n, segment in enumerate([*4 * [long], short, short, long])]
    assert [len(some) for some in _bundles(parts, max_parts=8)] == [2, 4, 1]


@pytest.mark.parametrize("how", ["killed", "timeout"])
def test_of_files_handed_over_together_only_the_bad_one_fails(
    pool: DecodePool[str], audio_file: Write, endless_file: Path, how: str
) -> None:
    segments = numbered(audio_file, 6)
    segments[2] = ("endless", half_seconds(endless_file))
    pool.submit_all(segments)
    answers: dict[str, object] = {}
    while len(answers) < len(segments):
        for worker in workers():
            if how == "killed" and has_open(worker, endless_file):
                worker.kill()
        answers |= dict(pool.collect())
    assert kind(answers.pop("endless")) == ("worker_died" if how == "killed" else "timeout")
    assert {kind(answer) for answer in answers.values()} == {"DecodedAudio"}


def test_a_file_that_hangs_does_not_hold_up_others_for_its_whole_deadline(
    audio_file: Write, endless_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.workers.pool.BUNDLE_SECONDS", 0.5)
    deadlines: list[tuple[int, float]] = []
    segments = [*numbered(audio_file, 5), ("endless", half_seconds(endless_file))]
    with DecodePool[str](1, 30.0) as pool:
        schedule = pool._schedule

        def noted(task: _Task[str]) -> object:
            deadlines.append((len(task.parts), round(task.seconds, 1)))
            return schedule(task)

        monkeypatch.setattr(pool, "_schedule", noted)
        pool.submit_all(segments)
        answers = dict(pool.wait() for _ in range(5))
        pool.submit_all(numbered(audio_file, 3))
    assert {kind(answer) for answer in answers.values()} == {"DecodedAudio"}
    assert deadlines == [(6, 0.5), *9 * [(1, 30.0)]], "and for a while each goes alone"


def test_files_beside_one_that_kills_its_worker_keep_their_tries(
    own_pool: DecodePool[str], audio_file: Write, endless_file: Path
) -> None:
    pool = own_pool
    segments = [*numbered(audio_file, 3), ("endless", half_seconds(endless_file))]
    pool.submit_all(segments)
    reader_of(endless_file).kill()
    while pool._done.empty():
        pass
    pool._settle(pool._done.get())
    assert [part.tries for task in pool._tasks.values() for part in task.parts] == [0, 0, 0, 0]
    for _ in range(MAX_TRIES - 1):
        pool._renew()
    answers = dict(pool.wait() for _ in segments)
    assert [kind(answers[key]) for key in ("0", "1", "2")] == 3 * ["DecodedAudio"]


def test_a_worker_that_dies_with_several_files_leaves_no_words_behind(
    own_pool: DecodePool[str], audio_file: Write, endless_file: Path
) -> None:
    pool = own_pool
    pool.submit_all([*numbered(audio_file, 2), ("endless", half_seconds(endless_file))])
    worker = reader_of(endless_file)
    assert pool._stderr_path is not None
    printed = pool._stderr_path / str(worker.pid)
    assert printed.exists()
    worker.kill()
    _ = [pool.wait() for _ in range(3)]
    assert not printed.exists()


def test_a_file_that_is_refused_costs_none_of_those_beside_it(
    pool: DecodePool[str], audio_file: Write, tmp_path: Path
) -> None:
    segments = numbered(audio_file, 4)
    segments[1] = ("gone", half_seconds(tmp_path / "gone.wav"))
    segments[2] = ("changed", half_seconds(audio_file(), fingerprint="another"))
    pool.submit_all(segments)
    kinds = {key: kind(answer) for key, answer in (pool.wait() for _ in segments)}
    assert kinds == {
        "0": "DecodedAudio",
        "gone": "vanished",
        "changed": "FileChanged",
        "3": "DecodedAudio",
    }


def test_the_pool_survives_a_worker_that_dies_while_idle(
    pool: DecodePool[str], audio_file: Write
) -> None:
    path = audio_file()
    pool.submit("before", half_seconds(path))
    pool.wait()
    (worker,) = workers()
    worker.kill()
    worker.join()
    for key in ("first", "second", "third"):
        pool.submit(key, half_seconds(path))
    answers = dict(pool.wait() for _ in range(3))
    assert {key: kind(answer) for key, answer in answers.items()} == {
        "first": "DecodedAudio",
        "second": "DecodedAudio",
        "third": "DecodedAudio",
    }


def test_an_undefined_fault_costs_one_file(pool: DecodePool[str], audio_file: Write) -> None:
    pool.submit("fault", half_seconds(audio_file(), start_seconds=float("nan")))
    _, answer = pool.wait()
    assert kind(answer) == "internal"


def test_collect_never_waits_and_the_bell_says_when_to_come(audio_file: Write) -> None:
    bell = threading.Event()
    with DecodePool[str](1, 5.0, on_answer=bell.set) as pool:
        assert pool.collect() == []
        pool.submit("tone", half_seconds(audio_file()))
        assert pool.in_flight == 1
        assert bell.wait(10)
        ((key, answer),) = pool.collect()
        assert (key, kind(answer), pool.in_flight) == ("tone", "DecodedAudio", 0)


def test_a_file_that_asks_for_too_much_memory_is_refused(
    pool: DecodePool[str], audio_file: Write
) -> None:
    pool.submit("huge", Segment(os.fsencode(audio_file()), 768_000, 2**31, 2**31, max_clips=1))
    assert kind(pool.wait()[1]) == "too_large"


def test_a_closed_pool_leaves_no_process(audio_file: Write, endless_file: Path) -> None:
    before = {worker.pid for worker in workers()}
    with DecodePool[str](1, 60.0) as pool:
        pool.submit("tone", half_seconds(audio_file()))
        pool.wait()
        pool.submit("endless", half_seconds(endless_file))
    assert {worker.pid for worker in workers()} <= before


def test_other_work_that_is_done_shows_that_the_workers_are_not_stuck(
    pool: DecodePool[str],
) -> None:
    pool._last_heartbeat, done = 0.0, threading.Event()
    pool.call(lambda _: done.set(), 5.0, int)
    assert done.wait(10)
    assert pool._last_heartbeat > 0
