"""Where metrics can be had: a page on this machine, and a file for a collector.

The loop leaves its newest status and goes on. Threads of their own make text of it when somebody
asks, and write the file.
"""

from __future__ import annotations

import logging
import os
import socket
import socketserver
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler, generate_latest

from daemon.monitoring.prometheus import Publish, StatusCollector
from storage.errors import ConfigurationError, StorageError
from storage.home.atomic_write import output_file
from storage.settings.schema import MetricsSettings
from storage.values.listen_address import host_and_port

logger = logging.getLogger(__name__)

FILE_SECONDS = 10.0  # between two versions of the file
FILE_MODE = 0o644  # the collector is another user
READER_SECONDS = 5.0  # for one reader, who takes milliseconds
MAX_READERS = 16  # at once; a collector, a person and some to spare


@contextmanager
def served_metrics(settings: MetricsSettings) -> Iterator[Publish]:
    """Publishes metrics as the settings want. Raises ConfigurationError for a taken port."""
    collector, registry = StatusCollector(), CollectorRegistry()
    registry.register(collector)
    with ExitStack() as stack:
        if settings.listen:
            stack.enter_context(_page(settings.listen, registry))
        if settings.textfile:
            stack.enter_context(_file(Path(settings.textfile), registry))
        yield collector.publish


@contextmanager
def _page(listen: str, registry: CollectorRegistry) -> Iterator[None]:
    try:
        server = _Server(host_and_port(listen), registry)
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


class _Page(MetricsHandler):
    timeout = READER_SECONDS

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/metrics":
            self.path = "/metrics"  # `?name[]=` would find nothing: the collector lists no names
            super().do_GET()
        else:
            self.send_error(404, "metrics are at /metrics")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each reader, of whom there are few at once, each for a short time.

    The server that comes with prometheus_client has neither limit: readers who never finish
    asking would keep as many threads, or keep the collector out.
    """

    allow_reuse_address = True
    daemon_threads = True  # a slow reader ends no stop

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry) -> None:
        is_v6 = ":" in address[0]
        self.address_family = socket.AF_INET6 if is_v6 else socket.AF_INET
        self._lock = threading.Lock()
        self._began: dict[socket.socket, float] = {}  # the longest reader first
        super().__init__(address, _Page.factory(registry))
        host, port = self.server_address[:2]
        self.place = f"[{host!s}]:{port}" if is_v6 else f"{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._began) >= MAX_READERS:  # the collector, who is new, needs milliseconds
                self._cut_off(next(iter(self._began)))
            self._began[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._began.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second. A limit for each read alone would let one letter a second hold on."""
        with self._lock:
            for request, began in list(self._began.items()):
                if time.monotonic() - began > READER_SECONDS:
                    self._cut_off(request)

    def _cut_off(self, request: socket.socket) -> None:
        """Its thread ends by that."""
        del self._began[request]
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody who asks and leaves is no event."""


@contextmanager
def _file(path: Path, registry: CollectorRegistry) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(
        target=keep_written, args=(path, registry, stop.wait), name="metrics file", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=FILE_SECONDS)


def keep_written(
    path: Path, registry: CollectorRegistry, is_stopped: Callable[[float], bool]
) -> None:
    """Until `is_stopped`, which waits for that, and once more then.

    Aside and renamed, so that nobody reads half of it; of failures in a row one is logged.
    """
    is_last = has_failed = False
    while not is_last:
        is_last = is_stopped(FILE_SECONDS)
        try:
            with output_file(path) as handle:
                if stat.S_ISREG(os.fstat(handle).st_mode):
                    os.fchmod(handle, FILE_MODE)
                with open(handle, "wb", closefd=False) as file:
                    file.write(generate_latest(registry))
            has_failed = False
        except StorageError as error:
            if not has_failed:
                logger.warning("metrics.textfile: %s", error)
            has_failed = True
