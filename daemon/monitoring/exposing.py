"""Where metrics can be had: a page on this machine, and a file for a collector.

The loop leaves its newest status and goes on. Threads of their own make text of it when somebody
asks, and write the file.
"""

from __future__ import annotations

import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from daemon.monitoring.prometheus import exposition
from storage.errors import ConfigurationError
from storage.home.atomic_write import aside_of
from storage.settings.schema import MetricsSettings
from storage.values.listen_address import host_and_port

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FILE_SECONDS = 10.0  # between two versions of the file
FILE_MODE = 0o644  # the collector is another user
READER_SECONDS = 5.0  # that one who asks may take, before the next one has its turn


class Exposition:
    """The newest status, as text when it is asked for."""

    def __init__(self) -> None:
        self._status: Mapping[str, object] = {}

    def publish(self, status: Mapping[str, object]) -> None:
        """From the loop: a reference is exchanged, no more."""
        self._status = status

    def text(self) -> bytes:
        return exposition(self._status, datetime.now(UTC)).encode()


@contextmanager
def exposed(settings: MetricsSettings) -> Iterator[Exposition]:
    """Metrics wherever the settings want them. Raises ConfigurationError for a taken port."""
    made = Exposition()
    with ExitStack() as stack:
        if settings.listen:
            stack.enter_context(_page(settings.listen, made.text))
        if settings.textfile:
            stack.enter_context(_file(Path(settings.textfile), made.text))
        yield made


@contextmanager
def _page(listen: str, text: Callable[[], bytes]) -> Iterator[None]:
    host, port = host_and_port(listen)
    try:
        server = _Server((host, port), text)
    except OSError as error:
        raise ConfigurationError(
            f"metrics.listen = {listen!r}: {error.strerror}; choose another port"
        ) from error
    with server:
        logger.info("metrics on http://%s/metrics", server.place)
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.TCPServer):
    """One answer at a time: whoever asks a hundred times at once gets no hundred threads."""

    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], text: Callable[[], bytes]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.text = text
        super().__init__(address, _Page)

    @property
    def place(self) -> str:
        host, port = self.server_address[:2]
        return (
            f"[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"{host!s}:{port}"
        )

    def finish_request(self, request: Any, client_address: Any) -> None:
        """With a limit for all of it: one letter a second would keep the turn, and end no stop."""
        limit = threading.Timer(READER_SECONDS, _hang_up, (request,))
        limit.daemon = True
        limit.start()
        try:
            super().finish_request(request, client_address)
        finally:
            limit.cancel()

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody who asks and leaves is no event."""


def _hang_up(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Page(BaseHTTPRequestHandler):
    timeout = READER_SECONDS
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "metrics are at /metrics")
            return
        text = self.server.text()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is no event."""


@contextmanager
def _file(path: Path, text: Callable[[], bytes]) -> Iterator[None]:
    stop, writer = threading.Event(), _Writer(path, text)
    thread = threading.Thread(target=writer.run, args=(stop,), name="metrics file", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=FILE_SECONDS)


class _Writer:
    def __init__(self, path: Path, text: Callable[[], bytes]) -> None:
        self._path = path
        self._text = text
        self._has_failed = False

    def run(self, stop: threading.Event) -> None:
        """Until told to stop, and once more then."""
        while not stop.wait(FILE_SECONDS):
            self.write()
        self.write()

    def write(self) -> None:
        """Aside and renamed, so that nobody reads half of it; a hindrance is told once."""
        try:
            with aside_of(self._path) as handle:
                os.fchmod(handle, FILE_MODE)
                with open(handle, "wb", closefd=False) as file:
                    file.write(self._text())
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                logger.warning("metrics.textfile %s: %s", self._path, error.strerror)
            self._has_failed = True
