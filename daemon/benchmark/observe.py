"""A daemon's process watched from outside: what it says, when it is ready, what it uses."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.errors import DaemonError
from daemon.monitoring.processes import (
    busy_seconds,
    cpu_of_ended_children,
    cpu_seconds,
    memory_bytes,
    tree_of,
)
from storage.home.paths import Home

SAMPLE_SECONDS = 0.5  # between two looks at memory, each of which takes 4 ms of a core a process
SAID_LETTERS = 500


@dataclass
class Observed:
    """Moments are those of `time.time`, as the ledger's are.

    `said_at` is when each of the words was said first. Up to READY=1 the workers, which begin
    while the network loads, used `started_seconds`. After it the whole tree used `cpu_seconds`, and
    everything else on the machine `others_cores` cores at a time. `peak_bytes` is the largest sum
    of proportional set sizes seen.
    """

    began_at: float
    ready_at: float = 0.0
    said_at: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    started_seconds: float = 0.0
    others_cores: float = 0.0
    peak_bytes: int = 0


def observe(
    home: Home, environment: Mapping[str, str], words: Sequence[str], seconds: float
) -> Observed:
    """Runs `clfd run --once` to its end, or tells it to stop so many seconds after it was ready.

    Raises DaemonError with what it said last, where it fails.
    """
    command = [sys.executable, "-m", "clfd", "--home", str(home.root), "run", "--once"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        address = f"clfd-bench-{secrets.token_hex(8)}"
        notices.bind(f"\0{address}")
        before = cpu_of_ended_children()
        began_at = time.time()
        process = subprocess.Popen(
            command,
            env={**environment, "NOTIFY_SOCKET": f"@{address}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        watch = _Watch(process, notices, words, Observed(began_at))
        try:
            watch.until_it_ends(seconds)
        finally:
            process.kill()  # only where something failed here
            process.wait()
            process.stderr.close()  # type: ignore[union-attr]
    observed = watch.observed
    if not watch.is_sound:
        raise DaemonError(
            f"the daemon that was measured ended with status {process.returncode}:"
            f" {watch.last_words or 'it said nothing'}"
        )
    observed.cpu_seconds = cpu_of_ended_children() - before - watch.cpu_at_ready
    elapsed = time.time() - observed.ready_at
    others = busy_seconds() - watch.busy_at_ready - observed.cpu_seconds
    observed.others_cores = max(0.0, others / elapsed)
    return observed


class _Watch:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        notices: socket.socket,
        words: Sequence[str],
        observed: Observed,
    ) -> None:
        assert process.stderr is not None
        self._process, self._notices, self._words = process, notices, words
        self._stderr = process.stderr.fileno()
        self._said = b""
        self._asked_to_stop = False
        self.observed = observed
        self.cpu_at_ready = self.busy_at_ready = 0.0

    @property
    def last_words(self) -> str:
        return " ".join(self._said.decode(errors="replace").split())[-SAID_LETTERS:]

    @property
    def is_sound(self) -> bool:
        """Whether it came to its end; one that had begun to leave may be ended by our signal."""
        ends = (0, -signal.SIGTERM) if self._asked_to_stop else (0,)
        said = self.observed.said_at
        return self._process.returncode in ends and len(said) == len(self._words)

    def until_it_ends(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stderr, selectors.EVENT_READ, self._hear)
            selector.register(self._notices, selectors.EVENT_READ, self._note)
            look_due = 0.0
            while self._process.poll() is None:
                for key, _ in selector.select(max(0.0, look_due - time.time())):
                    key.data()
                if time.time() >= look_due:
                    look_due = time.time() + SAMPLE_SECONDS
                    self._look(seconds)
            self._hear()

    def _hear(self) -> None:
        """Notes when the words were said; what is said later is kept as the last words."""
        self._said += os.read(self._stderr, 65_536)
        for word in self._words:
            if word.encode() in self._said:
                self.observed.said_at.setdefault(word, time.time())
        self._said = self._said[-8 * SAID_LETTERS :]

    def _note(self) -> None:
        if b"READY=1" in self._notices.recv(4096):
            self.observed.ready_at = time.time()
            daemon, *workers = tree_of(self._process.pid)
            self.observed.started_seconds = cpu_seconds(workers)
            self.cpu_at_ready = cpu_seconds([daemon]) + self.observed.started_seconds
            self.busy_at_ready = busy_seconds()

    def _look(self, seconds: float) -> None:
        pids = tree_of(self._process.pid)
        self.observed.peak_bytes = max(self.observed.peak_bytes, memory_bytes(pids))
        ready_at = self.observed.ready_at
        if ready_at and time.time() - ready_at > seconds and not self._asked_to_stop:
            self._process.send_signal(signal.SIGTERM)
            self._asked_to_stop = True
