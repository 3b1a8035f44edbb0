from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import deeds
import pytest

from classifier.audio.decode import Segment
from classifier.errors import DecodingError
from classifier.workers.pool import DecodePool
from classifier.workers.worker import FILE_BYTES, STDERR_LETTERS

Write = Callable[..., Path]


class DeedPool(DecodePool[str]):
    """Its workers do a deed instead of decoding."""

    deed: Callable[[], object] = deeds.limits

    def _schedule(self, task):
        work = (task.seconds, self.deed)
        return self._pool.schedule(deeds.done_within, work, timeout=task.seconds)

    def answer(self, deed: Callable[[], object]) -> object:
        self.deed = deed
        self.submit("deed", Segment(b"", 8000, 4000, 4000, max_clips=1))
        return self.wait()[1]


@pytest.fixture(scope="module")
def pool() -> Iterator[DeedPool]:
    with DeedPool(1, 30.0) as pool:
        yield pool


def half_seconds(path: Path) -> Segment:
    return Segment(os.fsencode(path), 8000, 4000, 4000, max_clips=100)


def test_a_worker_gains_no_rights_leaves_no_core_and_is_taken_before_the_daemon(
    pool: DeedPool,
) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert pool.answer(deeds.limits) == {
        "core": "(0, 0)",
        "new rights": "none",
        "oom score": str(min(1000, own + 500)),
    }


def test_a_worker_starts_without_what_only_the_daemon_needs(pool: DeedPool) -> None:
    loaded = pool.answer(deeds.modules)
    assert isinstance(loaded, set)
    assert loaded & {"torch", "scipy", "librosa", "pandas", "sqlalchemy", "pydantic"} == set()


def test_a_daemon_with_narrower_limits_has_workers_all_the_same() -> None:
    script = (
        "import os, resource; from classifier.workers.worker import prepare_worker;"
        "limits = resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS;"
        "[resource.setrlimit(w, (n, n)) for w, n in zip(limits, (50, 1000, 2**30))];"
        "prepare_worker(os.getppid(), None); print(*(resource.getrlimit(w)[1] for w in limits))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["50", "1000", str(2**30)], done.stderr


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        (deeds.take_memory, "MemoryError"),
        (partial(deeds.write_a_megabyte, "/dev/shm/clfd-too-big"), "File too large"),
        (deeds.open_many_files, "Too many open files"),
    ],
    ids=["memory", "file size", "open files"],
)
def test_a_worker_that_wants_too_much_gets_an_error_and_lives(
    pool: DeedPool, deed: Callable[[], object], error: str
) -> None:
    answer = pool.answer(deed)
    Path("/dev/shm/clfd-too-big").unlink(missing_ok=True)
    assert isinstance(answer, DecodingError)
    assert error in str(answer)
    assert isinstance(pool.answer(deeds.limits), dict)


def test_the_last_words_of_a_worker_are_in_the_reason(pool: DeedPool) -> None:
    answer = pool.answer(deeds.murmur_and_die)
    assert isinstance(answer, DecodingError)
    assert (answer.kind, answer.transient) == ("worker_died", True)
    assert str(answer).endswith("(the decoder wrote: the index [31mis �broken)")


def test_a_worker_that_shouts_costs_a_small_file_and_a_short_reason(
    pool: DeedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    read = Path.read_bytes

    def measured(path: Path) -> bytes:
        sizes.append(path.stat().st_size)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", measured)
    answer = pool.answer(deeds.shout_and_die)
    assert isinstance(answer, DecodingError)
    assert "(the decoder wrote: …" in str(answer)
    assert len(str(answer)) < STDERR_LETTERS + 150
    assert sizes == [FILE_BYTES]


def test_what_the_decoder_says_of_a_file_is_in_its_reason_only(
    tmp_path: Path, audio_file: Write
) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"\xff\xfb\x90\x64" + bytes(413))  # a single frame
    cut = audio_file("cut.flac", subtype="PCM_16")
    os.truncate(cut, cut.stat().st_size // 2)
    with DecodePool[str](1, 30.0) as pool:
        reasons = {}
        for path in (bad, cut):
            pool.submit(path.name, half_seconds(path))
            name, answer = pool.wait()
            reasons[name] = str(answer)
    assert "(the decoder wrote: [" in reasons["bad.mp3"]
    assert "decoder wrote" not in reasons["cut.flac"]


def test_workers_work_where_nothing_can_be_written(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(**_):
        raise OSError("read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", no_room)
    with DecodePool[str](1, 30.0) as pool:
        pool.submit("tone", half_seconds(audio_file()))
        assert not isinstance(pool.wait()[1], DecodingError)


def test_a_closed_pool_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with DeedPool(1, 30.0) as pool:
        pool.answer(deeds.murmur_and_die)
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_daemon_that_was_killed_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    last_pid = int(Path("/proc/sys/kernel/pid_max").read_text())  # which no process has
    left, living = (tmp_path / f"clfd-workers-{pid}-x" for pid in (last_pid, os.getpid()))
    for folder in (left, living):
        folder.mkdir()
        (folder / "12").touch()
    with DeedPool(1, 30.0):
        assert not left.exists()
        assert living.exists()
