"""What a daemon and its workers hold and spend: a day in one file, more than 4 GiB, a backlog.

python -m benchmarks.peak_memory                # half an hour on two cores, 20 GB of disk
python -m benchmarks.peak_memory --case backlog --files 20000 --seconds 1
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import networks
from benchmarks.distinct import distinct
from benchmarks.recordings import long_recording
from daemon.benchmark.files import make_sounds
from daemon.benchmark.report import describe_machine
from daemon.benchmark.run import run_once
from storage.home.paths import Home
from storage.settings.loading import load_settings


def a_day(folder: Path, n_files: int, seconds: float) -> list[Path]:
    """One WAV of 24 hours at 16 kHz, 2.8 GB."""
    long_recording(folder / "day.wav", 24 * 60, 16_000)
    return [folder / "day.wav"]


def over_4_gib(folder: Path, n_files: int, seconds: float) -> list[Path]:
    """One RF64 of 25.5 hours at 44.1 kHz, 8.1 GB."""
    long_recording(folder / "long.wav", 1530, 44_100, "RF64")
    return [folder / "long.wav"]


def backlog(folder: Path, n_files: int, seconds: float) -> list[Path]:
    """A backlog of short WAV files."""
    return distinct(make_sounds(folder, "wav", 100, seconds), n_files, folder / "more")


CASES: dict[str, Callable[[Path, int, float], list[Path]]] = {
    "a-day": a_day,
    "over-4-gib": over_4_gib,
    "backlog": backlog,
}


@click.command()
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, help="Else all.")
@click.option("--files", default=100_000, show_default=True, help="Of the backlog.")
@click.option("--seconds", default=0.5, show_default=True, help="Of each of them.")
def main(cases: tuple[str, ...], files: int, seconds: float) -> None:
    """`clfd run --once`: summed proportional set size of its processes, their CPU time, and rates.

    CPU time is that from READY=1 on.
    """
    click.echo(f"{describe_machine()}\n\n| what | peak | rate | CPU |\n|---|---|---|---|")
    for case in cases or CASES:
        click.echo(_measure(case, files, seconds))


def _measure(case: str, files: int, seconds: float) -> str:
    make, served = CASES[case], networks.starter()
    with tempfile.TemporaryDirectory() as name:
        settings = load_settings(Home(Path(name)), environ={})
        run = run_once(served, make(Path(name), files, seconds), settings)
    return (
        f"| {make.__doc__} | {run.peak_bytes / 1e6:.0f} MB | {run.times_real_time:.0f} times real"
        f" time, {run.files_per_second:.1f} files a second"
        f" | {1000 * run.cpu_seconds / run.files:.2f} core-ms a file |"
    )


if __name__ == "__main__":
    main()
