"""The page on real sockets: who is silent or slow is ended, and keeps nobody out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from page_client import HOST

from storage.home.paths import Home
from storage.ledger.ledger import Ledger
from web.page_app import page_app
from web.server.connection_limits import MAX_CONNECTIONS
from web.server.context import PageContext
from web.server.guard import HEADERS
from web.server.serving import listening, serve
from web.server.sessions import Sessions

WAIT = 0.4  # in place of half a minute
LATE = 20.0  # a test that waits longer has failed


class Server:
    """A page that listens on a port of its own."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def connect(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.port), LATE)
        opened.settimeout(LATE)
        return opened

    def request(self, path: str = "/api/v1/status", method: str = "GET", more: str = "") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {self.token}\r\n"
        return f"{head}{more}\r\n".encode()


@pytest.fixture
def server(home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("web.server.connection_limits.WAIT_SECONDS", WAIT)
    monkeypatch.setattr("web.server.serving.IDLE_SECONDS", 3.0)
    with listening("127.0.0.1:0") as opened:
        app = page_app(PageContext(home), {HOST})
        thread = threading.Thread(target=serve, args=(app, opened, True))
        thread.start()
        yield Server(opened.getsockname()[1], Sessions(home).new_session("ada")[0])
        monkeypatch.setattr("web.server.serving.IDLE_SECONDS", -1.0)
        thread.join(LATE)
        assert not thread.is_alive()


def status_line(answer: socket.socket) -> str:
    """Of the answer, which is read whole."""
    with answer.makefile("rb") as stream:
        first, length = stream.readline().decode().strip(), 0
        while (line := stream.readline().decode().lower()) not in ("\r\n", ""):
            if line.startswith("content-length:"):
                length = int(line.partition(":")[2])
        stream.read(length)
    return first


def is_ended(opened: socket.socket) -> bool:
    """Whether the page ends it, however it does."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while opened.recv(65536):
            pass
    return True


def test_one_that_says_nothing_is_ended(server: Server) -> None:
    with server.connect() as silent:
        assert is_ended(silent)


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\nA: "])
def test_half_a_head_is_ended(server: Server, part: bytes) -> None:
    with server.connect() as slow:
        slow.sendall(part)
        assert is_ended(slow)


def test_a_body_that_trickles_is_ended(server: Server) -> None:
    with server.connect() as slow, contextlib.suppress(OSError):
        slow.sendall(server.request("/api/v1/labels", "POST", "Content-Length: 100000\r\n"))
        slow.settimeout(0.05)
        deadline = time.monotonic() + LATE
        while time.monotonic() < deadline:
            slow.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                if not slow.recv(1):
                    return
        pytest.fail("it goes on")


def test_a_body_that_flows_is_waited_for(server: Server) -> None:
    body = json.dumps({"events": []}).encode() + b" " * 400_000
    with server.connect() as opened:
        more = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n"
        opened.sendall(server.request("/api/v1/labels", "POST", more))
        began = time.monotonic()
        for at in range(0, len(body), 20_000):
            opened.sendall(body[at : at + 20_000])
            time.sleep(WAIT / 8)
        assert time.monotonic() - began > 2 * WAIT
        assert status_line(opened) == "HTTP/1.1 200 OK"


def test_a_connection_that_is_kept_may_ask_again_much_later(server: Server) -> None:
    with server.connect() as kept:
        for _ in range(3):
            kept.sendall(server.request())
            assert status_line(kept) == "HTTP/1.1 200 OK"
            time.sleep(1.5 * WAIT)


def test_half_a_head_after_an_answer_is_ended(server: Server) -> None:
    with server.connect() as kept:
        kept.sendall(server.request())
        assert status_line(kept) == "HTTP/1.1 200 OK"
        kept.sendall(b"GET /api")
        assert is_ended(kept)


def test_a_reader_that_reads_nothing_is_ended(server: Server) -> None:
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(LATE)
        lazy.connect(("127.0.0.1", server.port))
        with contextlib.suppress(OSError):
            for _ in range(2000):  # answers to what it asks fill all buffers
                lazy.sendall(server.request("/static/page.css"))
        time.sleep(4 * WAIT)
        assert is_ended(lazy)


def test_silent_connections_keep_nobody_out(server: Server) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(MAX_CONNECTIONS + 20)]
        with server.connect() as opened:
            opened.sendall(server.request())
            assert status_line(opened) == "HTTP/1.1 200 OK"
        assert all(map(is_ended, silent))


def test_what_is_no_http_gets_the_headers_too(server: Server) -> None:
    with server.connect() as opened:
        opened.sendall(b"\x16\x03\x01\x00\r\n\r\n")
        answer = b""
        while piece := opened.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert all(name.encode() in answer for name in HEADERS)


def test_two_hundred_tabs_are_answered(server: Server) -> None:
    """Over six connections, as a browser has them."""
    answers: list[str] = []

    def tabs() -> None:
        with server.connect() as opened:
            for _ in range(200 // 6):
                opened.sendall(server.request())
                answers.append(status_line(opened))

    threads = [threading.Thread(target=tabs) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["HTTP/1.1 200 OK"] * (6 * (200 // 6))


def test_it_leaves_when_nobody_asks(
    home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.server.serving.IDLE_SECONDS", 0.3)
    with listening("127.0.0.1:0") as opened:
        thread = threading.Thread(
            target=serve, args=(page_app(PageContext(home), {HOST}), opened, True)
        )
        thread.start()
        thread.join(LATE)
        assert not thread.is_alive()
