"""How the page is called: the names that a request may use, and the link that opens it."""

from __future__ import annotations

from storage.settings.schema import WebSettings
from storage.values.listen_address import host_and_port, is_unix_place

# Resolved to this machine by browsers themselves, and with cookies of its own.
NAME = "clfd.localhost"
_LOOPBACK = (NAME, "localhost", "127.0.0.1", "[::1]")


def allowed_hosts(settings: WebSettings, port: int | None) -> frozenset[str]:
    """Values of Host: with the port on loopback, and as a proxy calls it."""
    own = [] if port is None else [f"{name}:{port}" for name in _LOOPBACK]
    return frozenset((*own, *(name.lower() for name in settings.hosts)))


def link(settings: WebSettings, code: str, port: int | None = None) -> str:
    """Opens the page. The code stands behind the #, which no log and no proxy gets to see."""
    if settings.hosts:
        return f"https://{settings.hosts[0]}/in#{code}"
    if is_unix_place(settings.listen):
        return f"/in#{code}"
    return f"http://{NAME}:{port or host_and_port(settings.listen)[1]}/in#{code}"
