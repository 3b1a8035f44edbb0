"""What it costs to start decode workers: a short run pays for it dearly, a long one does not.

A worker loads the program that started it once more. So it is told by a program of its own that is
as light as the daemon's, and not by the benchmark, which has loaded a network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from classifier.audio.decode import Segment
from classifier.workers.pool import DecodePool
from daemon.errors import DaemonError
from daemon.monitoring.processes import cpu_of_ended_children

TIMEOUT_SECONDS = 60.0
RATE_HZ = 8000


def starting_seconds(file: Path, n_workers: int) -> float:
    """CPU time in which `n_workers` start, by one that also decodes a second of the file."""
    command = [sys.executable, "-m", "daemon.benchmark.workers", os.fspath(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return n_workers * float(done.stdout)
    except ValueError:
        last_line = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DaemonError(f"no worker can be started: {last_line}") from None


def main(file: str) -> None:
    stretch = Segment(os.fsencode(file), RATE_HZ, RATE_HZ, RATE_HZ, max_clips=1)
    pool: DecodePool[int] = DecodePool(1, TIMEOUT_SECONDS)
    with pool:
        pool.submit(0, stretch)
        pool.wait()
    print(cpu_of_ended_children())


if __name__ == "__main__":
    main(sys.argv[1])
