"""A whole daemon, as a user would start it, on a temporary home, and what its processes use."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
# Scores of a recording are float32, those of its clips float16.
ANSWERS = """
SELECT count(*), sum(state = 'failed'), coalesce(sum(duration_s), 0.0),
    coalesce(sum(2 * length(clip_scores) / length(scores)), 0),
    min(first_seen_at), min(answered_at), max(answered_at)
FROM recording LEFT JOIN prediction ON prediction.id = prediction_id
WHERE answered_at IS NOT NULL
"""


@dataclass(frozen=True)
class Run:
    """One whole daemon on `files` recordings.

    `seconds` is the time from the first row to the last answer, by the ledger's own times. The
    first row came `start_seconds` after the start, the first answer `first_answer_seconds` later.
    The daemon and its workers used `cpu_seconds` from the first row to their end. `peak_bytes` is
    the largest sum of proportional set sizes: a page that N processes share is an N-th in each.
    """

    files: int
    failed: int
    clips: int
    audio_seconds: float
    seconds: float
    start_seconds: float
    first_answer_seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def files_per_second(self) -> float:
        return self.files / self.seconds

    @property
    def times_real_time(self) -> float:
        return self.audio_seconds / self.seconds


class Usage(NamedTuple):
    """Of a daemon and its workers: at a moment of `time.time`, CPU seconds so far, and memory."""

    at: float
    cpu_seconds: float = 0.0
    memory_bytes: int = 0


def run_once(checkpoint: Starter, files: Sequence[Path], settings: Settings) -> Run:
    """A whole daemon on the files, to its end; see `run_daemon`."""
    with bench_home(checkpoint, files) as home:
        return run_daemon(home, settings)


def run_daemon(home: Home, settings: Settings, seconds: float = math.inf) -> Run:
    """`clfd run --once` on the home, with the settings of the engine; stopped after `seconds`.

    Raises DaemonError where the daemon fails, or where no recording was scored in time.
    """
    usage = _measure(home, _environment(home, settings), seconds)
    answered, failed, audio, clips, *stamps = _rows(home, ANSWERS)[0]
    if answered and answered == failed:
        raise DaemonError("none of the files can be decoded; try `clfd classify` on one of them")
    if not answered:
        raise DaemonError(
            "nothing can be measured: no recording was done in that time; name other files, or"
            " raise --seconds"
        )
    first_row, first_answer, last = (from_stamp(str(stamp)).timestamp() for stamp in stamps)
    times, cpu_seconds, memory_bytes = zip(*usage, strict=True)
    return Run(
        files=int(answered),
        failed=int(failed),
        clips=int(clips),
        audio_seconds=float(audio),
        seconds=max(last - first_row, 0.001),  # the resolution of a stamp
        start_seconds=first_row - times[0],
        first_answer_seconds=first_answer - first_row,
        cpu_seconds=cpu_seconds[-1] - float(np.interp(first_row, times, cpu_seconds)),
        peak_bytes=max(memory_bytes),
    )


def scored_files(home: Home) -> list[Path]:
    """Files in the inbox that the daemon has scored: others may hang or kill a decoder."""
    rows = _rows(home, "SELECT path FROM recording WHERE state = 'done' ORDER BY path")
    return [home.inbox / os.fsdecode(path) for (path,) in rows]


@contextmanager
def bench_home(
    checkpoint: Starter, files: Sequence[Path], compiled: Path | None = None
) -> Iterator[Home]:
    """A temporary home that serves this checkpoint, with copies of the files in its inbox.

    `compiled` is a folder of compiled networks that may be used.
    """
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


def _environment(home: Home, settings: Settings) -> dict[str, str]:
    """The user's, of clfd only the settings of the engine: no other ledger, no other inbox."""
    temporary = home.root / "tmp"  # what a killed daemon leaves goes with the home
    temporary.mkdir()
    environment = {key: v for key, v in os.environ.items() if not key.startswith("CLFD_")}
    engine = settings.engine.model_dump()
    environment |= {f"CLFD_ENGINE__{key.upper()}": str(value) for key, value in engine.items()}
    suffixes = {file.suffix.lower() for file in home.inbox.iterdir()}
    return environment | {
        "TMPDIR": str(temporary),
        "CLFD_INTAKE__DAMAGED": settings.intake.damaged,
        "CLFD_INTAKE__SETTLE_SECONDS": "0",
        "CLFD_INTAKE__SUFFIXES": ",".join(sorted(suffixes)),
    }


def _measure(home: Home, environment: Mapping[str, str], seconds: float) -> list[Usage]:
    """Runs the daemon to its end, or stops it this number of seconds after its first tick."""
    command = [sys.executable, "-m", "clfd", "--home", str(home.root), "run", "--once"]
    errors, before, usage = home.root / "errors", _cpu_of_ended_children(), [Usage(time.time())]
    stop_at, was_stopped = math.inf, False
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        while process.poll() is None:
            usage.append(_usage(process.pid))
            now = usage[-1].at
            if stop_at == math.inf and home.status_file.exists():
                stop_at = now + seconds
            if now > stop_at and not was_stopped:
                process.terminate()
                was_stopped = True
            with suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_SECONDS)
    finally:
        process.kill()  # only where something failed here
        process.wait()
    valid = (0, -signal.SIGTERM) if was_stopped else (0,)
    if process.returncode not in valid:
        last = " ".join(errors.read_text(errors="replace").split())[-ERROR_LETTERS:]
        raise DaemonError(
            f"the daemon that was measured ended with status {process.returncode}:"
            f" {last or 'it said nothing'}"
        )
    return [*usage, Usage(time.time(), _cpu_of_ended_children() - before)]


def _usage(pid: int) -> Usage:
    """Of the process and all below it."""
    cpu_seconds, memory_bytes = 0.0, 0
    with suppress(psutil.NoSuchProcess):
        daemon = psutil.Process(pid)
        for process in (daemon, *daemon.children(recursive=True)):
            with suppress(psutil.Error):  # it ended meanwhile
                cpu_seconds += sum(process.cpu_times()[:4])  # its own and of ended children
                memory_bytes += process.memory_full_info().pss
    return Usage(time.time(), cpu_seconds, memory_bytes)


def _cpu_of_ended_children() -> float:
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def _rows(home: Home, query: str) -> list[Any]:
    """Of the home's ledger."""
    with (
        open_ledger(load_settings(home, environ={}).database, "reader") as ledger,
        ledger.database.transaction() as connection,
    ):
        return list(connection.exec_driver_sql(query))
