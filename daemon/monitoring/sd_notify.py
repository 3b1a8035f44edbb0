"""The service manager's notify protocol: one datagram of text; sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


def notify(*assignments: str) -> None:
    """Sends e.g. `READY=1` to $NOTIFY_SOCKET; does nothing without a service manager."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    message = "\n".join(assignments).encode()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message, address)


def extend_timeout(seconds: float) -> None:
    """Asks for time, from now on, before a start or a stop counts as failed."""
    notify(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")


def monotonic_stamp() -> str:
    """What has to go with `RELOADING=1`."""
    return f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def is_watched(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the service manager waits for pings of this process; sd_watchdog_enabled(3)."""
    interval_usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not interval_usec.isdecimal() or int(interval_usec) == 0:
        return False
    return pid in ("", str(os.getpid()))
