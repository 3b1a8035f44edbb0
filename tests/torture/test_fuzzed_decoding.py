"""Mutated files through the real decode pool: an answer for each, in time, and nothing else dies.

`TORTURE_MUTATIONS` says how many (10,000) of what libsndfile reads, `TORTURE_FFMPEG_MUTATIONS` how
many (100,000) of M4A, WebM, WMA and the like, `TORTURE_SEED` which ones; the seed is printed, and a
finding names base, seed and number, which `mutations.mutation` makes into the same bytes again.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from mutations import Base, base, bases, ffmpeg_bases, is_visible_cut, mutation

from classifier.audio.decode import DecodedAudio, Segment
from classifier.errors import ClassifierError, DecodingError
from classifier.workers.pool import DecodePool
from classifier.workers.worker import DecodeTask, SlotResult, decode_each

COUNT = int(os.environ.get("TORTURE_MUTATIONS", "10000"))
FFMPEG_COUNT = int(os.environ.get("TORTURE_FFMPEG_MUTATIONS", "100000"))
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.randrange(1, 10**6)
DEADLINE_SECONDS = 5.0
GRACE_SECONDS = 10.0  # for a worker to be killed and the next one to start, on a busy machine
MOST_MEMORY_BYTES = 600 * 2**20  # resident; a worker of numpy and soundfile takes 60 MB
AT_ONCE = 16
KINDS = {
    *("empty", "not_audio", "unsupported", "implausible", "damaged", "truncated", "unfinished"),
    *("no_audio", "not_finite", "too_long", "too_large", "timeout"),
}


@dataclass
class Timed:
    """What came of a file in its worker, and what it cost there."""

    answer: DecodedAudio | ClassifierError
    seconds: float
    peak_bytes: int


def timed(segment: Segment, seconds: float) -> list[Timed]:
    began = time.perf_counter()
    (answer,) = decode_each([DecodeTask(segment, seconds)])
    assert not isinstance(answer, SlotResult)  # it was given no slot
    return [Timed(answer, time.perf_counter() - began, peak_bytes())]


def peak_bytes() -> int:
    """Resident; of this process alone, where getrusage begins with what started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


class TimingPool(DecodePool[tuple[str, int]]):
    def _schedule(self, task):
        (part,) = task.parts
        return self._pool.schedule(timed, (part.segment, task.seconds), timeout=task.seconds)


@dataclass
class Tally:
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    biggest_bytes: int = 0
    findings: list[str] = field(default_factory=list)

    def count(self, name: str, number: int, answer: object) -> None:
        words, _ = mutation(name, SEED, number)
        what = f"{name}, seed {SEED}, number {number} ({words})"
        if isinstance(answer, Timed):
            self.slowest = max(self.slowest, (answer.seconds, what))
            self.biggest_bytes = max(self.biggest_bytes, answer.peak_bytes)
            answer = answer.answer
        kind = kind_of(answer)
        self.kinds[kind] += 1
        self.findings += [f"{what}: {fault}" for fault in faults(name, words, kind, answer)]


def kind_of(answer: object) -> str:
    if isinstance(answer, DecodedAudio):
        return "whole" if answer.warning is None else "warned"
    return answer.kind if isinstance(answer, DecodingError) else type(answer).__name__


def faults(name: str, words: str, kind: str, answer: object) -> Iterator[str]:
    if kind not in KINDS | {"whole", "warned"}:
        yield f"{kind}: {answer}"
    if kind == "timeout":
        yield "spins until its deadline"
    if kind == "whole" and is_visible_cut(name, words):
        yield "a cut goes unnoticed"
    if isinstance(answer, DecodedAudio):
        if not np.isfinite(answer.audio).all():
            yield "samples that are no numbers"
        if not len(answer.clips) or (answer.total_clips or 0) < len(answer.clips):
            yield f"{len(answer.clips)} clips of {answer.total_clips}"


@pytest.mark.torture
@pytest.mark.parametrize(("family", "count"), [(bases, COUNT), (ffmpeg_bases, FFMPEG_COUNT)])
def test_no_file_breaks_the_decoding_of_another(
    family: Callable[[], dict[str, Base]], count: int
) -> None:
    names = sorted(family())
    todo = [(names[number % len(names)], number) for number in range(count)]
    todo.reverse()
    tally, began = Tally(), time.monotonic()
    print(f"\n{count:,} mutations, seed {SEED}")
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        TimingPool(2, DEADLINE_SECONDS) as pool,
    ):
        last_sign = time.monotonic()
        while todo or pool.in_flight:
            while todo and pool.in_flight < AT_ONCE:
                key = todo.pop()
                pool.submit(key, segment_of(Path(folder), *key))
            (name, number), answer = pool.wait()
            waited, last_sign = time.monotonic() - last_sign, time.monotonic()
            assert waited < DEADLINE_SECONDS + GRACE_SECONDS, f"{name}, number {number}"
            path_of(Path(folder), number).unlink()
            tally.count(name, number, answer)
        pool.submit(("wav", -1), segment_of(Path(folder), "wav", -1))
        _, last = pool.wait()
    took = time.monotonic() - began
    print(f"{took:.0f} s, {count / took:.0f} a second; {dict(tally.kinds.most_common())}")
    print(f"slowest {tally.slowest[0] * 1000:.0f} ms: {tally.slowest[1]}")
    print(*tally.findings, sep="\n")
    print(f"most memory of a worker {tally.biggest_bytes / 2**20:.0f} MiB")
    assert isinstance(last, Timed)
    assert kind_of(last.answer) == "whole"
    assert tally.kinds.total() == count
    assert tally.biggest_bytes < MOST_MEMORY_BYTES
    assert tally.findings == []


def path_of(folder: Path, number: int) -> Path:
    return folder / str(number)


def segment_of(folder: Path, name: str, number: int) -> Segment:
    """Every other file as the daemon does it with intake.damaged = "warn". -1 is the base."""
    path = path_of(folder, number)
    path.write_bytes(base(name).content if number < 0 else mutation(name, SEED, number)[1])
    return Segment(
        os.fsencode(path),
        sample_rate_hz=8000,
        clip_samples=4000,
        hop_samples=4000,
        max_clips=60,
        first_clip=0,
        max_seconds=48 * 3600,
        accepts_damaged=number % 2 == 1,
    )
