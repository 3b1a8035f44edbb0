"""Samples come through shared memory, where no task ever sees those of another one."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deeds import half_seconds, kind, workers

from classifier.audio.decode import DecodedAudio, Segment
from classifier.workers.pool import DecodePool
from classifier.workers.shared_memory import (
    KEPT_BYTES,
    LARGE_BYTES,
    SMALL_BYTES,
    SlotBuffer,
    Slots,
    WorkerSlotBuffer,
    likely_bytes,
)

SLOT_BYTES = LARGE_BYTES

Write = Callable[..., Path]
Noise = Callable[..., np.ndarray]


class Handed:
    """A file descriptor on its way to a worker."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def detach(self) -> int:
        return os.dup(self._fd)


@pytest.fixture
def buffer() -> SlotBuffer:
    return SlotBuffer(2, SLOT_BYTES)


@pytest.fixture
def worker(buffer: SlotBuffer) -> WorkerSlotBuffer:
    worker = WorkerSlotBuffer(Handed(buffer.fd), 2 * SLOT_BYTES, SLOT_BYTES)
    worker.open()
    return worker


def resident_bytes(buffer: SlotBuffer) -> int:
    return os.fstat(buffer.fd).st_blocks * 512


def ramp(n_samples: int) -> np.ndarray:
    return np.arange(n_samples, dtype=np.float32)


def test_what_a_worker_leaves_is_there(buffer: SlotBuffer, worker: WorkerSlotBuffer) -> None:
    slots = [buffer.take(), buffer.take()]
    for slot in slots:
        assert slot is not None
        assert worker.write(slot.number, ramp(1000) * slot.number)
    for slot in slots:
        assert slot is not None
        np.testing.assert_array_equal(slot.view(1000), ramp(1000) * slot.number)


def test_a_slot_is_free_when_no_view_of_its_samples_is_left(
    buffer: SlotBuffer, worker: WorkerSlotBuffer
) -> None:
    slot = buffer.take()
    assert slot is not None
    worker.write(slot.number, ramp(1000))
    found = DecodedAudio(slot.view(1000), 100, 50, None, "", 0.0, None, 8000, 1)
    clip = list(found.clips)[3][5:]
    del found
    gc.collect()
    assert len(buffer.free) == 1
    assert clip[0] == 155
    del clip
    assert len(buffer.free) == 2


def test_no_slot_is_handed_out_twice(buffer: SlotBuffer) -> None:
    taken = [buffer.take() for _ in range(3)]
    assert {slot.number for slot in taken if slot} == {0, 1}
    assert taken[2] is None


def test_samples_that_do_not_fit_in_are_refused_on_both_sides(
    buffer: SlotBuffer, worker: WorkerSlotBuffer
) -> None:
    slot = buffer.take()
    assert slot is not None
    assert worker.write(slot.number, np.zeros(SLOT_BYTES // 4, np.float32))
    assert not worker.write(slot.number, np.zeros(SLOT_BYTES // 4 + 1, np.float32))
    with pytest.raises(ValueError, match="buffer is smaller"):
        slot.view(SLOT_BYTES // 4 + 1)


def test_a_long_segment_gives_back_the_memory_that_few_need(
    buffer: SlotBuffer, worker: WorkerSlotBuffer
) -> None:
    slot = buffer.take()
    assert slot is not None
    worker.write(slot.number, ramp(SLOT_BYTES // 4))
    found = slot.view(SLOT_BYTES // 4)
    assert resident_bytes(buffer) == SLOT_BYTES
    del found
    assert resident_bytes(buffer) == KEPT_BYTES


def test_a_worker_can_make_it_neither_shorter_nor_longer(buffer: SlotBuffer) -> None:
    for size in (0, 3 * SLOT_BYTES):
        with pytest.raises(PermissionError):
            os.ftruncate(buffer.fd, size)


def test_a_decoder_that_writes_beyond_its_own_memory_dies_of_it(buffer: SlotBuffer) -> None:
    script = (
        "import ctypes, os; from test_shared_memory import Handed;"
        "from classifier.workers.shared_memory import WorkerSlotBuffer;"
        f"worker = WorkerSlotBuffer(Handed({buffer.fd}), {2 * SLOT_BYTES}, {SLOT_BYTES});"
        "worker.open();"
        "ctypes.memset(worker._address, 1, 1)"
    )
    folder = os.path.dirname(__file__)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([folder, *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], env=environ, pass_fds=[buffer.fd])
    assert done.returncode == -11


def test_where_there_is_no_such_memory_there_is_no_slot_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> int:
        raise OSError("not here")

    monkeypatch.setattr(os, "memfd_create", refused)
    assert Slots(2).buffers == []


# Through the pool


@pytest.fixture
def pool() -> Iterator[DecodePool[str]]:
    with DecodePool[str](workers=1, timeout_seconds=5.0, slots=1) as pool:
        yield pool


def decoded(pool: DecodePool[str], path: Path, **more) -> DecodedAudio:
    pool.submit("", half_seconds(path, **more))
    _, answer = pool.wait()
    assert isinstance(answer, DecodedAudio)
    return answer


def free(pool: DecodePool[str]) -> int:
    return sum(len(buffer.free) for buffer in pool._slots.buffers)


def test_clips_that_are_kept_stay_as_they_are(
    pool: DecodePool[str], audio_file: Write, noise: Callable[..., np.ndarray]
) -> None:
    samples = [noise(seed=seed) for seed in range(3)]
    paths = [audio_file(f"{i}.wav", noise, subtype="FLOAT") for i, noise in enumerate(samples)]
    kept = [decoded(pool, path).clips for path in paths]
    assert free(pool) == 0, "one small slot, one large"
    for clips, expected in zip(kept, samples, strict=True):
        np.testing.assert_array_equal(clips.ravel(), expected)
    kept.clear()
    assert free(pool) == 2


@pytest.mark.parametrize("what", ["refused", "too long", "changed", "killed"])
def test_a_slot_without_samples_is_free_again(
    pool: DecodePool[str], audio_file: Write, tmp_path: Path, what: str
) -> None:
    path = audio_file()
    decoded(pool, path)
    if what == "refused":
        pool.submit("", half_seconds(tmp_path / "gone.wav"))
    elif what == "changed":
        pool.submit("", half_seconds(path, fingerprint="another"))
    elif what == "too long":
        pool.submit("", Segment(os.fsencode(path), 8000, 2 * SLOT_BYTES, 1, max_clips=1))
    else:
        os.truncate(tmp_path / "tone.wav", 2**42)  # takes hours to be hashed
        pool.submit("", half_seconds(path, size_bytes=1))
    assert kind(pool.wait()[1]) in ("vanished", "FileChanged", "DecodedAudio", "timeout")
    assert free(pool) == 2


def test_without_shared_memory_samples_come_all_the_same(
    audio_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with DecodePool[str](1, 5.0) as pool:
        assert decoded(pool, audio_file()).clips.shape == (2, 4000)


def test_a_worker_without_room_for_it_sends_samples_all_the_same(buffer: SlotBuffer) -> None:
    worker = WorkerSlotBuffer(Handed(buffer.fd), 2**60, SLOT_BYTES)
    worker.open()
    assert not worker.write(0, ramp(10))


MINUTE = Segment(b"/card/minute.wav", 22_050, 110_250, 110_250, max_clips=6, size_bytes=5_300_000)
SHORT = replace(MINUTE, path=b"/card/short.WAV", size_bytes=441_044)


def test_short_recordings_get_small_slots_and_long_segments_large_ones() -> None:
    slots = Slots(2)
    sizes = [slot.place.slot_bytes for s in (SHORT, MINUTE) if (slot := slots.take(s))]
    assert sizes == [SMALL_BYTES, LARGE_BYTES]


def test_where_small_slots_are_used_up_a_large_one_serves() -> None:
    slots = Slots(2)
    sizes = [slot.place.slot_bytes for _ in range(5) if (slot := slots.take(SHORT))]
    assert sizes == [SMALL_BYTES, SMALL_BYTES, LARGE_BYTES, LARGE_BYTES]


def test_a_compressed_file_is_taken_to_grow_and_none_to_be_less_than_a_clip() -> None:
    assert likely_bytes(SHORT) == 882_088
    assert likely_bytes(replace(SHORT, path=b"short.ogg")) == 6 * 441_000, "all of a segment"
    assert likely_bytes(replace(SHORT, path=b"short.ogg", size_bytes=1)) == 441_000


def test_a_file_that_is_longer_than_it_seemed_comes_whole(audio_file: Write, noise: Noise) -> None:
    samples = noise(seconds=40)
    path = audio_file("long.wav", samples, subtype="FLOAT")
    with DecodePool[str](1, 20.0, slots=2) as pool:
        pool.submit("", Segment(os.fsencode(path), 8000, 8000, 8000, max_clips=40, size_bytes=1))
        _, answer = pool.wait()
    assert isinstance(answer, DecodedAudio)
    np.testing.assert_array_equal(answer.audio, samples)


def test_the_memory_has_no_name_that_could_stay_behind(buffer: SlotBuffer) -> None:
    lines = Path("/proc/self/maps").read_text().splitlines()
    assert any(line.endswith("/memfd:clfd-samples (deleted)") for line in lines)


@pytest.mark.parametrize("n_kills", [0, pytest.param(6, marks=pytest.mark.torture)])
def test_no_clip_is_ever_another_files(audio_file: Write, n_kills: int) -> None:
    """Each file holds one level throughout; clips are kept for a while, in no order."""
    chance = random.Random(7)
    levels = {f"{n}": np.float32(n / 64) for n in range(1, 41)}
    paths = {
        name: audio_file(f"{name}.wav", np.full(8000, level, np.float32), subtype="FLOAT")
        for name, level in levels.items()
    }
    kept: list[tuple[str, np.ndarray]] = []
    todo = [chance.choice(list(paths)) for _ in range(600)]
    kills = 0
    with DecodePool[str](2, 20.0, slots=6) as pool:
        while todo or pool.in_flight:
            names = [todo.pop() for _ in range(min(len(todo), 9 - pool.in_flight))]
            pool.submit_all([(name, half_seconds(paths[name])) for name in names])
            if len(todo) < 100 * (n_kills - kills):
                kills += 1
                chance.choice(workers()).kill()
            name, answer = pool.wait()
            if isinstance(answer, DecodedAudio):
                kept += [(name, clip) for clip in answer.clips]
            while len(kept) > chance.randrange(12):
                name, clip = kept.pop(chance.randrange(len(kept)))
                assert (clip == levels[name]).all()
    assert kills == n_kills
