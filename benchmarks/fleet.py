"""A fleet against one daemon: files a second and processor time, in a file and on a server.

python -m benchmarks.fleet --files 4000 --turns 3

The same WAV files of one second, in turns: one daemon with SQLite, one with PostgreSQL, two with
PostgreSQL. Server and daemons share the cores, and the server flushes. Processor time is of the
daemons with their workers, and of the server.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import numpy as np
import psutil
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

from postgresql_server import PostgresqlServer

RATE_HZ = 22050
CASES = {"SQLite, one": (False, 1), "PostgreSQL, one": (True, 1), "PostgreSQL, two": (True, 2)}


class Run(NamedTuple):
    files_per_s: float
    core_ms: float  # of a file


@click.command()
@click.option("--files", "n_files", default=4000, show_default=True)
@click.option("--turns", default=3, show_default=True)
def main(n_files: int, turns: int) -> None:
    """Prints medians over the turns, and what each is of the case before."""
    found: dict[str, list[Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        inbox = Path(folder, "inbox")
        _write(inbox, n_files)
        for turn in range(turns):
            for name, (on_server, n_daemons) in CASES.items():
                run = _run(Path(folder, f"{turn}-{n_daemons}-{on_server}"), inbox, *CASES[name])
                found[name].append(run)
                click.echo(f"{name}: {run.files_per_s:.0f} files/s, {run.core_ms:.2f} core-ms")
    base = None
    for name, runs in found.items():
        rate, core_ms = median(r.files_per_s for r in runs), median(r.core_ms for r in runs)
        of = "" if base is None else f"; {rate / base[0]:.2f} and {core_ms / base[1]:.2f} of that"
        click.echo(f"{name}, median: {rate:.0f} files/s, {core_ms:.2f} core-ms a file{of}")
        base = rate, core_ms


def _write(inbox: Path, n_files: int) -> None:
    rng = np.random.default_rng(0)
    inbox.mkdir()
    for number in range(n_files):
        noise = (0.1 * rng.standard_normal(RATE_HZ)).astype("float32")
        soundfile.write(inbox / f"{number:06d}.wav", noise, RATE_HZ)


def _run(home: Path, inbox: Path, on_server: bool, n_daemons: int) -> Run:
    n_files = len(os.listdir(inbox))
    server = PostgresqlServer(("fsync=on",)) if on_server else None
    environ = {**os.environ, "CLFD_INBOX": str(inbox), "CLFD_INTAKE__SETTLE_SECONDS": "0.2"}
    if server:
        environ |= {"CLFD_DATABASE": server.url.render_as_string()}
        environ |= {"CLFD_FLEET__INBOXES": f"{inbox}=files"}
    calls = [
        [sys.executable, "-m", "clfd", "--home", f"{home}-{number}"] for number in range(n_daemons)
    ]
    for call in calls:
        subprocess.run([*call, "init"], env=environ, check=True, capture_output=True)
    before, began = _processor_s(server), time.perf_counter()
    running = [
        subprocess.Popen([*call, "run", "--once"], env=environ, stderr=subprocess.DEVNULL)
        for call in calls
    ]
    assert [daemon.wait() for daemon in running] == [0] * n_daemons
    seconds = time.perf_counter() - began
    spent = _processor_s(server) - before
    if server:
        server.remove()
    return Run(n_files / seconds, 1000 * spent / n_files)


def _processor_s(server: PostgresqlServer | None) -> float:
    """Of daemons and workers that have ended, and of the server with its processes."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = own.ru_utime + own.ru_stime
    if server is not None:
        first = psutil.Process(server.pid)
        for process in (first, *first.children(recursive=True)):
            total += sum(process.cpu_times()[: 4 if process == first else 2])
    return total


if __name__ == "__main__":
    main()
