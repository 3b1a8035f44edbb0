"""Places on the network that nobody but this machine reaches."""

from __future__ import annotations

import re
from ipaddress import ip_address

UNIX = "unix:"


def host_and_port(listen: str) -> tuple[str, int]:
    """Of `127.0.0.1:9464` or `[::1]:9464`. Raises ValueError unless it is a place on loopback."""
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        on_loopback = ip_address(host).is_loopback
    except ValueError:
        on_loopback = False
    if not on_loopback or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise ValueError("should be an address of this machine alone and a port: 127.0.0.1:9464")
    return host, int(port)


def is_unix_place(listen: str) -> bool:
    """Whether it names a socket in the file system: `unix:/run/clfd/web.sock`."""
    return listen.startswith(UNIX)


def page_place(listen: str) -> None:
    """Raises ValueError unless it is a place on loopback or `unix:` and an absolute path."""
    if not is_unix_place(listen):
        host_and_port(listen)
    elif not listen.removeprefix(UNIX).startswith("/"):
        raise ValueError("should be unix: and an absolute path, or an address of this machine")
