"""How far a long work is, told to people now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

_EVERY_SECONDS = 2.0


class Pulse:
    """Hands what it is told to `tell`, every two seconds; of what is over sooner, nothing."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._next = clock() + _EVERY_SECONDS

    def beat(self, text: str) -> None:
        if self._clock() >= self._next:
            self._tell(text)
            self._next = self._clock() + _EVERY_SECONDS

    def advance(self, what: str, done: int, of: int) -> None:
        self.beat(f"{what}: {100 * min(done, of) // max(1, of)} %")
