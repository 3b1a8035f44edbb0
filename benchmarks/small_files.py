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
from pathlib import Path

import click
import numpy as np
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
FUNCTIONS = 20  # of a profile, those that take the most themselves
STAGES = (
    *("intake.py:look", "intake.py:rested", "ledger.py:admit", "ledger.py:claim"),
    *("window.py:take", "pool.py:submit_all", "pool.py:collect", "window.py:_answered"),
    *("ledger.py:known_answers", "window.py:_score", "predictor.py:score", "window.py:step"),
    *("ledger.py:record", "service.py:_tell", "service.py:tick"),
)


@click.command()
@click.option("--files", default=20_000, show_default=True, help="WAV files, no two alike.")
@click.option("--seconds", default=1.0, show_default=True, help="How long each of them is.")
@click.option("--profile", is_flag=True, help="Also tell what each stage takes; that slows all.")
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
            _tell_stages(profiled, files)


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
    before = _waited_for()
    daemon = subprocess.Popen([*command, "--once"])
    own = 0.0
    while daemon.poll() is None:
        own = max(own, _core_seconds(daemon.pid))
        time.sleep(SAMPLE_SECONDS)
    if daemon.returncode:
        raise click.ClickException(f"the daemon ended with status {daemon.returncode}")
    return own, _waited_for() - before - own


def _waited_for() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _core_seconds(pid: int) -> float:
    """Of all threads of a process, without its children; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tell_stages(profiled: Path, n_files: int) -> None:
    """Each with all that it calls; the profiler itself makes small functions look dear."""
    stats = pstats.Stats(str(profiled))
    stats.sort_stats("tottime").print_stats(FUNCTIONS)
    for (file, _, name), entry in stats.stats.items():  # type: ignore[attr-defined]
        stage = f"{Path(file).name}:{name}"
        if stage in STAGES:
            calls, cumulative = entry[0], entry[3]
            click.echo(f"{cumulative / n_files * 1000:8.3f} ms a file, {calls:6} calls: {stage}")


if __name__ == "__main__":
    main()
