"""The page beside a busy daemon: what it costs the daemon, and labels written meanwhile.

python -m benchmarks.page_load --files 6000

Two runs of a daemon over the same files, by turns: alone, and with a page that is open in the way
of a browser (status, live and, as somebody labels, one event after the other).
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import click
import numpy as np
import psutil
import soundfile

from storage.home.daemon_lock import read_status
from storage.home.paths import Home
from web.server.sessions import Sessions

PORT = 8598
RATE_HZ = 22_050
POLL_SECONDS = 1.0
CLFD = [sys.executable, "-m", "clfd"]


@click.command()
@click.option("--files", default=6000, show_default=True, help="WAV files of a second.")
@click.option("--turns", default=3, show_default=True)
def main(files: int, turns: int) -> None:
    """Measures this checkout on this machine."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        sounds = Path(name) / "sounds"
        _make(sounds, files)
        for turn in range(turns):
            rates = {
                kind: _run(Path(name), sounds, kind) for kind in ("alone", "open", "labelling")
            }
            shown = ", ".join(f"{kind} {rate:.0f}" for kind, rate in rates.items())
            ratios = [rates[kind] / rates["alone"] for kind in ("open", "labelling")]
            click.echo(
                f"turn {turn + 1}: files a second {shown}; ratios {ratios[0]:.3f}, {ratios[1]:.3f}"
            )


def _make(folder: Path, files: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(files):
        soundfile.write(folder / f"{number:05d}.wav", 0.1 * rng.standard_normal(RATE_HZ), RATE_HZ)


def _run(scratch: Path, sounds: Path, kind: str) -> float:
    """Files a second, between a tenth and the end."""
    home = Home(scratch / f"{kind}-{uuid4().hex[:6]}")
    subprocess.run([*CLFD, "--home", str(home.root), "-q", "init"], check=True)
    home.settings_file.write_text(f'inbox = "{sounds}"\n')
    with _process(home, "run"):
        if kind == "alone":
            return _rate(home, sounds)
        with (
            _process(home, "web", f"--listen=127.0.0.1:{PORT}") as page,
            _Asker(home, kind) as asker,
        ):
            rate = _rate(home, sounds)
            memory = sum(_bytes(one) for one in [page, *page.children(recursive=True)]) / 2**20
            click.echo(f"  {kind}: page {memory:.0f} MiB, {asker}")
            return rate


def _rate(home: Home, sounds: Path) -> float:
    n = len(list(sounds.iterdir()))
    begun: tuple[float, int] | None = None
    while True:
        done = int((read_status(home) or {}).get("done") or 0)
        if begun is None and done >= n / 10:
            begun = time.monotonic(), done
        if done >= n:
            assert begun is not None
            return (done - begun[1]) / (time.monotonic() - begun[0])
        time.sleep(0.05)


class _Asker:
    """A browser's polling, and, for `labelling`, somebody who labels as fast as it is written."""

    def __init__(self, home: Home, kind: str) -> None:
        self._token = Sessions(home).new_session("bench")[0]
        self._labels = kind == "labelling"
        self._ends = threading.Event()
        self._seconds: list[float] = []
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._poll)]
        if self._labels:
            self._threads.append(threading.Thread(target=self._label))

    def __enter__(self) -> _Asker:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def __str__(self) -> str:
        if not self._seconds:
            return "polled"
        middle, high = 1000 * np.percentile(self._seconds, (50, 95))
        rate = len(self._seconds) / (time.monotonic() - self._began)
        return f"{rate:.0f} labels a second, each {middle:.1f} ms, 95th {high:.1f}"

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        headers = {"Authorization": f"Bearer {self._token}", "Host": f"localhost:{PORT}"}
        headers["Content-Type"] = "application/json"
        connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        found: dict[str, object] = json.loads(answer.read() or b"{}")
        connection.close()
        assert answer.status < 300, found
        return found

    def _poll(self) -> None:
        after = ""
        while not self._ends.wait(POLL_SECONDS):
            self._ask("GET", "status")
            after = f"?after={self._ask('GET', f'live{after}')['next']}"

    def _label(self) -> None:
        self._began = time.monotonic()
        while not self._ends.is_set():
            event = {
                "id": uuid4().hex,
                "digest": os.urandom(32).hex(),
                "say": "label",
                "label": "x",
            }
            at = time.perf_counter()
            self._ask("POST", "labels", {"events": [event]})
            self._seconds.append(time.perf_counter() - at)


@contextmanager
def _process(home: Home, *words: str) -> Iterator[psutil.Process]:
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = [*CLFD, "--home", str(home.root), "-q", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ)
    try:
        if words[0] == "web":
            assert process.stdout is not None
            process.stdout.readline()
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _bytes(process: psutil.Process) -> int:
    """Its own memory, and its share of what it has with others."""
    return int(process.memory_full_info().pss)


if __name__ == "__main__":
    main()
