"""What a decode worker may be made to do; a module of its own, since a worker has to import it."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from classifier.worker import within

T = TypeVar("T")


def done_within(cpu_seconds: float, deed: Callable[..., T], *arguments: object) -> list[T]:
    """The answer to a task of one part."""
    return [within(cpu_seconds, deed, *arguments)]


def limits() -> dict[str, str]:
    """What the kernel says of this process."""
    status = Path("/proc/self/status").read_text().splitlines()
    rights = next(line.split()[1] for line in status if line.startswith("NoNewPrivs"))
    return {
        "core": str(resource.getrlimit(resource.RLIMIT_CORE)),
        "new rights": "none" if rights == "1" else "some",
        "oom score": Path("/proc/self/oom_score_adj").read_text().strip(),
    }


def take_memory() -> int:
    return len(bytearray(3 * 2**30))


def write_a_megabyte(path: str) -> None:
    Path(path).write_bytes(bytes(2**20))


def open_many_files() -> int:
    opened = []
    try:
        for _ in range(1000):
            opened.append(os.open(os.devnull, os.O_RDONLY))
        return len(opened)
    finally:
        for fd in opened:
            os.close(fd)


def shout_and_die() -> None:
    """A hundred megabytes of lines, and then a crash."""
    line = b"out of luck\n" * 1000
    for _ in range(100 * 2**20 // len(line)):
        try:
            os.write(2, line)
        except OSError:
            continue
    os.kill(os.getpid(), signal.SIGSEGV)


def murmur_and_die() -> None:
    os.write(2, "the index \x1b[31mis\0 \xffbroken\n".encode("latin-1"))
    os.abort()
