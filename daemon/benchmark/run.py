"""A whole daemon, as a user would start it, on a temporary home, and what its processes use."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from classifier.inference.compiled import CompiledNetworks
from classifier.model.starter import Starter
from classifier.workers.process import temporary_folder
from daemon.benchmark.files import copy_file
from daemon.errors import DaemonError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.home.temp_home import temporary_home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import load_settings
from storage.settings.schema import Settings
from storage.values.timestamps import from_stamp

SAMPLE_SECONDS = 0.5  # between two measurements of memory: each costs 4 ms of a core a process
ERROR_LETTERS = 500
SCORE_BYTES = 2  # of a label of a clip, in the ledger
ANSWERS = """
SELECT count(*), sum(state = 'failed'), coalesce(sum(duration_s), 0.0),
    coalesce(sum(length(clip_scores)), 0), min(first_seen_at), min(answered_at), max(answered_at)
FROM recording LEFT JOIN prediction ON prediction.id = prediction_id
WHERE answered_at IS NOT NULL
"""


@dataclass(frozen=True)
class Start:
    """Seconds from the process to READY=1, then to the first row, then to the first answer."""

    ready: float
    first_row: float
    first_answer: float


@dataclass(frozen=True)
class Run:
    """One whole daemon on `files` recordings.

    `seconds` is the time from the first row to the last answer, by the ledger's own times. The
    daemon and its workers used `cpu_seconds` from READY=1 to their end; all other programs used
    `others_cores` cores in that time. `peak_bytes` is the largest sum of proportional set sizes.
    """

    files: int
    failed: int
    clips: int
    audio_seconds: float
    seconds: float
    cpu_seconds: float
    others_cores: float
    peak_bytes: int
    start: Start

    @property
    def files_per_second(self) -> float:
        return self.files / self.seconds

    @property
    def clips_per_second(self) -> float:
        return self.clips / self.seconds

    @property
    def times_real_time(self) -> float:
        return self.audio_seconds / self.seconds


@dataclass
class _Usage:
    """Times are those of `time.time`, as the ledger's are; CPU times are in seconds."""

    began_at: float
    ready_at: float = 0.0
    cpu_at_ready: float = 0.0
    busy_at_ready: float = 0.0
    cpu_seconds: float = 0.0
    others_cores: float = 0.0
    peak_bytes: int = 0


def run_once(
    checkpoint: Starter,
    labels: Sequence[str],
    files: Sequence[Path],
    settings: Settings,
    compiled: Path | None = None,
    seconds: float = float("inf"),
) -> Run:
    """`clfd run --once` on the files, with the settings of the engine; stopped after `seconds`.

    `compiled` is a folder of compiled networks that may be used. Raises DaemonError where the
    daemon fails, or where no recording was answered in time.
    """
    with _home(checkpoint, files, compiled) as home:
        usage = _measure(home, _environment(home, settings, files), seconds)
        return _run(home, usage, len(labels))


@contextmanager
def _home(checkpoint: Starter, files: Sequence[Path], compiled: Path | None) -> Iterator[Home]:
    """A temporary home that serves this checkpoint, with copies of the files in its inbox."""
    with temporary_home(temporary_folder("clfd-bench")) as folder:
        home = Home(folder)
        home.create()
        checkpoints = CheckpointFolder(home.checkpoints)
        checkpoints.put(checkpoint.name, checkpoint.data)
        checkpoints.activate(checkpoint.name)
        if compiled:
            CompiledNetworks(compiled).copy_into(home.compiled)
        for number, file in enumerate(files):
            copy_file(file, home.inbox / f"{number:06}{file.suffix or '.wav'}")
        with open_ledger(load_settings(home, environ={}).database, "daemon"):
            pass  # the start that is measured finds a ledger
        yield home


def _environment(home: Home, settings: Settings, files: Sequence[Path]) -> dict[str, str]:
    """The user's, of clfd only the settings of the engine: no other ledger, no other inbox."""
    temporary = home.root / "tmp"  # what a killed daemon leaves goes with the home
    temporary.mkdir()
    environment = {key: v for key, v in os.environ.items() if not key.startswith("CLFD_")}
    engine = settings.engine.model_dump()
    environment |= {f"CLFD_ENGINE__{key.upper()}": str(value) for key, value in engine.items()}
    suffixes = {file.suffix.lower() or ".wav" for file in files}
    return environment | {
        "TMPDIR": str(temporary),
        "CLFD_INTAKE__DAMAGED": settings.intake.damaged,
        "CLFD_INTAKE__SETTLE_SECONDS": "0",
        "CLFD_INTAKE__SUFFIXES": ",".join(sorted(suffixes)),
    }


def _measure(home: Home, environment: Mapping[str, str], seconds: float) -> _Usage:
    """Runs the daemon to its end, or stops it this number of seconds after READY=1."""
    command = [sys.executable, "-m", "clfd", "--home", str(home.root), "run", "--once"]
    errors = home.root / "errors"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices, errors.open("wb") as stderr:
        address = f"clfd-bench-{secrets.token_hex(8)}"
        notices.bind(f"\0{address}")
        notices.settimeout(SAMPLE_SECONDS)
        before, usage = _cpu_of_ended_children(), _Usage(time.time())
        process = subprocess.Popen(
            command,
            env={**environment, "NOTIFY_SOCKET": f"@{address}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            was_stopped = _watch(process, notices, usage, seconds)
        finally:
            process.kill()  # only where something failed here
            process.wait()
    valid = (0, -signal.SIGTERM) if was_stopped else (0,)
    if process.returncode not in valid or not usage.ready_at:
        last = " ".join(errors.read_text(errors="replace").split())[-ERROR_LETTERS:]
        raise DaemonError(
            f"the daemon that was measured ended with status {process.returncode}:"
            f" {last or 'it said nothing'}"
        )
    usage.cpu_seconds = _cpu_of_ended_children() - before - usage.cpu_at_ready
    others = _busy_seconds() - usage.busy_at_ready - usage.cpu_seconds
    usage.others_cores = max(0.0, others / (time.time() - usage.ready_at))
    return usage


def _watch(
    process: subprocess.Popen[bytes], notices: socket.socket, usage: _Usage, seconds: float
) -> bool:
    """Until the daemon ends; whether it was stopped."""
    was_stopped = False
    while process.poll() is None:
        with suppress(TimeoutError):
            if b"READY=1" in notices.recv(4096):
                usage.ready_at = time.time()
                usage.cpu_at_ready = sum(map(_cpu_seconds, _tree(process.pid)))
                usage.busy_at_ready = _busy_seconds()
        usage.peak_bytes = max(usage.peak_bytes, sum(map(_memory_bytes, _tree(process.pid))))
        if usage.ready_at and not was_stopped and time.time() - usage.ready_at > seconds:
            process.terminate()
            was_stopped = True
    return was_stopped


def _tree(pid: int) -> list[psutil.Process]:
    """The process and all below it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _memory_bytes(process: psutil.Process) -> int:
    """The proportional set size: a page that N processes share counts as an N-th in each."""
    with suppress(psutil.Error):  # it ended meanwhile
        return int(process.memory_full_info().pss)
    return 0


def _cpu_seconds(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return sum(process.cpu_times()[:4])  # user and system, its own and of ended children
    return 0.0


def _cpu_of_ended_children() -> float:
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def _busy_seconds() -> float:
    """CPU time of all programs since the machine started.

    What a hypervisor gave to other machines (steal) counts too: nobody here could use it.
    """
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def _run(home: Home, usage: _Usage, n_labels: int) -> Run:
    with (
        open_ledger(load_settings(home, environ={}).database, "reader") as ledger,
        ledger.database.transaction() as connection,
    ):
        answers = connection.exec_driver_sql(ANSWERS).one()
    answered, failed, audio, score_bytes, *stamps = answers
    if not answered or answered == failed:
        reason = "every file failed" if answered else "no recording was done in that time"
        raise DaemonError(
            f"nothing can be measured: {reason}; name other files, or raise --seconds"
        )
    seen_at, first_at, last_at = (from_stamp(str(stamp)).timestamp() for stamp in stamps)
    ready = usage.ready_at - usage.began_at
    return Run(
        files=int(answered),
        failed=int(failed),
        clips=int(score_bytes) // (SCORE_BYTES * n_labels),
        audio_seconds=float(audio),
        seconds=max(last_at - seen_at, 0.001),  # the resolution of a stamp
        cpu_seconds=usage.cpu_seconds,
        others_cores=usage.others_cores,
        peak_bytes=usage.peak_bytes,
        start=Start(ready, seen_at - usage.ready_at, first_at - seen_at),
    )
