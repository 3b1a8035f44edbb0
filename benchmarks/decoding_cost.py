"""What it costs to get a clip from a file into the daemon's hands, in core-milliseconds.

ESC10_DIR=... python -m benchmarks.decoding_cost      # decoding alone, and through a pool of two
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import soundfile

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.workers.pool import DecodePool
from classifier.workers.worker import within

ROUNDS = 5
AT_ONCE = 8
RATE_HZ, CLIP_SAMPLES = 22_050, 110_250


class IdlePool(DecodePool[int]):
    """Its tasks do nothing."""

    def _schedule(self, task):  # type: ignore[no-untyped-def]
        return self._pool.schedule(within, (task.seconds, int), timeout=task.seconds)


@click.command()
@click.option("--files", default=100, show_default=True, help="Recordings of ESC-10.")
def main(files: int) -> None:
    """The least of five rounds, after one that fills the caches; CPU time of all processes."""
    oggs = sorted(Path(os.environ["ESC10_DIR"], "audio").glob("*.ogg"))[:files]
    with tempfile.TemporaryDirectory() as folder:
        sets = {"Ogg, 5 s": oggs, **dict(_made(Path(folder), oggs))}
        for name, paths in sets.items():
            own = _least(lambda paths=paths: _decode(paths), time.process_time)
            click.echo(f"decode, {name}: {own / len(paths) * 1000:.2f} core-ms")
        with DecodePool[int](2, 60.0) as pool, IdlePool(2, 60.0) as idle:
            for name, paths in sets.items():
                total = _least(lambda paths=paths: _pass(pool, paths), _core_seconds_of_all)
                click.echo(f"through the pool, {name}: {total / len(paths) * 1000:.2f} core-ms")
            total = _least(lambda: _pass(idle, [Path()] * 2000), _core_seconds_of_all)
            click.echo(f"a task that does nothing: {total / 2000 * 1000:.2f} core-ms")
            click.echo(f"and its answer from an idle pool: {_latency(idle) * 1000:.1f} ms")


def _made(folder: Path, oggs: list[Path]) -> Iterator[tuple[str, list[Path]]]:
    for name, suffix, n_frames in (
        *(("WAV, 5 s", "wav", -1), ("WAV, 1 s", "1.wav", 44_100)),
        *(("FLAC, 5 s", "flac", -1), ("MP3, 5 s", "mp3", -1)),
    ):
        paths = [folder / f"{ogg.stem}.{suffix}" for ogg in oggs]
        for ogg, path in zip(oggs, paths, strict=True):
            samples, rate_hz = soundfile.read(ogg, n_frames)
            soundfile.write(path, samples, rate_hz)
        yield name, paths


def _stretch(path: Path) -> Segment:
    return Segment(os.fsencode(path), RATE_HZ, CLIP_SAMPLES, CLIP_SAMPLES, max_clips=6)


def _decode(paths: list[Path]) -> None:
    for path in paths:
        decode(_stretch(path))


def _pass(pool: DecodePool[int], paths: list[Path]) -> None:
    waiting = list(enumerate(paths))
    while waiting or pool.in_flight:
        while waiting and pool.in_flight < AT_ONCE:
            number, path = waiting.pop()
            pool.submit(number, _stretch(path))
        _, answer = pool.wait()
        assert isinstance(answer, DecodedAudio | int), answer


def _least(work: Callable[[], None], used: Callable[[], float]) -> float:
    work()
    rounds = []
    for _ in range(ROUNDS):
        before = used()
        work()
        rounds.append(used() - before)
    return min(rounds)


def _core_seconds_of_all() -> float:
    """Of this process and its living children, to the nanosecond."""
    tree = [os.getpid()]
    for children in Path("/proc/self/task").glob("*/children"):
        tree += map(int, children.read_text().split())
    tasks = [task for pid in tree for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _latency(pool: DecodePool[int]) -> float:
    waits = []
    for _ in range(50):
        time.sleep(0.02)
        began = time.perf_counter()
        pool.submit(0, _stretch(Path()))
        pool.wait()
        waits.append(time.perf_counter() - began)
    return sorted(waits)[len(waits) // 2]


if __name__ == "__main__":
    main()
