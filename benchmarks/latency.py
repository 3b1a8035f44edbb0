"""From `close()` to the committed row, one file at a time, with a real daemon that is idle.

python -m benchmarks.latency --files 200 --format ogg # finds ESC-10 by ESC10_DIR, else makes sounds
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.distinct import distinct
from benchmarks.recordings import recordings
from storage.database.sqlite import driver
from storage.home.daemon_lock import read_status
from storage.home.paths import Home

GAPS_SECONDS = (0.2, 1.5)  # between two files, so that they meet the daemon in all its phases
POLL_SECONDS = 0.0005
PATIENCE_SECONDS = 30.0
WARM_FILES = 3  # that do not count


@click.command()
@click.option("--files", default=200, show_default=True, help="How many, one after another.")
@click.option("--format", "suffix", type=click.Choice(["wav", "ogg"]), default="wav")
def main(files: int, suffix: str) -> None:
    """Measures this checkout on this machine, with the starter checkpoint."""
    with tempfile.TemporaryDirectory() as name:
        folder, n = Path(name), files + WARM_FILES
        sounds, _ = recordings(folder, n, 0)
        # No two alike: a copy would be answered without being scored.
        contents = [file.read_bytes() for file in distinct(sounds[suffix], n, folder / "more")]
        home = Home(folder / "home")
        with _daemon(home):
            times = list(_measure(home, contents, suffix))[WARM_FILES:]
        at = np.percentile(times, (50, 95, 99, 100))
        click.echo(
            f"{files} {suffix} files of 5 s: median {at[0]:.1f} ms, 95th {at[1]:.1f}, "
            f"99th {at[2]:.1f}, longest {at[3]:.1f}"
        )


@contextmanager
def _daemon(home: Home) -> Iterator[None]:
    clfd = [sys.executable, "-m", "clfd", "--home", str(home.root), "-q"]
    subprocess.run([*clfd, "init"], check=True)
    daemon = subprocess.Popen([*clfd, "run"])
    try:
        while not (read_status(home) or {}).get("running"):
            if daemon.poll() is not None:
                raise click.ClickException(f"the daemon ended with status {daemon.returncode}")
            time.sleep(0.1)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def _measure(home: Home, contents: Sequence[bytes], suffix: str) -> Iterator[float]:
    """Milliseconds from each file's `close()` to its row."""
    uri = f"file:{home.ledger_file}?mode=ro"
    gaps = random.Random(0)
    with closing(driver().connect(uri, uri=True, isolation_level=None)) as ledger:
        for number, content in enumerate(contents):
            time.sleep(gaps.uniform(*GAPS_SECONDS))
            name = f"{number}.{suffix}"
            with (home.inbox / name).open("wb", buffering=0) as file:
                file.write(content)
                closed_at = time.monotonic()
            committed_at = _committed_at(ledger, name, closed_at + PATIENCE_SECONDS)
            yield 1000 * (committed_at - closed_at)


def _committed_at(ledger: Any, name: str, deadline: float) -> float:
    """When another process can see the answer, which is after the flush of its commit."""
    query = "SELECT state FROM recording WHERE path_text = ? AND state IN ('done', 'failed')"
    while time.monotonic() < deadline:
        row = ledger.execute(query, (name,)).fetchone()
        if row is not None:
            if row[0] == "failed":
                raise click.ClickException(f"{name} failed")
            return time.monotonic()
        time.sleep(POLL_SECONDS)
    raise click.ClickException(f"no row for {name} within {PATIENCE_SECONDS:g} s")


if __name__ == "__main__":
    main()
