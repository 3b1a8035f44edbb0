"""The service manager's notify protocol: one datagram of text; sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(message: str) -> None:
    """Sends e.g. `READY=1` to $NOTIFY_SOCKET; does nothing where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # Linux's abstract namespace
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), address)
