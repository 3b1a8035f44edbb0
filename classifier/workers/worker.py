"""What a decode worker may use, and what it prints when it fails.

It reads files nobody vouches for: it may not grow, write, spin or gain rights, and where memory
ends the kernel takes it rather than the daemon.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from classifier.audio.decode import BigFile, DecodedAudio, Segment, decode, is_big, look
from classifier.audio.regular_file import read_error
from classifier.errors import (
    DecodingError,
    FileChanged,
    TemporaryFolderError,
    internal_error,
    machine_error,
)
from classifier.workers.malloc import keep_freed_memory
from classifier.workers.process import die_with_parent, temporary_folder
from classifier.workers.shared_memory import SlotBuffer, SlotPlace, WorkerSlotBuffer

MEMORY_BYTES = 2 * 2**30
FILE_BYTES = 2**16  # it writes nothing but its stderr
MAX_OPEN_FILES = 64
KEPT_BYTES = 32 * 2**20  # of freed memory; a segment of 30 s at 44.1 kHz takes 12 MiB
SPARE_CPU_SECONDS = 2  # beyond its deadline, which the pool keeps as long as it can
STDERR_LETTERS = 300

PR_SET_NO_NEW_PRIVS = 38

T = TypeVar("T")


@dataclass(frozen=True)
class SlotResult:
    """Decoded metadata; the `n_samples` samples are in the shared-memory slot."""

    decoded: DecodedAudio
    n_samples: int


@dataclass(frozen=True)
class DecodeTask:
    """A segment to decode, the processor time that it may take, and the slot for its samples.

    A big file is only looked at, unless the task `may_read_whole`.
    """

    segment: Segment
    cpu_seconds: float
    slot: SlotPlace | None = None
    may_read_whole: bool = False


Result = DecodedAudio | SlotResult | BigFile | DecodingError | FileChanged

_NO_SAMPLES = np.zeros(0, np.float32)
_buffers: dict[int, WorkerSlotBuffer] = {}  # by the size of their slots


def prepare_worker(
    parent: int, folder: Path | None, buffers: Sequence[SlotBuffer | WorkerSlotBuffer] = ()
) -> None:
    """Limits this process; its stderr goes into a file in `folder`, named by its id.

    The samples that it decodes go into `buffers`: WorkerSlotBuffers, once they are unpickled here.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES + sum(buffer.n_bytes for buffer in buffers))
    # Python ignores SIGXFSZ, so that what is too much to write is an error, and not a death.
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    # Pebble's own handler is Python, which a decoder that spins in C never comes to run.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    _divert_stderr(folder)
    for buffer in buffers:
        if isinstance(buffer, WorkerSlotBuffer):
            buffer.open()
            _buffers[buffer.slot_bytes] = buffer
    keep_freed_memory(KEPT_BYTES)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with_parent(parent)


def decode_each(tasks: Sequence[DecodeTask]) -> list[Result]:
    """Decodes, in a worker; for each what came of it.

    A failure of the decoder comes with what the decoder printed. Samples are left in the slot,
    where there is one and they fit in.
    """
    return [_run(task) for task in tasks]


def _run(task: DecodeTask) -> Result:
    try:
        if is_big(task.segment) and not task.may_read_whole:
            return within(task.cpu_seconds, look, task.segment)
        return _put_in_slot(within(task.cpu_seconds, decode, task.segment), task.slot)
    except DecodingError as error:
        if error.kind == "too_large" and _has_little_memory():
            return machine_error(f"decode workers may use less than {MEMORY_BYTES >> 30} GiB")
        printed = os.pread(sys.stderr.fileno(), FILE_BYTES, 0) if error.kind == "damaged" else b""
        return error.with_output(_last_line(printed))
    except FileChanged as error:
        return error
    except OSError as error:
        return read_error(error)
    except ImportError as error:
        return machine_error(f"a decode worker cannot load a module: {error}")
    except Exception as error:  # a fault of ours must cost one file, not those beside it
        return internal_error(error)
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(sys.stderr.fileno(), 0)


def within(cpu_seconds: float, work: Callable[..., T], *arguments: object) -> T:
    """The kernel ends this process where the work takes more, even if nobody looks after it."""
    soft = math.ceil(time.process_time() + cpu_seconds) + SPARE_CPU_SECONDS
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard - 1)  # before the hard limit, where the kernel does not say why
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    return work(*arguments)


def _has_little_memory() -> bool:
    """Whether the daemon itself was given less than a worker should have."""
    return 0 <= resource.getrlimit(resource.RLIMIT_AS)[1] < MEMORY_BYTES


def stderr_folder() -> tempfile.TemporaryDirectory[str] | None:
    """Where the stderr of workers goes; None, and to /dev/null, where there is no place for it."""
    try:
        return temporary_folder("clfd-workers")
    except TemporaryFolderError:
        return None


def stderr_of(folder: Path | None, worker: int | None) -> str:
    """What a worker printed last, in one line. The file is removed: this is for one that died."""
    if folder is None or worker is None:
        return ""
    file = folder / str(worker)
    with contextlib.suppress(OSError):
        printed = _last_line(file.read_bytes())
        file.unlink()
        return printed
    return ""


def _limit(resource_id: int, max_value: int) -> None:
    """Where the daemon itself was given less, that stays: nobody may raise it."""
    _, hard = resource.getrlimit(resource_id)
    limit = max_value if hard == resource.RLIM_INFINITY else min(max_value, hard)
    resource.setrlimit(resource_id, (limit, limit))


def _put_in_slot(decoded: DecodedAudio, slot: SlotPlace | None) -> DecodedAudio | SlotResult:
    if slot is None:
        return decoded
    buffer = _buffers.get(slot.slot_bytes)
    if buffer is None or not buffer.write(slot.number, decoded.audio):
        return decoded
    return SlotResult(replace(decoded, audio=_NO_SAMPLES), len(decoded.audio))


def _divert_stderr(folder: Path | None) -> None:
    """Decoders write to stderr on their own."""
    target = os.open(os.devnull, os.O_RDWR)
    if folder is not None:
        with contextlib.suppress(OSError):
            target = os.open(folder / str(os.getpid()), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, sys.stderr.fileno())


def _last_line(printed: bytes) -> str:
    """The end of it, in one printable line of limited length."""
    text = " ".join(printed.decode("utf-8", "replace").split())
    shown = "".join(letter for letter in text if letter.isprintable())
    return shown if len(shown) <= STDERR_LETTERS else "…" + shown[1 - STDERR_LETTERS :]
