"""Signals ask for a stop or a reload; their handlers only set a flag."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopRequests:
    """The first one asks to finish what is in flight, a second one to hurry."""

    def __init__(self) -> None:
        self.n = 0

    def add(self) -> None:
        """From a signal handler.

        The loop sees it when it next comes round, and does not rest for long. To wake it would take
        the event's lock, which the thread may hold that the signal has interrupted.
        """
        self.n += 1

    def is_requested(self) -> bool:
        return self.n > 0


@contextmanager
def handled_signals(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """SIGTERM, SIGINT and a closed terminal ask for a stop; SIGIO, of a broken lease, for nothing.

    SIGHUP means that the terminal closed where there is one. Elsewhere it asks for a reload, as
    service managers and administrators mean it. Where `nohup` took it away it stays away.
    """
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = stop if has_terminal() else reload
    for number, ask in handlers.items():
        signal.signal(number, lambda *_, ask=ask: ask())
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        # It ends anyway. One more signal would kill Python while it tidies up, and an orderly stop
        # would look like a death by SIGTERM.
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)


def has_terminal() -> bool:
    """Whether there is a terminal whose end would end this process, wherever its output goes."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
