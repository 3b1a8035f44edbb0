"""What a daemon spends on each of many files, in its own process and in its workers.

python -m benchmarks.small_files --files 20000           # files a second, core-milliseconds a file
python -m benchmarks.small_files --seconds 5             # as a recorder writes them
python -m benchmarks.small_files --files 2000 --profile  # and on what its own process spends them
"""

from __future__ import annotations

import io
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import psutil
import soundfile

from benchmarks import networks
from benchmarks.distinct import varied
from storage.database.engine import open_database
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.values.timestamps import from_stamp

RATE_HZ = 44_100
FOLDER_FILES = 1000
SAMPLE_SECONDS = 0.05
FUNCTIONS = 60  # of a profile, those that take the most with all that they call


@click.command()
@click.option("--files", default=20_000, show_default=True, help="WAV files, no two alike.")
@click.option("--seconds", default=1.0, show_default=True, help="How long each of them is.")
@click.option("--profile", is_flag=True, help="Also print what functions take; that slows all.")
def main(files: int, seconds: float, profile: bool) -> None:
    """Lets a daemon empty an inbox. Its start, and that of its workers, are part of the sums."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder, "home"))
        home.create()
        _activate_starter(home)
        _fill(home.inbox, files, seconds)
        profiled = Path(folder, "profile") if profile else None
        own_seconds, worker_seconds = _run(home, profiled)
        click.echo(f"{files / _working_seconds(home):.0f} files/s")
        click.echo(f"daemon {own_seconds / files * 1000:.2f} core-ms a file")
        click.echo(f"workers {worker_seconds / files * 1000:.2f} core-ms a file")
        if profiled:
            pstats.Stats(str(profiled)).sort_stats("cumulative").print_stats(FUNCTIONS)


def _activate_starter(home: Home) -> None:
    served, shelf = networks.starter(), CheckpointFolder(home.checkpoints)
    shelf.put(served.name, served.data)
    shelf.activate(served.name)


def _working_seconds(home: Home) -> float:
    """From the first row to the last answer, by the ledger's own times."""
    with (
        open_database(load_settings(home, environ={}).database, "reader") as database,
        database.transaction() as connection,
    ):
        query = "SELECT min(first_seen_at), max(answered_at) FROM recording"
        first, last = connection.exec_driver_sql(query).one()
    return (from_stamp(last) - from_stamp(first)).total_seconds()


def _fill(inbox: Path, n_files: int, seconds: float) -> None:
    """All are on the disk, and in the page cache."""
    noise = np.random.default_rng(0).integers(-8000, 8000, round(seconds * RATE_HZ), np.int16)
    encoded = io.BytesIO()
    soundfile.write(encoded, noise, RATE_HZ, format="WAV")
    wave = encoded.getvalue()
    for number in range(n_files):
        folder = inbox / f"{number // FOLDER_FILES:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number:06}.wav").write_bytes(varied(wave, "wav", number))
    os.sync()  # else the ledger would wait for their pages to be written


def _run(home: Home, profiled: Path | None) -> tuple[float, float]:
    """Core-seconds of the daemon's own process, and of its workers."""
    profiler = ["-m", "cProfile", "-o", str(profiled)] if profiled else []
    command = [sys.executable, *profiler, "-m", "clfd", "--home", str(home.root), "-q", "run"]
    daemon = subprocess.Popen([*command, "--once"])
    own = 0.0
    while daemon.poll() is None:
        with suppress(psutil.NoSuchProcess):
            own = max(own, sum(psutil.Process(daemon.pid).cpu_times()[:2]))
        time.sleep(SAMPLE_SECONDS)
    if daemon.returncode:
        raise click.ClickException(f"the daemon ended with status {daemon.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own, used.ru_utime + used.ru_stime - own


if __name__ == "__main__":
    main()
