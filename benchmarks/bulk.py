"""`clfd bulk score` in one process against the daemon on the same files, by turns.

python -m benchmarks.bulk --files 2000 --turns 3 # finds ESC-10 by ESC10_DIR, else makes sounds

Rates are steady ones: of the answers from the tenth to the ninety-fifth of a hundred, by their
own times, so without the start and the last batches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import psutil

from benchmarks.distinct import distinct
from benchmarks.recordings import recordings
from storage.bulk.parquet_parts import read_rows
from storage.bulk.work_folder import WorkFolder
from storage.database.sqlite import driver
from storage.home.paths import Home
from storage.values.timestamps import from_stamp

STEADY = 0.10, 0.95


class Turn(NamedTuple):
    """Files a second; processor time of a file, start included; seconds from start to exit."""

    steady: float
    core_ms: float
    seconds: float


@click.command()
@click.option("--files", default=2000, show_default=True, help="How many, no two alike.")
@click.option("--turns", default=3, show_default=True, help="Of each of the two.")
@click.option("--format", "suffix", type=click.Choice(["wav", "ogg"]), default="wav")
@click.option("--ray", is_flag=True, help="By Ray, whose processor time is not counted.")
def main(files: int, turns: int, suffix: str, ray: bool) -> None:
    """Measures this checkout on this machine, with the starter checkpoint."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds, what = recordings(folder, files, 0)
        archive = folder / "archive"
        for number, file in enumerate(distinct(sounds[suffix], files, folder / "more")):
            archive.mkdir(exist_ok=True)
            file.rename(archive / f"{number:06}.{suffix}")
        click.echo(f"{files} {suffix} files, variants of {what}; load {os.getloadavg()[0]:.1f}")
        found: dict[str, list[Turn]] = {"daemon": [], "bulk": []}
        measures: dict[str, Callable[[Path, Path], Turn]] = {
            "daemon": of_daemon,
            "bulk": lambda *folders: of_bulk(*folders, *(["--ray", "auto"] if ray else [])),
        }
        for number in range(turns):
            for what, measure in measures.items():
                turn = measure(folder / f"{what}-{number}", archive)
                found[what].append(turn)
                click.echo(f"{what}: {_line(turn)}")
        daemon, bulk = (
            Turn(*map(median, zip(*found[what], strict=True))) for what in ("daemon", "bulk")
        )
        click.echo(f"medians: daemon {_line(daemon)}; bulk {_line(bulk)}")
        ratios = (b.steady / d.steady for d, b in zip(found["daemon"], found["bulk"], strict=True))
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        click.echo(f"bulk / daemon, steady: {bulk.steady / daemon.steady:.2f} (by turns {each})")


def of_daemon(folder: Path, archive: Path) -> Turn:
    home = Home(folder)
    _clfd(home, "-q", "init")
    seconds, core_seconds = _clfd(home, "-q", "run", "--once", CLFD_INBOX=str(archive))
    with closing(driver().connect(home.ledger_file)) as ledger:
        query = "SELECT answered_at FROM recording WHERE state = 'done'"
        moments = [stamp for (stamp,) in ledger.execute(query)]
    return _turn(moments, seconds, core_seconds)


def of_bulk(folder: Path, archive: Path, *words: str) -> Turn:
    home, work = Home(folder), WorkFolder(folder / "work")
    _clfd(home, "-q", "init")
    _clfd(home, "-q", "bulk", "list", str(archive), "-o", str(work.root))
    seconds, core_seconds = _clfd(home, "-q", "bulk", "score", str(work.root), *words)
    batches = read_rows(work.output_parts(), ["state", "answered_at"])
    rows = [row for batch in batches for row in batch.to_pylist()]
    moments = [row["answered_at"] for row in rows if row["state"] == "done"]
    return _turn(moments, seconds, core_seconds)


def _clfd(home: Home, *words: str, **variables: str) -> tuple[float, float]:
    """Seconds from start to exit, and of processor time, of all its processes."""
    before, began = psutil.Process().cpu_times(), time.monotonic()
    command = [sys.executable, "-m", "clfd", "--home", str(home.root), *words]
    environ = os.environ | variables
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    after = psutil.Process().cpu_times()
    core_seconds = sum(after[2:4]) - sum(before[2:4])
    return time.monotonic() - began, core_seconds


def _turn(stamps: Sequence[str], seconds: float, core_seconds: float) -> Turn:
    moments = sorted(from_stamp(stamp).timestamp() for stamp in stamps)
    first, last = (int(share * (len(moments) - 1)) for share in STEADY)
    steady = (last - first) / (moments[last] - moments[first])
    return Turn(steady, 1000 * core_seconds / len(moments), seconds)


def _line(turn: Turn) -> str:
    return (
        f"{turn.steady:.0f} files/s steady, {turn.core_ms:.2f} core-ms a file, "
        f"{turn.seconds:.1f} s from start to exit"
    )


if __name__ == "__main__":
    main()
