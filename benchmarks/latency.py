"""From `close()` to the committed row, one file at a time, with a real daemon that is idle.

python -m benchmarks.latency --files 200 --format ogg     # finds ESC-10 by ESC10_DIR, else noise
"""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

from storage.database.engine import driver
from storage.home.daemon_lock import read_status
from storage.home.paths import Home

RATE_HZ, SECONDS = 44_100, 5.0
GAPS_SECONDS = (0.2, 1.5)  # between two files, so that they meet the daemon in all its phases
POLL_SECONDS = 0.0005
PATIENCE_SECONDS = 30.0
WARM_FILES = 3  # that do not count


@click.command()
@click.option("--files", default=200, show_default=True, help="How many, one after another.")
@click.option("--format", "suffix", type=click.Choice(["wav", "ogg"]), default="wav")
@click.option("--stages", is_flag=True, help="Also where the time goes; noting it costs a little.")
def main(files: int, suffix: str, stages: bool) -> None:
    """Measures this checkout on this machine, with the starter checkpoint."""
    contents = list(_contents(files + WARM_FILES, suffix))
    with tempfile.TemporaryDirectory() as folder:
        home, log = Home(Path(folder, "home")), Path(folder, "stages")
        with _daemon(home, log if stages else None):
            spans = list(_measure(home, contents, suffix))[WARM_FILES:]
        click.echo(_summary(spans, suffix))
        if stages:
            click.echo(_breakdown(spans, log))


def _contents(n: int, suffix: str) -> Iterator[bytes]:
    """Files of 5 s, no two alike: a copy would be answered without being scored."""
    found = sorted(Path(os.environ.get("ESC10_DIR", "/nowhere"), "audio").glob("*.ogg"))
    for number in range(n):
        if suffix == "ogg" and number < len(found):
            yield found[number].read_bytes()
        else:
            yield _encoded(_samples(found, number), suffix)


def _samples(found: Sequence[Path], number: int) -> np.ndarray[Any, Any]:
    random_numbers = np.random.default_rng(number)
    if not found:
        return 0.1 * random_numbers.standard_normal(round(SECONDS * RATE_HZ))
    samples, _ = soundfile.read(found[number % len(found)])
    return np.roll(samples, number // len(found))


def _encoded(samples: np.ndarray[Any, Any], suffix: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format=suffix)
    return file.getvalue()


@contextmanager
def _daemon(home: Home, log: Path | None) -> Iterator[None]:
    clfd = [sys.executable, "-m", "clfd", "--home", str(home.root), "-q"]
    subprocess.run([*clfd, "init"], check=True)
    staged = [sys.executable, "-m", "benchmarks.stages", str(log), *clfd[3:]]
    daemon = subprocess.Popen([*(staged if log else clfd), "run"])
    try:
        while not (read_status(home) or {}).get("running"):
            if daemon.poll() is not None:
                raise click.ClickException(f"the daemon ended with status {daemon.returncode}")
            time.sleep(0.1)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def _measure(home: Home, contents: Sequence[bytes], suffix: str) -> Iterator[tuple[float, float]]:
    """The moments of each file's `close()` and of its row, on the monotonic clock."""
    uri = f"file:{home.ledger_file}?mode=ro"
    gaps = random.Random(0)
    with closing(driver().connect(uri, uri=True, isolation_level=None)) as ledger:
        for number, content in enumerate(contents):
            time.sleep(gaps.uniform(*GAPS_SECONDS))
            name = f"{number}.{suffix}"
            closed_at = _put(home.inbox / name, content)
            yield closed_at, _committed_at(ledger, name, closed_at + PATIENCE_SECONDS)


def _put(path: Path, content: bytes) -> float:
    with path.open("wb", buffering=0) as file:
        file.write(content)
        return time.monotonic()  # and closes


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


def _summary(spans: Sequence[tuple[float, float]], suffix: str) -> str:
    times = [1000 * (committed - closed) for closed, committed in spans]
    at = dict(zip((50, 95, 99, 100), np.percentile(times, (50, 95, 99, 100)), strict=True))
    return (
        f"{len(times)} {suffix} files of 5 s: median {at[50]:.1f} ms, 95th {at[95]:.1f}, "
        f"99th {at[99]:.1f}, longest {at[100]:.1f}"
    )


def _breakdown(spans: Sequence[tuple[float, float]], log: Path) -> str:
    """The median of each step from one moment to the next."""
    steps: dict[str, list[float]] = {}
    noted = [_parsed(line) for line in log.read_text().splitlines()]
    for closed, committed in spans:
        moments = [("closed", closed)]
        for stage, began, ended in noted:
            if closed <= began and ended <= committed + POLL_SECONDS:
                moments += [(f"{stage} begins", began), (f"{stage} ends", ended)]
        moments = sorted([*moments, ("row seen", committed)], key=lambda moment: moment[1])
        for (before, began), (after, ended) in pairwise(moments):
            steps.setdefault(f"{before} - {after}", []).append(1000 * (ended - began))
    usual = {step: times for step, times in steps.items() if len(times) > len(spans) / 4}
    lines = [f"{np.median(times):7.2f} ms  {step}  ({len(times)})" for step, times in usual.items()]
    return "\n".join(lines)


def _parsed(line: str) -> tuple[str, float, float]:
    stage, began, ended = line.split()
    return stage, float(began), float(ended)


if __name__ == "__main__":
    main()
