"""How long a connection may keep the page waiting, and how many there are: uvicorn has no limit."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from web.server.guard import HEADERS

MAX_CONNECTIONS = 64
WAIT_SECONDS = 30.0  # for a request, or for a reader of its answer; then it goes on, or it ends
LEAST_BYTES = 16_384  # of a request, in that time: a slow line may send a large file
_NO_HTTP = "".join(
    ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n"]
    + [f"{name}: {value}\r\n" for name, value in HEADERS.items()]
    + ["\r\n"]
).encode()


class LimitedConnection(H11Protocol):
    """One connection. Between two requests `timeout_keep_alive` of uvicorn ends it.

    Beyond the most connections, the one goes that has been without a whole request for longest.
    """

    _timer: asyncio.TimerHandle | None = None
    _received = _received_before = _left = 0
    _since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin_to_wait()
        if len(self.connections) > MAX_CONNECTIONS:
            others = (one for one in self.connections if isinstance(one, LimitedConnection))
            longest = min(others, key=lambda one: (one._is_answered, one._since))
            self.connections.discard(longest)
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._received or self.timeout_keep_alive_task:
            self._begin_to_wait()
        self._received += len(data)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_NO_HTTP)
        self.transport.close()

    @property
    def _is_answered(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _begin_to_wait(self) -> None:
        self._since = self.loop.time()
        self._look_later()

    def _look_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._received_before = self._received
        self._left = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(WAIT_SECONDS, self._look)

    def _look(self) -> None:
        if self._is_stuck():
            self.transport.abort()
        else:
            self._look_later()

    def _is_stuck(self) -> bool:
        left = self.transport.get_write_buffer_size()
        if left:
            return left == self._left
        if self._is_answered or self.timeout_keep_alive_task:
            return False
        return self._received - self._received_before < LEAST_BYTES
