"""What a daemon and its workers hold at most: a day in one file, more than 4 GiB, a backlog.

python -m benchmarks.peak_memory                # half an hour on two cores, 20 GB of disk
python -m benchmarks.peak_memory --case backlog
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

BACKLOG_FILES = 100_000


def a_day(folder: Path) -> list[Path]:
    """One WAV of 24 hours at 16 kHz, 2.8 GB."""
    long_recording(folder / "day.wav", 24 * 60, 16_000)
    return [folder / "day.wav"]


def over_4_gib(folder: Path) -> list[Path]:
    """One RF64 of 25.5 hours at 44.1 kHz, 8.1 GB."""
    long_recording(folder / "long.wav", 1530, 44_100, "RF64")
    return [folder / "long.wav"]


def backlog(folder: Path) -> list[Path]:
    """A backlog of 100,000 WAV files of half a second."""
    return distinct(make_sounds(folder, "wav", 100, 0.5), BACKLOG_FILES, folder / "more")


CASES: dict[str, Callable[[Path], list[Path]]] = {
    "a-day": a_day,
    "over-4-gib": over_4_gib,
    "backlog": backlog,
}


@click.command()
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, help="Else all.")
def main(cases: tuple[str, ...]) -> None:
    """Summed proportional set size of the process tree during `clfd run --once`."""
    click.echo(f"{describe_machine()}\n\n| what | peak | rate |\n|---|---|---|")
    for line in map(_measured, cases or CASES):
        click.echo(line)


def _measured(case: str) -> str:
    make, served = CASES[case], networks.starter()
    with tempfile.TemporaryDirectory() as name:
        settings = load_settings(Home(Path(name)), environ={})
        run = run_once(served, make(Path(name)), settings)
    what = (make.__doc__ or "").rstrip(".")
    return f"| {what} | {run.peak_bytes / 1e6:.0f} MB | {run.times_real_time:.0f} times real time |"


if __name__ == "__main__":
    main()
