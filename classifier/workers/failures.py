"""What a decode worker died of: the file that it was busy with, its time, or this machine."""

from __future__ import annotations

import math
import resource
import signal
from concurrent.futures import TimeoutError
from pathlib import Path

from pebble import ProcessExpired

from classifier.errors import DecodingError, internal_error, machine_error
from classifier.workers.worker import SPARE_CPU_SECONDS, stderr_of

NO_WORKERS = (
    "decode workers cannot be started or end before they begin; look at the limits on open files, "
    "memory and processes, and at the room in /dev/shm"
)


def failure_of(error: BaseException, seconds: float, stderr_folder: Path | None) -> DecodingError:
    """What a worker died of that had `seconds` for its task and left its stderr in the folder."""
    if isinstance(error, TimeoutError):
        return _timeout_error(seconds)
    if isinstance(error, ProcessExpired):
        printed = stderr_of(stderr_folder, error.pid)
        if error.exitcode == -signal.SIGXCPU:
            limit = _limit_on_processor_time()
            if limit < seconds + SPARE_CPU_SECONDS:
                return machine_error(
                    f"processes may use {limit:.0f} s of processor time, less than a file may "
                    "take; raise that limit (ulimit -t, LimitCPU)"
                )
            return _timeout_error(seconds)
        return crash_error(error.exitcode).with_output(printed)
    return internal_error(error)  # a fault of ours must cost one file, not the daemon


def _limit_on_processor_time() -> float:
    """Seconds that no process of ours may pass, its own limit aside."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    return math.inf if hard == resource.RLIM_INFINITY else hard


def may_be_out_of_time(error: BaseException) -> bool:
    """Whether a worker may have used up its time with the files before this one."""
    is_ended = isinstance(error, ProcessExpired) and error.exitcode == -signal.SIGXCPU
    return is_ended and math.isfinite(_limit_on_processor_time())


def crash_error(exit_code: int | None) -> DecodingError:
    return DecodingError(
        "worker_died",
        f"the decoder crashed or was killed on this file (exit {exit_code}); "
        "it is probably damaged",
        transient=True,
    )


def _timeout_error(seconds: float) -> DecodingError:
    return DecodingError(
        "timeout",
        f"decoding took longer than {seconds:.0f} s and was stopped; "
        "the file is probably damaged, else raise engine.decode_timeout_seconds",
    )
