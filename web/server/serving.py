"""Sockets and the server: where the page listens, for how long it waits, and when it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from storage.errors import ConfigurationError
from storage.values.listen_address import UNIX, host_and_port, is_unix_place
from web.server.connection_limits import MAX_CONNECTIONS, LimitedConnection

SOCKET_MODE = 0o660
KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 3
IDLE_SECONDS = 900.0  # without a request; then a page that systemd started leaves
FIRST_PASSED = 3  # the file descriptor that systemd passes on


@contextmanager
def listening(place: str, passed: socket.socket | None = None) -> Iterator[socket.socket]:
    """On HOST:PORT of this machine, on `unix:PATH`, or on what systemd passed on.

    Raises ConfigurationError for a place that is taken or that cannot be.
    """
    if passed is not None:
        yield passed
        return
    path = Path(place.removeprefix(UNIX)) if is_unix_place(place) else None
    try:
        opened = _unix_socket(path) if path else _loopback_socket(place)
        opened.listen(MAX_CONNECTIONS)  # a browser that is opened at once waits for the start
    except OSError as error:
        what = f"web.listen = {place!r}: {error.strerror or error}"
        raise ConfigurationError(f"{what}; choose another place with --listen") from error
    try:
        yield opened
    finally:
        opened.close()
        if path:
            path.unlink(missing_ok=True)


def passed_socket() -> socket.socket | None:
    """The socket of a systemd unit that starts the page when somebody comes (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=FIRST_PASSED)


def port_of(opened: socket.socket) -> int | None:
    """None where it is a file."""
    return None if opened.family == socket.AF_UNIX else int(opened.getsockname()[1])


def _loopback_socket(place: str) -> socket.socket:
    host, port = host_and_port(place)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only where the protocol is named does asyncio switch Nagle's algorithm off, which costs each
    # answer 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


def _unix_socket(path: Path) -> socket.socket:
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _is_answered(path):
            path.unlink()  # what a page left that was killed
    opened = socket.socket(socket.AF_UNIX)
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        opened.bind(os.fspath(path))
    except OSError:
        opened.close()
        raise
    finally:
        os.umask(before)
    return opened


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


class Activity:
    """The application, and when it was asked last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self.asked_at, self.is_busy = app, time.monotonic(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.is_busy += scope["type"] == "http"
        try:
            await self._app(scope, receive, send)
        finally:
            self.is_busy -= scope["type"] == "http"
            self.asked_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self.is_busy else time.monotonic() - self.asked_at


def serve(app: ASGIApp, opened: socket.socket, leaves_when_idle: bool) -> None:
    """Until SIGINT or SIGTERM, or, where systemd starts it anew, until nobody has asked a while."""
    activity = Activity(app)
    config = uvicorn.Config(
        activity,
        http=LimitedConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        watching = asyncio.ensure_future(_leave(server, activity)) if leaves_when_idle else None
        await server.serve([opened])
        if watching:
            watching.cancel()

    asyncio.run(run())


async def _leave(server: uvicorn.Server, activity: Activity) -> None:
    while activity.idle_seconds < IDLE_SECONDS:
        await asyncio.sleep(IDLE_SECONDS / 60)
    server.should_exit = True
